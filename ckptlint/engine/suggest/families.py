"""Fold a schema into families: keys that differ in layer or expert numbers alone, as one unit to be matched.

A number folds where the children that it tells apart look alike (the same names below have the same shapes): blocks, experts.
The numbers of a `Sequential`, and stages of different widths, stay literal: there the number says what the thing is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Final

Index = tuple[int, ...]
Segments = tuple[str, ...]
Shape = tuple[int, ...]

HOLE: Final = "#"  # the segment of a template where numbers were folded
_DEEPEST: Final = 8  # lists within lists that fold; deeper numbers stay literal
_ALIKE: Final = 0.5  # of the names that children share, so many must have one shape
_SHARED: Final = 0.6  # of the keys, so many must have a name that another child has, too
_SHARED_BY_TWO: Final = 0.75


@dataclass(frozen=True, slots=True)
class Family:
    """Keys of one template. `members` maps the numbers at the holes to the key, `places` the same numbers counted from 0 in their lists.

    `order` is the place of the first key in the schema, `orders` that of each. All shapes are those of the keys in the order of `places`.
    """

    template: Segments
    members: Mapping[Index, str]
    places: tuple[Index, ...]
    shapes: tuple[Shape, ...]
    order: int
    orders: tuple[int, ...] = ()

    @property
    def shape(self) -> Shape:
        return self.shapes[0]

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(self.members.values())

    @property
    def leaf(self) -> str:
        return self.template[-1]

    @property
    def module(self) -> Segments:
        return self.template[:-1]

    @property
    def uniform(self) -> bool:
        """Whether all keys have one shape."""
        return len(self.shapes) == 1

    @property
    def depth(self) -> int:
        """How many lists it lies in."""
        return self.template.count(HOLE)

    def shape_at(self, number: int) -> Shape:
        """The shape of its key number `number`."""
        return self.shapes[0] if self.uniform else self.shapes[number]

    def __str__(self) -> str:
        return ".".join(self.template)


@dataclass(frozen=True, slots=True)
class _Key:
    """A key with its segments, and where each of them starts in it."""

    key: str
    segments: Segments
    shape: Shape
    order: int


def fold(shapes: Mapping[str, Shape]) -> tuple[Family, ...]:
    """Fold keys into families in the order of their first keys. Near-linear in the number of keys."""
    keys = [_Key(key, tuple(key.split(".")), shape, order) for order, (key, shape) in enumerate(shapes.items())]
    gathered: dict[Segments, list[tuple[Index, _Key]]] = {}
    lists: dict[Segments, dict[int, int]] = {}
    todo: list[tuple[Segments, list[tuple[Index, _Key]]]] = [((), [((), each) for each in keys])]
    while todo:
        prefix, below = todo.pop()
        for segment, inside in _parted(prefix, below, lists).items():
            template = (*prefix, segment)
            leaves = [each for each in inside if len(each[1].segments) == len(template)]
            if leaves:
                gathered[template] = leaves
            if len(leaves) < len(inside):
                todo.append((template, [each for each in inside if len(each[1].segments) > len(template)]))
    found = [_family(template, members, lists) for template, members in gathered.items()]
    return tuple(sorted(found, key=lambda family: family.order))


def _parted(
    prefix: Segments, below: list[tuple[Index, _Key]], lists: dict[Segments, dict[int, int]]
) -> dict[str, list[tuple[Index, _Key]]]:
    """Part keys by their next segment; numbers that fold come together under `HOLE`."""
    place = len(prefix)
    parts: dict[str, list[tuple[Index, _Key]]] = {}
    for each in below:
        parts.setdefault(each[1].segments[place], []).append(each)
    numbers = [segment for segment in parts if is_number(segment)]
    if (
        len(numbers) < 2
        or prefix.count(HOLE) >= _DEEPEST
        or not _alike({number: parts[number] for number in numbers}, place)
    ):
        return parts
    folded = [((*index, int(number)), key) for number in numbers for index, key in parts.pop(number)]
    folded.sort(key=lambda each: each[0])
    lists[(*prefix, HOLE)] = {number: rank for rank, number in enumerate(sorted(map(int, numbers)))}
    return {**parts, HOLE: folded}


def is_number(segment: str) -> bool:
    """Whether a segment is a whole number as Python writes it, small enough to be an index."""
    return segment.isascii() and segment.isdigit() and len(segment) < 10 and str(int(segment)) == segment


def _alike(parts: Mapping[str, list[tuple[Index, _Key]]], place: int) -> bool:
    """Whether the children look alike: most names are shared, and most shared names have one shape."""
    seen: dict[Segments, tuple[str, Shape]] = {}
    shared: dict[Segments, bool] = {}
    for number, inside in parts.items():
        for _, key in inside:
            rest = key.segments[place + 1 :]
            first, shape = seen.setdefault(rest, (number, key.shape))
            if first != number:
                shared[rest] = shared.get(rest, True) and shape == key.shape
    total = sum(map(len, parts.values()))
    common = sum(key.segments[place + 1 :] in shared for inside in parts.values() for _, key in inside)
    enough = _SHARED_BY_TWO if len(parts) == 2 else _SHARED
    return bool(shared) and common >= enough * total and sum(shared.values()) >= _ALIKE * len(shared)


def _family(template: Segments, members: list[tuple[Index, _Key]], lists: Mapping[Segments, dict[int, int]]) -> Family:
    holes = [lists[template[: place + 1]] for place, segment in enumerate(template) if segment == HOLE]
    places = tuple(tuple(hole[number] for hole, number in zip(holes, index, strict=True)) for index, _ in members)
    shapes = [key.shape for _, key in members]
    if len(list(groupby(shapes))) == 1:
        shapes = shapes[:1]
    orders = tuple(key.order for _, key in members)
    return Family(template, {index: key.key for index, key in members}, places, tuple(shapes), min(orders), orders)


def without(family: Family, keys: Collection[str]) -> Family | None:
    """The family without these keys; None where nothing is left."""
    left = [number for number, key in enumerate(family.keys) if key not in keys]
    if not left:
        return None
    indices = list(family.members)
    shapes = family.shapes if family.uniform else tuple(family.shapes[number] for number in left)
    members = {indices[number]: family.keys[number] for number in left}
    orders = tuple(family.orders[number] for number in left)
    places = tuple(family.places[number] for number in left)
    return Family(family.template, members, places, shapes, min(orders), orders)


def unfolded(families: Iterable[Family]) -> tuple[Family, ...]:
    """Each key as a family of its own, in the order of the keys."""
    return tuple(
        Family(tuple(key.split(".")), {(): key}, ((),), (family.shape_at(number),), order, (order,))
        for family in families
        for number, (key, order) in enumerate(zip(family.keys, family.orders, strict=True))
    )


def single(key: str) -> Family:
    """A key as a family of its own whose shape and order do not matter."""
    return Family(tuple(key.split(".")), {(): key}, ((),), ((),), -1, (-1,))
