"""Tensors that lie in pieces over many files, as one source.

Each tensor has a run of bytes in an address space of its own, where it is whole and row-major, so that everything that reads storages
reads it like any other, a row range as well. What is asked for is put together from the pieces when it is read; pieces that are whole
rows, lying as they should, are handed out as ranges of their files, which the system can copy. Where a piece lies is asked for when it
is first needed: the header of a large sharded checkpoint does not say, and thousands of files need not be looked into to list keys.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from math import prod

from ckptlint.core.checkpoint import ByteSource
from ckptlint.core.dtype import DType
from ckptlint.core.pieces import Range
from ckptlint.core.spec import contiguous
from ckptlint.errors import FormatError
from ckptlint.formats.patches import Located, Patch

_BLOCK = 4 << 20  # bytes that are put together at once


class Region:
    """A tensor in pieces: patches that tile it exactly, as whoever makes one has checked."""

    __slots__ = ("_rows", "_starts", "dtype", "patches", "shape", "start", "width")

    def __init__(self, start: int, dtype: DType, shape: tuple[int, ...], patches: Sequence[Patch]) -> None:
        self.start = start
        self.dtype = dtype
        self.width = dtype.bits // 8
        self.shape = shape or (1,)
        self.patches = patches if shape else [Patch((0,), (1,), _scalar(patch)) for patch in patches]
        self._rows = all(patch.sizes[1:] == self.shape[1:] for patch in self.patches)
        if self._rows:
            self.patches = sorted(self.patches, key=lambda patch: patch.offsets[0])
        self._starts = [patch.offsets[0] for patch in self.patches]

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * self.width

    def ranges(self, start: int, stop: int) -> Iterator[Range | bytes]:
        """Return the bytes from `start` to `stop` in order, in files where they lie there as they should."""
        if start >= stop:
            return
        if not self._rows:
            for at in range(start, stop, _BLOCK):
                yield self._gathered(at, min(at + _BLOCK, stop))
            return
        inner = prod(self.shape[1:]) * self.width
        number = max(0, bisect_right(self._starts, start // inner) - 1)
        while start < stop:
            patch = self.patches[number]
            first = patch.offsets[0] * inner
            end = min(stop, first + patch.sizes[0] * inner)
            if start < end:
                yield from self._of_patch(patch, first, start, end)
                start = end
            number += 1

    def records(self) -> Iterator[Range]:
        """Return the runs of bytes with a checksum that the pieces are part of."""
        for patch in self.patches:
            record = patch.located.record
            if record is not None:
                yield record

    def _of_patch(self, patch: Patch, first: int, start: int, stop: int) -> Iterator[Range | bytes]:
        """Return bytes of a patch of whole rows that begins at byte `first`."""
        located = patch.located
        if located.swapped or located.strides != contiguous(patch.sizes):
            for at in range(start, stop, _BLOCK):
                yield self._gathered(at, min(at + _BLOCK, stop))
            return
        place = located.start + start - first
        record = located.record
        if record is not None and (record.offset, record.length) == (place, stop - start):
            yield record
        else:
            yield Range(located.source, place, stop - start)

    def _gathered(self, start: int, stop: int) -> bytes:
        """Put bytes together element by element."""
        from ckptlint.formats.patching import gather

        first, last = start // self.width, -(-stop // self.width)
        block = gather(self.shape, self.dtype, self.patches, first, last)
        skipped = start - first * self.width
        return block[skipped : skipped + stop - start]


class Patchwork:
    """A source made of regions, one behind the other."""

    def __init__(self, name: str, sources: Sequence[ByteSource]) -> None:
        self.name = name
        self.size = 0
        self._sources = sources
        self._regions: list[Region] = []
        self._starts: list[int] = []

    def add(self, dtype: DType, shape: tuple[int, ...], patches: Sequence[Patch]) -> int:
        """Add a tensor; return the offset of its first byte."""
        region = Region(self.size, dtype, shape, patches)
        self._regions.append(region)
        self._starts.append(region.start)
        self.size += region.nbytes
        return region.start

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes from `offset` on."""
        parts = [
            piece.source.read(piece.offset, piece.length) if isinstance(piece, Range) else piece
            for piece in self.ranges(offset, length)
        ]
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def ranges(self, offset: int, length: int) -> Iterator[Range | bytes]:
        """Return the bytes in order, in files where they lie there as they should."""
        for region in self._concerned(offset, length):
            start, stop = max(0, offset - region.start), min(region.nbytes, offset + length - region.start)
            yield from region.ranges(start, stop)

    def records(self, offset: int, length: int) -> Iterator[Range]:
        """Return what has a checksum of all that these bytes are made of."""
        for region in self._concerned(offset, length):
            yield from region.records()

    def fileno(self) -> int | None:
        return None

    def check_unchanged(self) -> None:
        for source in self._sources:
            source.check_unchanged()

    def _concerned(self, offset: int, length: int) -> Iterator[Region]:
        if offset < 0 or length < 0 or offset + length > self.size:
            raise FormatError(f"has no bytes {offset} to {offset + length}", where=self.name)
        number = bisect_right(self._starts, offset) - 1
        while length > 0 and number < len(self._regions) and self._regions[number].start < offset + length:
            yield self._regions[number]
            number += 1


def _scalar(patch: Patch) -> Callable[[], Located]:
    return lambda: patch.located._replace(strides=(1,))


def flat(parts: Sequence[tuple[int, Callable[[], Located]]]) -> list[Patch]:
    """Return the patches of a row of elements that lies in parts, each so many elements long."""
    ends = [0]
    for length, _ in parts:
        ends.append(ends[-1] + length)
    return [
        Patch((begin,), (end - begin,), locate)
        for (begin, end), (_, locate) in zip(pairwise(ends), parts, strict=True)
        if end > begin
    ]
