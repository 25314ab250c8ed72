"""What a user decides about the families that nothing else decides: each answer is taken for granted, and may decide others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from ckptlint.core.schema import Schema
from ckptlint.engine.suggest.asking import cut_out
from ckptlint.engine.suggest.families import Family
from ckptlint.engine.suggest.names import Synonyms
from ckptlint.engine.suggest.suggest import SuggestOptions, suggest
from ckptlint.engine.suggest.suggestion import Ambiguity, Match, Suggestion

_ANSWERED = ("answered",)


@dataclass(frozen=True, slots=True)
class Told:
    """What was answered: old to new keys, old keys that are dropped, new keys with what fills them, and the templates about which no more
    is asked.
    """

    renamed: Mapping[str, str] = field(default_factory=dict)
    dropped: frozenset[str] = frozenset()
    left: frozenset[tuple[str, ...]] = frozenset()
    fills: Mapping[str, float] = field(default_factory=dict)

    def renaming(self, old: Family, new: Family) -> Told:
        return replace(self, renamed={**self.renamed, **dict(zip(old.keys, new.keys, strict=True))})

    def dropping(self, old: Family) -> Told:
        return replace(self, dropped=self.dropped | set(old.keys))

    def filling(self, new: Family, value: float) -> Told:
        return replace(self, fills={**self.fills, **dict.fromkeys(new.keys, value)})

    def leaving(self, family: Family) -> Told:
        return replace(self, left=self.left | {family.template})


def suggest_told(old: Schema, new: Schema, synonyms: Synonyms, options: SuggestOptions, told: Told) -> Suggestion:
    """Suggest with the answers taken for granted."""
    left = {key: spec for key, spec in old.tensors.items() if key not in told.dropped}
    wanted = {key: spec for key, spec in new.tensors.items() if key not in told.fills}
    options = replace(options, twins={**options.twins, **told.renamed})
    found = suggest(replace(old, tensors=left), replace(new, tensors=wanted), synonyms, options)
    matches = (_marked(match, told) for match in found.matches)
    fresh = (Match("new", (), (family,), 1.0, _ANSWERED) for family in cut_out(told.fills, new))
    return replace(found, matches=(*matches, *fresh), dropped=(*found.dropped, *cut_out(told.dropped, old)))


def _marked(match: Match, told: Told) -> Match:
    answered = match.way == "rename" and all(
        told.renamed.get(edge.sources[0]) == edge.targets[0] for edge in match.edges()
    )
    return replace(match, confidence=1.0, evidence=_ANSWERED) if answered else match


def questions(found: Suggestion, told: Told) -> Iterator[Ambiguity]:
    """What is still to be asked, with the candidates that would be renames; each source once, the surest first."""
    seen = set(told.left)
    asked: list[Ambiguity] = []
    for each in found.ambiguities:
        source = each.source
        fitting = tuple(
            one for one in each.candidates if one.target.shapes == source.shapes and one.target.places == source.places
        )
        if fitting and source.template not in seen:
            seen.add(source.template)
            asked.append(Ambiguity(source, fitting))
    yield from sorted(asked, key=lambda each: -each.candidates[0].chance)
