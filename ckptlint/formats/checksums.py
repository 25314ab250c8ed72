"""CRC-32 of a whole from the CRC-32 of its parts, so that no byte is summed twice.

A record that is cut into several outputs is summed once, part by part, as the parts are copied; its own checksum follows from theirs, and
so does that of an output that is joined from several records.
Source: Mark Adler's `crc32_combine` in zlib: appending n zero bytes multiplies a checksum by x^(8n) modulo the polynomial.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

_POLYNOMIAL = 0xEDB88320  # of CRC-32, bits reflected: the highest power is the lowest bit
_ONE = 1 << 31  # the polynomial 1


def combine(first: int, second: int, length: int) -> int:
    """Return the CRC-32 of two byte strings one after the other; `length` is that of the second, in bytes."""
    return _times(_power(length), first) ^ second


class _Run(NamedTuple):
    start: int
    end: int
    checksum: int


class Runs:
    """The checksums of the parts of records that were met, joined where they touch; what is met again changes nothing."""

    __slots__ = ("_runs",)

    def __init__(self) -> None:
        self._runs: list[_Run] = []  # in order, none touching another

    def add(self, start: int, length: int, checksum: int) -> None:
        """Note a part by its first byte, its length in bytes and its checksum."""
        end = start + length
        at = bisect_right(self._runs, start, key=_start)
        left = self._runs[at - 1] if at else None
        right = self._runs[at] if at < len(self._runs) else None
        if length == 0 or (left is not None and start < left.end) or (right is not None and end > right.start):
            return
        first, last = at, at
        if left is not None and left.end == start:
            first, start, checksum = at - 1, left.start, combine(left.checksum, checksum, length)
        if right is not None and right.start == end:
            last, checksum = at + 1, combine(checksum, right.checksum, right.end - end)
            end = right.end
        self._runs[first:last] = [_Run(start, end, checksum)]

    def __iter__(self) -> Iterator[_Run]:
        return iter(self._runs)

    def whole(self, start: int, length: int) -> int | None:
        """Return the checksum of just this stretch where its parts were all met, and none beside it."""
        at = bisect_right(self._runs, start, key=_start)
        run = self._runs[at - 1] if at else None
        return run.checksum if run is not None and run[:2] == (start, start + length) else None


class RecordSums:
    """The checksums of a record's parts, of which some are copied and others read, in two threads."""

    __slots__ = ("copied", "read")

    def __init__(self) -> None:
        self.copied = Runs()
        self.read = Runs()

    def add(self, start: int, length: int, checksum: int) -> None:
        """Note a part that was copied."""
        self.copied.add(start, length, checksum)

    def whole(self, start: int, length: int) -> int | None:
        """Return the checksum of just this stretch; asked for when nothing is copied or read any more."""
        together = Runs()
        for run in (*self.copied, *self.read):
            together.add(run.start, run.end - run.start, run.checksum)
        return together.whole(start, length)


def _start(run: _Run) -> int:
    return run.start


def _times(a: int, b: int) -> int:
    """Return the product of two polynomials modulo that of the checksum."""
    product = 0
    while a:
        if a & _ONE:
            product ^= b
        a = (a << 1) & 0xFFFFFFFF
        b = (b >> 1) ^ _POLYNOMIAL if b & 1 else b >> 1
    return product


@lru_cache(maxsize=4096)
def _power(length: int) -> int:
    """Return x^(8 * length) modulo the polynomial."""
    power = _ONE
    for exponent in range(length.bit_length()):
        if length >> exponent & 1:
            power = _times(_square(exponent), power)
    return power


@lru_cache(maxsize=64)
def _square(exponent: int) -> int:
    """Return x^(8 * 2^exponent) modulo the polynomial."""
    if exponent == 0:
        return _ONE >> 8
    root = _square(exponent - 1)
    return _times(root, root)
