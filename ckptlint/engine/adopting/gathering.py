"""The conversions of a mapping over real keys: which families make one tensor, or are cut into several, and by which operations.

What our matches can say becomes one: stack, concatenate, both, cut into equal parts, transpose a matrix. Any other operation is named and
its tensors are left open, since a guess at it would be a silent fault.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from ckptlint.engine.adopting.mapping import Call, Conversion
from ckptlint.engine.suggest.families import HOLE, Family, Index
from ckptlint.engine.suggest.suggestion import Match

_STACK: Final = "MergeModulelist"
_JOIN: Final = "Concatenate"
_CUT: Final = "Chunk"
_TURN: Final = "Transpose"


@dataclass(frozen=True, slots=True)
class Part:
    """A family that takes part under pattern `number`, the key of the first target for each of its keys, and the rules behind it."""

    number: int
    family: Family
    made: tuple[str, ...]
    hands: tuple[str, ...]


@dataclass(slots=True)
class Wholes:
    """The parts of each conversion, as they come."""

    of: dict[str, tuple[Conversion, list[Part]]] = field(default_factory=dict)

    def add(self, conversion: Conversion, part: Part) -> None:
        self.of.setdefault(conversion.transform.where, (conversion, []))[1].append(part)

    def matches(self) -> tuple[tuple[Match, ...], tuple[Family, ...], tuple[str, ...]]:
        """The matches, the families that none could be made of, and why."""
        found: list[Match] = []
        left: list[Family] = []
        said: list[str] = []
        for conversion, parts in self.of.values():
            for together in _together(parts):
                match = _match(conversion, together)
                if match is not None:
                    found.append(match)
                    continue
                left += [part.family for part in together]
                names = ", ".join(call.name for call in conversion.operations)
                said.append(f"{conversion.transform.where}: {names} over {together[0].family} is left to you")
        return tuple(found), tuple(left), tuple(said)


def _together(parts: Sequence[Part]) -> list[list[Part]]:
    """Parts that make the same tensors, in the order of the patterns that found them."""
    by_target: dict[frozenset[str], list[Part]] = {}
    for part in parts:
        by_target.setdefault(frozenset(part.made), []).append(part)
    return [sorted(group, key=lambda part: part.number) for group in by_target.values()]


def _match(conversion: Conversion, parts: Sequence[Part]) -> Match | None:
    rules = dict.fromkeys(hand for part in parts for hand in part.hands if hand != "same name")
    hands = (*rules, conversion.transform.where)
    names = tuple(call.name for call in conversion.operations)
    first, dim = _dim(conversion.operations[0]), _dim(conversion.operations[-1])
    if dim is None:
        return None
    if first == 0 and names in {(_STACK,), (_STACK, _JOIN)}:
        return _gathered(parts, hands, dim if _JOIN in names else None)
    if names == (_JOIN,) and len(parts) > 1:
        return _renamed("concat", parts, hands, dim)
    if len(parts) > 1:
        return None
    if names == (_CUT,):
        return _cut(conversion, parts[0], dim, hands)
    turns = names == (_TURN,) and _turns_matrices(conversion.operations[0], parts[0].family)
    return _renamed("transpose", parts, hands, 0) if turns else None


def _renamed(
    way: Literal["concat", "transpose"], parts: Sequence[Part], hands: tuple[str, ...], dim: int
) -> Match | None:
    target = _outer(parts, 0)
    return Match(way, tuple(part.family for part in parts), (target,), 1.0, hands, dim=dim) if target else None


def _turns_matrices(call: Call, family: Family) -> bool:
    axes = {call.options.get("dim0", call.options.get("dim", 0)), call.options.get("dim1", 1)}
    return axes == {0, 1} and all(len(shape) == 2 for shape in family.shapes)


def _gathered(parts: Sequence[Part], hands: tuple[str, ...], joined: int | None) -> Match | None:
    """Layers or experts that are stacked, then joined along an axis of the stack; the first axis of a stack is no axis of a part."""
    if (joined is None and len(parts) > 1) or joined == 0:
        return None
    target = _outer(parts, 1)
    sources = tuple(part.family for part in parts)
    return Match("stack", sources, (target,), 1.0, hands, dim=(joined or 1) - 1, stacked=True) if target else None


def _dim(call: Call) -> int | None:
    """The axis an operation works along; None where it is no number from 0, or the operation has options that are not known here."""
    known = {"dim", "dim0", "dim1"}
    value = call.options.get("dim", call.options.get("dim0", 0))
    return value if isinstance(value, int) and value >= 0 and set(call.options) <= known else None


def _cut(conversion: Conversion, part: Part, dim: int, hands: tuple[str, ...]) -> Match | None:
    first, *others = conversion.transform.targets
    targets: list[Family] = []
    shapes = tuple(_divided(shape, dim, len(others) + 1) for shape in part.family.shapes)
    for name in (first, *others):
        keys = tuple(key.replace(first, name, 1) for key in part.made)
        whole = _family([keys[number] for number in range(len(keys))], list(part.family.members), part.family)
        if whole is None or None in shapes:
            return None
        targets.append(
            Family(whole.template, whole.members, whole.places, tuple(shape for shape in shapes if shape), whole.order)
        )
    return Match("split", (part.family,), tuple(targets), 1.0, hands, dim=dim)


def _divided(shape: tuple[int, ...], dim: int, parts: int) -> tuple[int, ...] | None:
    """The shape of one of `parts` equal parts; None where the parts would not be equal."""
    if dim >= len(shape) or shape[dim] % parts:
        return None
    return (*shape[:dim], shape[dim] // parts, *shape[dim + 1 :])


def _outer(parts: Sequence[Part], inner: Literal[0, 1]) -> Family | None:
    """The family that is made, one key for each place of the sources without their innermost number where `inner` is 1."""
    first = parts[0].family
    if inner and not all(_counts_from_zero(part.family) for part in parts):
        return None
    if any(part.family.places != first.places for part in parts):
        return None
    rows: dict[Index, str] = {}
    places: dict[Index, None] = {}
    for index, place, key in zip(first.members, first.places, parts[0].made, strict=True):
        if rows.setdefault(index[: len(index) - inner], key) != key:
            return None
        places[place[: len(place) - inner]] = None
    if len(places) != len(rows):
        return None
    return _family(list(rows.values()), list(rows), Family((), {}, tuple(places), ((),), first.order))


def _counts_from_zero(family: Family) -> bool:
    """Whether its innermost numbers are 0, 1, ... without a gap, under each of the outer ones."""
    inner: dict[Index, list[int]] = {}
    for index in family.members:
        if not index:
            return False
        inner.setdefault(index[:-1], []).append(index[-1])
    return all(sorted(numbers) == list(range(len(numbers))) for numbers in inner.values())


def _family(keys: Sequence[str], indices: Sequence[Index], like: Family) -> Family | None:
    """Keys as a family whose holes are the sources' numbers, in their order; None where they are not."""
    split = [key.split(".") for key in keys]
    if len(set(map(len, split))) > 1:
        return None
    template = [column[0] if len(set(column)) == 1 else HOLE for column in zip(*split, strict=True)]
    if len(keys) == 1:  # nothing varies: the numbers of the only member are still those of the source
        template = _holes(split[0], indices[0])
    numbers = [
        tuple(text for text, segment in zip(segments, template, strict=True) if segment == HOLE) for segments in split
    ]
    wanted = [tuple(map(str, index)) for index in indices]
    if numbers != wanted:
        return None
    return Family(tuple(template), dict(zip(indices, keys, strict=True)), like.places, like.shapes, like.order)


def _holes(segments: Sequence[str], index: Index) -> list[str]:
    left = [str(number) for number in index]
    return [HOLE if left and segment == left[0] and left.pop(0) else segment for segment in segments]
