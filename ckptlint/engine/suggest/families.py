"""Fold a schema into families: keys that differ in layer or expert numbers alone, as one unit to be matched.

A number folds where the children that it tells apart look alike (the same names below have the same shapes): blocks, experts.
The numbers of a `Sequential`, and stages of different widths, stay literal: there the number says what the thing is. A number within
a name (`layers_0`) folds where it tells apart modules that hold modules, if keys are read by more than their points.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final

from ckptlint.engine.suggest.spelling import Read, Reader, inner_number

Index = tuple[int, ...]
Segments = tuple[str, ...]
Shape = tuple[int, ...]

HOLE: Final = (
    ".#"  # the segment of a template where numbers were folded; keys part at points, so that none has one like it
)
_DEEPEST: Final = 8  # lists within lists that fold; deeper numbers stay literal
_ALIKE: Final = 0.5  # of the names that children share, so many must have one shape
_SHARED: Final = 0.6  # of the keys, so many must have a name that another child has, too
_SHARED_BY_TWO: Final = 0.75
_INSIDE: Final = 4  # tensors in a module, for a number within its name to be that of a list
_PLAIN: Final = Reader()


@dataclass(frozen=True, slots=True)
class Family:
    """Keys of one template. `members` maps the numbers at the holes to the key, `places` the same numbers counted from 0 in their lists.

    `order` is the place of the first key in the schema, `orders` that of each. All shapes are those of the keys in the order of `places`,
    once turned by `turn`, a pattern of `rearrange`; `stored` is that of the first before. `text` is what the keys have before, between
    and behind their numbers, empty where the template says it.
    """

    template: Segments
    members: Mapping[Index, str]
    places: tuple[Index, ...]
    shapes: tuple[Shape, ...]
    order: int
    orders: tuple[int, ...] = ()
    text: Segments = ()
    turn: str = ""
    stored: Shape = ()

    @property
    def written(self) -> Segments:
        """The keys by their points, with `HOLE` for each number, which may be within a segment."""
        return _parted_text(self.text) if self.text else self.template

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
        return ".".join(self.written).replace(HOLE, "#")


@dataclass(frozen=True, slots=True)
class _Key:
    """A key with how it is read, and its place."""

    key: str
    read: Read
    order: int

    @property
    def segments(self) -> Segments:
        return self.read.segments

    @property
    def shape(self) -> Shape:
        return self.read.shape

    def parted(self, place: int, found: tuple[str, str, str, str]) -> _Key:
        """The key with the segment at a place cut into its stem, its number, and what follows."""
        stem, join, number, rest = found
        pieces, joins = ((stem, number, rest), (join, "_")) if rest else ((stem, number), (join,))
        read = self.read
        return replace(
            self,
            read=read._replace(
                segments=(*read.segments[:place], *pieces, *read.segments[place + 1 :]),
                raw=(*read.raw[:place], *pieces, *read.raw[place + 1 :]),
                joins=(*read.joins[: place + 1], *joins, *read.joins[place + 1 :]),
            ),
        )


def fold(shapes: Mapping[str, Shape], reader: Reader = _PLAIN) -> tuple[Family, ...]:
    """Fold keys into families in the order of their first keys. Near-linear in the number of keys."""
    reads = reader.read(shapes)
    keys = [_Key(key, reads[key], order) for order, key in enumerate(shapes)]
    gathered: dict[Segments, list[tuple[Index, _Key]]] = {}
    lists: dict[Segments, dict[int, int]] = {}
    todo: list[tuple[Segments, list[tuple[Index, _Key]]]] = [((), [((), each) for each in keys])]
    while todo:
        prefix, below = todo.pop()
        below = below if reader.plain else _numbers_apart(len(prefix), below)
        for segment, inside in _parted(prefix, below, lists).items():
            template = (*prefix, segment)
            leaves = [each for each in inside if len(each[1].segments) == len(template)]
            if leaves:
                gathered[template] = leaves
            if len(leaves) < len(inside):
                todo.append((template, [each for each in inside if len(each[1].segments) > len(template)]))
    found = [family for template, members in gathered.items() for family in _families(template, members, lists)]
    return tuple(sorted(found, key=lambda family: family.order))


def _numbers_apart(place: int, below: list[tuple[Index, _Key]]) -> list[tuple[Index, _Key]]:
    """Cut numbers out of the names at a place where they count modules that hold modules, and look alike."""
    stems: dict[str, dict[tuple[str, bool], dict[str, list[tuple[Index, _Key]]]]] = {}
    taken = {key.segments[place] for _, key in below}
    for index, key in below:
        found = inner_number(key.segments[place])
        if found is not None and found[0] not in taken and len(key.segments) > place + 1:
            way = stems.setdefault(found[0], {}).setdefault((found[1], bool(found[3])), {})
            way.setdefault(found[2], []).append((index, key.parted(place, found)))
    cut: dict[str, _Key] = {}
    for ways in stems.values():
        (numbers, *others) = ways.values()
        if not others and len(numbers) > 1 and _hold_modules(numbers, place + 1) and _alike(numbers, place + 1):
            cut.update((key.key, key) for inside in numbers.values() for _, key in inside)
    return [(index, cut.get(key.key, key)) for index, key in below] if cut else below


def _hold_modules(numbers: Mapping[str, list[tuple[Index, _Key]]], place: int) -> bool:
    """Whether something in each is deeper than its own tensors, and there is enough of it."""
    rests = [{key.segments[place + 1 :] for _, key in inside} for inside in numbers.values()]
    return all(len(each) >= _INSIDE and max(map(len, each)) > 1 for each in rests)


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


def _families(
    template: Segments, members: list[tuple[Index, _Key]], lists: Mapping[Segments, dict[int, int]]
) -> Iterator[Family]:
    """The family of these keys; one for each where they are not spelled or turned alike."""
    ways: dict[tuple[Segments, str], list[tuple[Index, _Key]]] = {}
    for each in members:
        ways.setdefault((_text(template, each[1].read), each[1].read.turn), []).append(each)
    if len(ways) == 1:
        yield _family(template, members, lists)
        return
    for _, key in members:
        yield _family(key.segments, [((), key)], lists)


def _family(template: Segments, members: list[tuple[Index, _Key]], lists: Mapping[Segments, dict[int, int]]) -> Family:
    holes = [lists[template[: place + 1]] for place, segment in enumerate(template) if segment == HOLE]
    places = tuple(tuple(hole[number] for hole, number in zip(holes, index, strict=True)) for index, _ in members)
    shapes = [key.shape for _, key in members]
    if len(list(groupby(shapes))) == 1:
        shapes = shapes[:1]
    orders = tuple(key.order for _, key in members)
    read = members[0][1].read
    found = Family(template, {index: key.key for index, key in members}, places, tuple(shapes), min(orders), orders)
    text = _text(template, read)
    return (
        found
        if _parted_text(text) == template and not read.turn
        else replace(found, text=text, turn=read.turn, stored=read.stored)
    )


def _text(template: Segments, read: Read) -> Segments:
    """What a key has before, between and behind the numbers of its template."""
    found = [""]
    for segment, join, raw in zip(template, read.joins, read.raw, strict=False):
        found[-1] += join
        if segment == HOLE:
            found.append("")
        else:
            found[-1] += raw
    found[-1] += read.joins[-1]
    return tuple(found)


def _parted_text(text: Segments) -> Segments:
    """The text parted at its points, with `HOLE` between what is before and behind a number."""
    found = [""]
    for place, piece in enumerate(text):
        first, *rest = piece.split(".")
        found[-1] += HOLE + first if place else first
        found += rest
    return tuple(found)


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
    return replace(family, members=members, places=places, shapes=shapes, order=min(orders), orders=orders)


def unfolded(families: Iterable[Family]) -> tuple[Family, ...]:
    """Each key as a family of its own, in the order of the keys."""
    return tuple(
        Family(
            _filled(family.template, index),
            {(): key},
            ((),),
            (family.shape_at(number),),
            order,
            (order,),
            (key,) if family.text else (),
            family.turn,
            family.stored,
        )
        for family in families
        for number, ((index, key), order) in enumerate(zip(family.members.items(), family.orders, strict=True))
    )


def _filled(template: Segments, index: Index) -> Segments:
    numbers = iter(index)
    return tuple(str(next(numbers)) if segment == HOLE else segment for segment in template)
