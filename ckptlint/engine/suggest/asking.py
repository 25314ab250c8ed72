"""Which part of a suggestion is certain, and what has to be asked: nothing is dropped, made new, joined or swapped by itself.

A rename is certain where a whole module (or tensor) went, and only one thing of its kind came in its place: the same tensors and shapes
below, no rival on either side that could be meant instead, and names that speak for it or four tensors that agree. Modules that could
have been exchanged for one another are asked about without a default, and so is everything in a place where more than four changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from ckptlint.core.schema import Schema
from ckptlint.engine.suggest.answers import ANY, Answers, Decided, beneath, over_keys
from ckptlint.engine.suggest.families import HOLE, Family, Segments, fold, unfolded
from ckptlint.engine.suggest.names import Synonyms
from ckptlint.engine.suggest.suggest import SuggestOptions, suggest
from ckptlint.engine.suggest.suggestion import Candidate, Match, Suggestion
from ckptlint.engine.suggest.unsourced import proposed

_SURE: Final = 0.97  # confidence from which names speak for a rename
_MANY: Final = 4  # tensors that agree, which say it without names
_MOST: Final = 4  # modules that changed in one place; more is a rewrite, of which nothing is certain

Kind = Literal["rename", "drop", "new", "join"]


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer, its chance, and what speaks for it."""

    answer: str
    confidence: float
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """What must be decided about `about`: a pattern of old keys (rename, drop) or new ones (new, join). `why` says why it is asked."""

    kind: Kind
    about: str
    keys: tuple[str, ...]
    shape: tuple[int, ...]
    choices: tuple[Choice, ...]
    why: str


@dataclass(frozen=True, slots=True)
class Asked:
    """The suggestion with all answers in it, and what is still to be asked; complete where that is nothing."""

    suggestion: Suggestion
    questions: tuple[Question, ...]
    decided: Decided


@dataclass(frozen=True, slots=True)
class _Unit:
    """Renames that are one edit: below `scope`, `old` became `new`, and what follows stayed."""

    scope: Segments
    old: Segments
    new: Segments
    tails: Mapping[Segments, Match]

    @property
    def confidence(self) -> float:
        return max(match.confidence for match in self.tails.values())

    def rivals(self, other: _Unit) -> bool:
        """Whether some tensor of both could have gone to the other's place."""
        shared = self.tails.keys() & other.tails.keys()
        return any(_alike(self.tails[tail].sources[0], other.tails[tail].sources[0]) for tail in shared)

    def could_be(self, left: Iterable[Family]) -> bool:
        """Whether what is left on a side could stand for all of it."""
        families = list(left)
        return all(
            any(
                _alike(match.sources[0], one) and one.template[len(one.template) - len(tail) :] == tail
                for one in families
            )
            for tail, match in self.tails.items()
        )


def ask(old: Schema, new: Schema, synonyms: Synonyms, answers: Answers) -> Asked:
    """Suggest with the answers taken for granted; return that with what nothing decides. `UsageError` for answers that do not fit."""
    decided = over_keys(answers, old, new)
    twins = _twins(decided, old, new)
    left_old = {key: spec for key, spec in old.tensors.items() if key not in decided.dropped}
    left_new = {key: spec for key, spec in new.tensors.items() if key not in decided.filled}
    options = SuggestOptions(twins=twins, points_alone=True)
    found = suggest(replace(old, tensors=left_old), replace(new, tensors=left_new), synonyms, options)
    questions = tuple(_questions(found, twins, answers, old, new))
    return Asked(_with(found, answers, decided, twins, (old, new)), questions, decided)


def pattern(template: Sequence[str]) -> str:
    """A template as answers write it."""
    return ".".join(ANY if segment == HOLE else segment for segment in template)


def _twins(decided: Decided, old: Schema, new: Schema) -> dict[str, str]:
    """What is known of keys: the answers, and that a key which both have in one shape stays."""
    taken = {*decided.renamed.values(), *decided.filled}
    same = {
        key: key
        for key, spec in old.tensors.items()
        if key in new.tensors and new.tensors[key].shape == spec.shape and key not in taken
        if key not in decided.renamed and key not in decided.dropped
    }
    return {**same, **decided.renamed}


def _with(
    found: Suggestion, answers: Answers, decided: Decided, twins: Mapping[str, str], schemas: tuple[Schema, Schema]
) -> Suggestion:
    """Put the answers' drops and new tensors into a suggestion."""
    old, new = schemas
    matches = tuple(
        replace(match, evidence=(_teller(match, answers),)) if _told(match, twins) else match for match in found.matches
    )
    fresh = (Match("new", (), (family,), 1.0, ("answered",)) for family in cut_out(decided.filled, new))
    return replace(found, matches=(*matches, *fresh), dropped=(*found.dropped, *cut_out(decided.dropped, old)))


def cut_out(keys: Iterable[str], schema: Schema) -> tuple[Family, ...]:
    """These keys as families, of which no pattern fits another key of the schema."""
    wanted = set(keys)
    families = fold({key: spec.shape for key, spec in schema.tensors.items() if key in wanted})
    others = [key for key in schema.tensors if key not in wanted]
    found: list[Family] = []
    for family in families:
        alone = not any((fits := beneath(key, pattern(family.template))) and not fits[1] for key in others)
        found += [family] if alone or not family.depth else unfolded([family])
    return tuple(found)


def _told(match: Match, twins: Mapping[str, str]) -> bool:
    return match.way == "rename" and all(twins.get(edge.sources[0]) == edge.targets[0] for edge in match.edges())


