"""Comparing two values by their pieces, without holding either."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from ckptlint.core.pieces import Piece, Range
from ckptlint.core.spec import TensorSpec, contiguous

_CHUNK: Final = 4 << 20  # bytes read at once
COMPARED: Final = (
    6 * _CHUNK
)  # bytes that comparing takes beside the values: of each side a chunk, what is left of it, and its copy


def first_difference(one: Iterable[Piece], other: Iterable[Piece], spec: TensorSpec) -> tuple[int, ...] | None:
    """Return the index of the first element in which two values of one spec differ bit for bit, None where they are equal."""
    left, right = chunks(one), chunks(other)
    a = b = b""
    done = 0
    while (a := a or next(left, b"")) and (b := b or next(right, b"")):
        length = min(len(a), len(b))
        if a[:length] != b[:length]:
            return _index(8 * (done + _first_byte(a[:length], b[:length])) // spec.dtype.bits, spec.shape)
        a, b, done = a[length:], b[length:], done + length
    return None


def chunks(pieces: Iterable[Piece]) -> Iterator[bytes]:
    """Return the bytes of pieces, a few million at a time."""
    for piece in pieces:
        if isinstance(piece, Range):
            for start in range(0, piece.length, _CHUNK):
                yield piece.source.read(piece.offset + start, min(_CHUNK, piece.length - start))
        else:
            view = memoryview(piece).cast("B")
            for start in range(0, len(view), _CHUNK):
                yield bytes(view[start : start + _CHUNK])


def _first_byte(one: bytes, other: bytes) -> int:
    """Return where two unequal byte strings of one length first differ."""
    low, high = 0, len(one)
    while high - low > 1:
        middle = (low + high) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle
    return low


def _index(place: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(place // step % size for step, size in zip(contiguous(shape), shape, strict=True))
