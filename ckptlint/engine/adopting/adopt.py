"""Apply another tool's mapping to the keys of a schema, and say the outcome as matches of families, which a migration is written from.

The mapping is run over real keys rather than translated, since its rules are unanchored, ordered and may undo each other: the keys it
gives are then told by patterns that are anchored and stand for exactly those keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from ckptlint.core.schema import Schema
from ckptlint.engine.adopting.gathering import Part, Wholes
from ckptlint.engine.adopting.mapping import Conversion, Mapping, Step, Transform
from ckptlint.engine.suggest.families import HOLE, Family, Index, fold, is_number, unfolded
from ckptlint.engine.suggest.suggestion import Match, Suggestion

_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Adopted:
    """What a mapping does to these keys; `faults` say what is wrong with it, `unused` which of its rules never took part."""

    suggestion: Suggestion
    faults: tuple[str, ...]
    unused: tuple[str, ...]


@dataclass(slots=True)
class _Run:
    """A mapping over the keys of one schema: where each key went, and which rules changed anything."""

    mapping: Mapping
    used: set[str] = field(default_factory=set)

    def renamed(self, key: str) -> tuple[str | None, tuple[str, ...]]:
        """The new key, None where it is dropped, and the rules that had a hand in it."""
        hands: list[str] = []
        for step in self.mapping.steps:
            after = step.apply(key)
            if after != key:
                hands.append(step.where)
            if after is None:
                return None, tuple(hands)
            key = after
        return key, tuple(hands)

    def converted(self, key: str) -> tuple[Conversion, int, str] | None:
        """The conversion that a renamed key takes part in, with the number of its pattern, and the key of the first target."""
        for conversion in self.mapping.conversions:
            new, number = conversion.transform.taken(key)
            if number is not None:
                return conversion, number, new
        return None


def adopt(schema: Schema, mapping: Mapping) -> Adopted:
    """Work out what `mapping` makes of the tensors of a schema, and what is wrong with that."""
    run, wholes, moves = _Run(_active(mapping, schema.tensors)), Wholes(), _Moves()
    for family in fold({key: spec.shape for key, spec in schema.tensors.items()}):
        for part in _agreeing(family, run, wholes):
            moves.take(part)
    gathered, open_sources, said = wholes.matches()
    matches = (*moves.renames, *gathered)
    unused = tuple(where for where in _rules(mapping) if where not in run.used)
    faults = (*_collisions(matches), *said)
    return Adopted(Suggestion(matches, tuple(moves.dropped), open_sources, (), ()), faults, unused)


def _active(mapping: Mapping, keys: Iterable[str]) -> Mapping:
    """The mapping without the groups whose first pattern finds none of these keys: a group acts only where its first one does."""
    steps: list[Step] = []
    now = list(keys) if any(_is_group(step) for step in mapping.steps) else []
    for step in mapping.steps:
        if isinstance(step, Transform) and step.paired and not any(step.taken(key)[1] == 0 for key in now):
            continue
        steps.append(step)
        now = [new for key in now if (new := step.apply(key)) is not None]
    return replace(mapping, steps=tuple(steps))


def _is_group(step: Step) -> bool:
    return isinstance(step, Transform) and step.paired


def _rules(mapping: Mapping) -> Iterator[str]:
    yield from (step.where for step in mapping.steps)
    yield from (conversion.transform.where for conversion in mapping.conversions)


@dataclass(slots=True)
class _Moves:
    renames: list[Match] = field(default_factory=list)
    dropped: list[Family] = field(default_factory=list)

    def take(self, moved: Match | Family) -> None:
        if isinstance(moved, Family):
            self.dropped.append(moved)
        else:
            self.renames.append(moved)


def _agreeing(family: Family, run: _Run, wholes: Wholes) -> Iterator[Match | Family]:
    """What becomes of a family: as a whole where all its keys go one way, else key by key. Parts of a conversion go to `wholes`."""
    rows = [run.renamed(key) for key in family.keys]
    run.used.update(hand for _, hands in rows for hand in hands)
    kept = [key for key, _ in rows if key is not None]
    if not kept:
        yield family
        return
    taken = [found for key in kept if (found := run.converted(key)) is not None]
    target = aligned(family, kept) if len(kept) == len(rows) and _is_one_way(taken, len(kept)) else None
    if target is None and len(family.members) > 1:
        for one in unfolded([family]):
            yield from _agreeing(one, run, wholes)
        return
    hands = tuple(dict.fromkeys(hand for _, hands in rows for hand in hands)) or ("same name",)
    if taken:
        conversion, number, _ = taken[0]
        run.used.add(conversion.transform.where)
        wholes.add(conversion, Part(number, family, tuple(key for *_, key in taken), hands))
    elif target is not None:
        yield Match("rename", (family,), (target,), 1.0, hands)


def _is_one_way(taken: Sequence[tuple[Conversion, int, str]], count: int) -> bool:
    """Whether none of `count` keys takes part in a conversion, or all do under one pattern of the same."""
    ways = {(conversion.transform.where, number) for conversion, number, _ in taken}
    return not taken or (len(taken) == count and len(ways) == 1)


def aligned(family: Family, keys: Sequence[str]) -> Family | None:
    """The new keys of a family as a family with its places; None where they differ in more than whole numbers between points."""
    split = [tuple(key.split(".")) for key in keys]
    if len({len(segments) for segments in split}) > 1:
        return None
    template: list[str] = []
    for column in zip(*split, strict=True):
        if len(set(column)) == 1:
            template.append(column[0])
        elif all(map(is_number, column)):
            template.append(HOLE)
        else:
            return None
    indices: list[Index] = [
        tuple(int(text) for text, segment in zip(segments, template, strict=True) if segment == HOLE)
        for segments in split
    ]
    members = dict(zip(indices, keys, strict=True))
    if len(members) < len(keys):
        return None
    return Family(tuple(template), members, family.places, family.shapes, family.order)


def _collisions(matches: Iterable[Match]) -> Iterator[str]:
    """Where two tensors are given one name: the second would overwrite the first."""
    made: dict[str, str] = {}
    shown = 0
    for edge in (edge for match in matches for edge in match.edges()):
        for target in edge.targets:
            source = edge.sources[0]
            if made.setdefault(target, source) != source:
                shown += 1
                if shown <= _SHOWN:
                    yield f"{made[target]} and {source} both become {target}: one would overwrite the other"
    if shown > _SHOWN:
        yield f"and {shown - _SHOWN} more keys are given to two tensors"