def _teller(match: Match, answers: Answers) -> str:
    """What decided a match that was known beforehand."""
    if _kept(match):
        return "same name"
    seen = all(answers.seen.get(edge.sources[0]) == edge.targets[0] for edge in match.edges())
    return "renamed in the source" if seen else "answered"


def _kept(match: Match) -> bool:
    return match.sources[0].keys == match.targets[0].keys


def _questions(
    found: Suggestion, twins: Mapping[str, str], answers: Answers, old: Schema, new: Schema
) -> Iterator[Question]:
    open_old = (*found.open_sources, *found.dropped)
    open_new = (*found.open_targets, *(match.targets[0] for match in found.matches if match.way == "new"))
    guessed = [match for match in found.matches if match.way == "rename" and not _told(match, twins)]
    units = _units(guessed)
    for unit in units:
        why = _doubt(unit, units, (open_old, open_new), (old, new))
        if why:
            yield _about_unit(unit, units, why)
    yield from (
        _about_join(match)
        for match in found.matches
        if match.way not in {"rename", "new"} and pattern(match.targets[0].template) not in answers.accept
    )
    chances = {each.source.template: each.candidates for each in found.ambiguities}
    yield from (_about_source(family, chances.get(family.template, ())) for family in open_old)
    yield from (_about_target(family) for family in open_new)


def _about_source(family: Family, candidates: Iterable[Candidate]) -> Question:
    choices = [Choice(pattern(each.target.template), each.chance) for each in candidates]
    kind: Kind = "rename" if choices else "drop"
    why = "several things may have become of it" if choices else "nothing of the target can be made from it"
    return Question(kind, pattern(family.template), family.keys, family.shape, (*choices, _DROP), why)


def _about_target(family: Family) -> Question:
    usual = proposed(family.keys[0], len(family.shape))
    fills = (Choice(each, 0.0, ("usual for its name",) if each == usual else ()) for each in ("zeros", "ones"))
    choices = tuple(sorted(fills, key=lambda each: not each.evidence))
    return Question(
        "new", pattern(family.template), family.keys, family.shape, choices, "nothing is certain to become it"
    )


_DROP: Final = Choice("drop", 0.0)


def _units(matches: Iterable[Match]) -> list[_Unit]:
    found: dict[tuple[Segments, Segments, Segments], dict[Segments, Match]] = {}
    for match in matches:
        scope, mine, theirs, tail = _edit(match.sources[0].template, match.targets[0].template)
        found.setdefault((scope, mine, theirs), {})[tail] = match
    return [_Unit(*edit, tails) for edit, tails in found.items()]


def _edit(old: Segments, new: Segments) -> tuple[Segments, Segments, Segments, Segments]:
    """What two templates have in common at the start, what differs on either side, and what they have in common at the end."""
    shorter = min(len(old), len(new))
    start = next((place for place in range(shorter) if old[place] != new[place]), shorter)
    most = shorter - start
    end = next((back for back in range(most) if old[-1 - back] != new[-1 - back]), most)
    return old[:start], old[start : len(old) - end], new[start : len(new) - end], old[len(old) - end :]


def _doubt(
    unit: _Unit, units: Sequence[_Unit], left: tuple[Sequence[Family], Sequence[Family]], schemas: tuple[Schema, Schema]
) -> str:
    """Why a rename is not certain; nothing where it is."""
    beside = [other for other in units if other.scope == unit.scope]
    if len(beside) > _MOST:
        return "more than four modules changed here"
    if any(unit.rivals(other) for other in beside if other is not unit):
        return "tensors of the same shapes could be exchanged"
    if any(unit.could_be(families) for families in left):
        return "something else of the same shapes is there"
    if unit.confidence < _SURE and len(unit.tails) < _MANY:
        return "the shapes fit, the names do not say it"
    if not all(_same_kind(match, *schemas) for match in unit.tails.values()):
        return "one is a parameter, the other a buffer, or the dtypes differ"
    return ""


def _same_kind(match: Match, old: Schema, new: Schema) -> bool:
    known = old.parameters is not None and new.parameters is not None
    mine, theirs = frozenset(old.parameters or ()), frozenset(new.parameters or ())
    for edge in match.edges():
        source, target = edge.sources[0], edge.targets[0]
        if not old.tensors[source].agrees(new.tensors[target]) or (known and (source in mine) != (target in theirs)):
            return False
    return True


def _about_unit(unit: _Unit, units: Sequence[_Unit], why: str) -> Question:
    rivals = [other for other in units if other.scope == unit.scope and (other is unit or unit.rivals(other))]
    choices = [_choice(each, own=each is unit) for each in sorted(rivals, key=lambda each: each is not unit)]
    keys = tuple(key for match in unit.tails.values() for key in match.sources[0].keys)
    shape = next(iter(unit.tails.values())).sources[0].shape
    return Question("rename", pattern((*unit.scope, *unit.old)), keys, shape, (*choices, _DROP), why)


def _choice(unit: _Unit, *, own: bool) -> Choice:
    evidence = dict.fromkeys(kind for match in unit.tails.values() for kind in match.evidence) if own else ()
    return Choice(pattern((*unit.scope, *unit.new)), unit.confidence if own else 0.0, tuple(evidence))


def _about_join(match: Match) -> Question:
    said = f"{match.way} of {', '.join(pattern(each.template) for each in match.sources)}"
    keys = tuple(key for family in match.targets for key in family.keys)
    about = pattern(match.targets[0].template)
    choice = Choice("accept", match.confidence, match.evidence)
    return Question("join", about, keys, match.targets[0].shape, (choice,), f"it may be {said}")


def _alike(one: Family, other: Family) -> bool:
    return one.shapes == other.shapes and len(one.members) == len(other.members)
