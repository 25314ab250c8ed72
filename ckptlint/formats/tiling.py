"""Whether boxes tile a tensor: every element in exactly one of them.

torch does not look: what no chunk covers keeps its random values, and of two chunks over one element the last read wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

_MOST_WORK = 10_000_000  # boxes looked at; a real sharding looks at each once a dimension

Sizes = tuple[int, ...]


class Flaw(NamedTuple):
    """What is wrong with a tiling, and where."""

    kind: str  # outside, hole, overlap, fragmented
    bounds: tuple[tuple[int, int], ...]

    def __str__(self) -> str:
        return f"[{', '.join(f'{low}:{high}' for low, high in self.bounds)}]"


def find_flaw(shape: Sizes, boxes: Sequence[tuple[Sizes, Sizes]]) -> Flaw | None:
    """Return the first place where boxes of (offsets, sizes) do not tile a tensor of this shape, None where they do."""
    for offsets, sizes in boxes:
        if any(begin + size > most for begin, size, most in zip(offsets, sizes, shape, strict=True)):
            return Flaw("outside", _bounds(offsets, sizes))
    filled = [box for box in boxes if 0 not in box[1]]
    if 0 in shape or (len(filled) == 1 and filled[0][1] == shape):
        return None
    return _Sweep(shape).flaw(filled, ())


class _Sweep:
    """Cuts the tensor into slabs along one dimension after the other, so that in each slab every box reaches from end to end."""

    def __init__(self, shape: Sizes) -> None:
        self._shape = shape
        self._work = 0

    def flaw(self, boxes: Sequence[tuple[Sizes, Sizes]], slab: tuple[tuple[int, int], ...]) -> Flaw | None:
        dim = len(slab)
        if not boxes:
            return Flaw("hole", (*slab, *((0, size) for size in self._shape[dim:])))
        if dim == len(self._shape):
            return None if len(boxes) == 1 else Flaw("overlap", slab)
        self._work += len(boxes)
        if self._work > _MOST_WORK:
            return Flaw("fragmented", slab)
        begins: dict[int, list[int]] = {0: [], self._shape[dim]: []}
        ends: dict[int, list[int]] = {}
        for number, (offsets, sizes) in enumerate(boxes):
            begins.setdefault(offsets[dim], []).append(number)
            ends.setdefault(offsets[dim] + sizes[dim], []).append(number)
        cuts = sorted({*begins, *ends})
        active: dict[int, None] = {}
        for low, high in pairwise(cuts):
            for number in ends.get(low, ()):
                del active[number]
            active.update(dict.fromkeys(begins.get(low, ())))
            found = self.flaw([boxes[number] for number in active], (*slab, (low, high)))
            if found is not None:
                return found
        return None


def _bounds(offsets: Sizes, sizes: Sizes) -> tuple[tuple[int, int], ...]:
    return tuple((begin, begin + size) for begin, size in zip(offsets, sizes, strict=True))
