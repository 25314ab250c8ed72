"""What the order of keys says: that of registration does say something, the alphabet does not, nor does one that names contradict.

Two things are looked at. The children of a block that are decided stand in one order on both sides, or they do not: only where they do,
order counts. Then a pair may stand between the same decided children on both sides, or not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from ckptlint.engine.suggest.families import HOLE, Family, Segments

_SORTED: Final = 0.97  # of neighbours, so many stand in the order of the alphabet: somebody sorted them
_AGREE: Final = 0.9
_FEWEST: Final = 2  # decided children that say whether a block has one order on both sides
_MOST_CHILDREN: Final = 64  # of a block, beyond which nobody stands between two


def block_of(template: Segments) -> Segments:
    """The path up to the innermost list, or number that holds modules: that of a layer in a `Sequential` holds none."""
    for place in range(len(template) - 1, -1, -1):
        if template[place] == HOLE or (template[place].isdigit() and place < len(template) - 2):
            return template[: place + 1]
    return ()


def child_of(template: Segments) -> Segments:
    """The path to what stands directly in the innermost list, and holds the tensor."""
    return template[: len(block_of(template)) + 1]


def is_sorted(families: Sequence[Family]) -> bool:
    """Whether the families stand in the order of the alphabet, block by block."""
    blocks: dict[Segments, list[Segments]] = {}
    for family in families:
        blocks.setdefault(block_of(family.template), []).append(family.template)
    rising = [one < other for block in blocks.values() for one, other in pairwise(block)]
    return bool(rising) and sum(rising) >= _SORTED * len(rising)


def agrees(pairs: Iterable[tuple[Family, Family]]) -> bool:
    """Whether pairs that names decided stand in one order on both sides, block by block."""
    blocks: dict[tuple[Segments, Segments], list[tuple[int, int]]] = {}
    for old, new in pairs:
        blocks.setdefault((block_of(old.template), block_of(new.template)), []).append((old.order, new.order))
    return _mostly_rising(blocks.values())


def _mostly_rising(blocks: Iterable[list[tuple[int, int]]]) -> bool:
    rising = [one[1] < other[1] for block in blocks for one, other in pairwise(sorted(block))]
    return sum(rising) >= _AGREE * len(rising)


def places(templates: Iterable[Segments]) -> Mapping[Segments, int]:
    return {template: place for place, template in enumerate(templates)}


@dataclass(slots=True)
class _Span:
    """From where to where a decided child reaches in the order of either side."""

    old_first: int
    old_last: int
    new_first: int
    new_last: int

    def add(self, old: int, new: int) -> None:
        self.old_first, self.old_last = min(self.old_first, old), max(self.old_last, old)
        self.new_first, self.new_last = min(self.new_first, new), max(self.new_last, new)

    def before(self, other: _Span) -> bool:
        return self.new_last < other.new_first

    def same_side(self, old: int, new: int) -> bool | None:
        """Whether a pair stands on the same side of it in both orders; None where it stands within."""
        mine = -1 if old < self.old_first else 1 if old > self.old_last else 0
        its = -1 if new < self.new_first else 1 if new > self.new_last else 0
        return mine == its if mine and its else None


_Pair = tuple[Segments, Segments]


@dataclass(slots=True)
class Neighbours:
    """The decided children of every pair of blocks, and where they stand."""

    blocks: dict[_Pair, dict[_Pair, _Span]] = field(default_factory=dict)

    def add(self, old: Family, new: Family) -> None:
        block = self.blocks.setdefault((block_of(old.template), block_of(new.template)), {})
        child = (child_of(old.template), child_of(new.template))
        if child in block:
            block[child].add(old.order, new.order)
        else:
            block[child] = _Span(old.order, old.order, new.order, new.order)

    def agree(self, old: Segments, new: Segments) -> bool:
        """Whether the decided children of two blocks stand in one order on both sides; there must be some."""
        block = self.blocks.get((block_of(old), block_of(new)), {})
        return len(block) >= _FEWEST and _mostly_rising([[(span.old_first, span.new_first) for span in block.values()]])

    def between(self, old: Family, new: Family) -> bool | None:
        """Whether a pair stands between the same decided children on both sides; None where there are none, or they are disordered."""
        block = self.blocks.get((block_of(old.template), block_of(new.template)), {})
        if not 0 < len(block) <= _MOST_CHILDREN:
            return None
        own = (child_of(old.template), child_of(new.template))
        spans = sorted((span for child, span in block.items() if child != own), key=lambda span: span.old_first)
        if not all(one.before(other) for one, other in pairwise(spans)):
            return None
        known = [said for span in spans if (said := span.same_side(old.order, new.order)) is not None]
        return all(known) if known else None
