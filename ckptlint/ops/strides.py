"""Strided boxes of elements: where in a flat sequence the elements of a tensor lie.

Counting is in elements throughout. A stride may be negative (flipped) or zero (expanded); that of a dimension of size one does not
matter and is kept as zero, so that equal boxes compare equal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod

from ckptlint.core.spec import contiguous


@dataclass(frozen=True, slots=True)
class Box:
    """A shape with strides, from an offset on. Made by `Box.of`, which brings strides into their one form."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int

    @classmethod
    def of(cls, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0) -> Box:
        if 0 in shape:
            return cls(shape, (0,) * len(shape), 0)
        return cls(shape, tuple(stride if size > 1 else 0 for size, stride in zip(shape, strides, strict=True)), offset)

    @classmethod
    def row_major(cls, shape: tuple[int, ...], offset: int = 0) -> Box:
        return cls.of(shape, contiguous(shape), offset)

    @property
    def numel(self) -> int:
        return prod(self.shape)

    @property
    def is_row_major(self) -> bool:
        return self == Box.row_major(self.shape, self.offset)

    @property
    def distinct(self) -> int:
        """How many elements there are, those that several indices share counted once."""
        return prod(size for size, stride in zip(self.shape, self.strides, strict=True) if stride)

    @property
    def extent(self) -> tuple[int, int]:
        """The first place it reaches, and the one after the last."""
        if 0 in self.shape:
            return self.offset, self.offset
        ends = [stride * (size - 1) for size, stride in zip(self.shape, self.strides, strict=True)]
        return self.offset + sum(end for end in ends if end < 0), self.offset + sum(end for end in ends if end > 0) + 1

    def reshaped(self, shape: tuple[int, ...]) -> Box | None:
        """Return the same elements in the same order under another shape of as many, None where strides cannot say it."""
        strides = _strides_for(self.coalesced(), shape)
        return None if strides is None else Box.of(shape, strides, self.offset)

    def permuted(self, dims: tuple[int, ...]) -> Box:
        return Box(tuple(self.shape[dim] for dim in dims), tuple(self.strides[dim] for dim in dims), self.offset)

    def sliced(self, dim: int, start: int, step: int, size: int) -> Box:
        """Keep `size` entries along a dimension, every `step`-th from `start` on."""
        shape = (*self.shape[:dim], size, *self.shape[dim + 1 :])
        strides = (*self.strides[:dim], self.strides[dim] * step, *self.strides[dim + 1 :])
        return Box.of(shape, strides, self.offset + self.strides[dim] * start)

    def expanded(self, dim: int, size: int) -> Box:
        """Repeat the one entry along a dimension."""
        return Box.of((*self.shape[:dim], size, *self.shape[dim + 1 :]), self.strides, self.offset)

    def flipped(self, dim: int) -> Box:
        strides = (*self.strides[:dim], -self.strides[dim], *self.strides[dim + 1 :])
        return Box.of(self.shape, strides, self.offset + self.strides[dim] * max(self.shape[dim] - 1, 0))

    def followed_by(self, other: Box, dim: int) -> Box | None:
        """Return the one box that both are, end to end along `dim`, None where there is none."""
        rest = (*self.shape[:dim], *self.shape[dim + 1 :]), (*self.strides[:dim], *self.strides[dim + 1 :])
        other_rest = (*other.shape[:dim], *other.shape[dim + 1 :]), (*other.strides[:dim], *other.strides[dim + 1 :])
        steps = [box.strides[dim] for box in (self, other) if box.shape[dim] > 1] or [other.offset - self.offset]
        stride = steps[0]
        if rest != other_rest or stride <= 0 or stride != steps[-1]:
            return None
        if other.offset != self.offset + stride * self.shape[dim]:
            return None
        shape = (*self.shape[:dim], self.shape[dim] + other.shape[dim], *self.shape[dim + 1 :])
        return Box.of(shape, (*self.strides[:dim], stride, *self.strides[dim + 1 :]), self.offset)

    def coalesced(self) -> Box:
        """Merge neighbouring dimensions that are walked as one; dimensions of size one go away."""
        shape: list[int] = []
        strides: list[int] = []
        for size, stride in zip(self.shape, self.strides, strict=True):
            if size == 1:
                continue
            if shape and strides[-1] == stride * size:
                shape[-1] *= size
                strides[-1] = stride
            else:
                shape.append(size)
                strides.append(stride)
        return Box(tuple(shape), tuple(strides), self.offset)

    @property
    def run(self) -> int:
        """Elements that lie next to each other in order, from any place where a run begins."""
        box = self.coalesced()
        return box.shape[-1] if box.shape and box.strides[-1] == 1 else 1

    def starts(self) -> Iterator[int]:
        """Where its runs begin, in row-major order."""
        box = self.coalesced()
        outer = len(box.shape) - (bool(box.shape) and box.strides[-1] == 1)
        return places(box.shape[:outer], box.strides[:outer], box.offset)

    def by_stride(self) -> tuple[int, ...]:
        """The dimensions ordered as they lie, the one with the longest stride first."""
        return tuple(sorted(range(len(self.shape)), key=lambda dim: -abs(self.strides[dim])))


def places(shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> Iterator[int]:
    """Where the elements of a box lie, in row-major order."""
    steps = [
        range(0, size * stride, stride) if stride else (0,) * size for size, stride in zip(shape, strides, strict=True)
    ]
    return map(sum, product((offset,), *steps))


def aligned_groups(old: tuple[int, ...], new: tuple[int, ...]) -> Iterator[tuple[range, range]]:
    """Pair the fewest dimensions of two shapes that hold equally many elements; the shapes have no size 0."""
    i = j = 0
    while i < len(old) or j < len(new):
        first = i, j
        have, want = prod(old[i : i + 1]), prod(new[j : j + 1])
        i, j = min(i + 1, len(old)), min(j + 1, len(new))
        while have != want:
            if have < want:
                have *= old[i]
                i += 1
            else:
                want *= new[j]
                j += 1
        yield range(first[0], i), range(first[1], j)


def _strides_for(box: Box, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return the strides of a coalesced box under another shape: each of its dimensions must be made of whole new ones."""
    if 0 in shape:
        return contiguous(shape)
    strides: list[int] = []
    sizes = list(shape)
    for size, stride in zip(reversed(box.shape), reversed(box.strides), strict=True):
        inner = 1
        while inner < size:
            last = sizes.pop()
            strides.append(stride * inner)
            inner *= last
        if inner != size:
            return None
    return tuple(reversed(strides + [0] * len(sizes)))
