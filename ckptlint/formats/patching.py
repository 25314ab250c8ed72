"""Put elements of a tensor in pieces together: the part of reading a patchwork that needs arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any, TypeAlias

import numpy as np

from ckptlint.core.dtype import DType
from ckptlint.core.spec import contiguous
from ckptlint.formats.patches import Located, Patch

Elements: TypeAlias = "np.ndarray[Any, Any]"
Bounds: TypeAlias = "tuple[tuple[int, int], ...]"
_SPARSE = 2  # elements read for each wanted one, up to which one read is better than many
_SMALL = 1 << 14  # elements that are read in one go, however few of them are wanted


def gather(shape: tuple[int, ...], dtype: DType, patches: Sequence[Patch], first: int, last: int) -> bytes:
    """Return the elements from number `first` up to `last`, row-major and little-endian."""
    made = np.zeros(last - first, dtype=_unit(dtype.bits // 8))
    done = 0
    for bounds in _boxes(shape, first, last):
        sizes = [high - low for low, high in bounds]
        target = made[done : done + prod(sizes)].reshape(sizes)
        done += prod(sizes)
        for patch in patches:
            _fill(target, bounds, patch, dtype)
    return made.tobytes()


def _boxes(shape: tuple[int, ...], first: int, last: int) -> Iterator[Bounds]:
    """Cut a run of elements into boxes, at most two for each dimension; they come in order."""
    if first >= last:
        return
    inner = prod(shape[1:])
    whole = tuple((0, size) for size in shape[1:])
    low, high = -(-first // inner), last // inner
    if low > high:  # inside of one row
        yield from _within(low - 1, shape, first, last)
        return
    if first < low * inner:
        yield from _within(low - 1, shape, first, low * inner)
    if low < high:
        yield ((low, high), *whole)
    if high * inner < last:
        yield from _within(high, shape, high * inner, last)


def _within(row: int, shape: tuple[int, ...], first: int, last: int) -> Iterator[Bounds]:
    skipped = row * prod(shape[1:])
    for bounds in _boxes(shape[1:], first - skipped, last - skipped):
        yield ((row, row + 1), *bounds)


def _fill(target: Elements, bounds: Bounds, patch: Patch, dtype: DType) -> None:
    """Put what a patch has of a box into its place."""
    shared = [
        (max(low, begin), min(high, begin + size))
        for (low, high), begin, size in zip(bounds, patch.offsets, patch.sizes, strict=True)
    ]
    if any(low >= high for low, high in shared):
        return
    located = patch.located
    offset = sum(
        (low - begin) * step for (low, _), begin, step in zip(shared, patch.offsets, located.strides, strict=True)
    )
    shape = tuple(high - low for low, high in shared)
    place = tuple(slice(low - begin, high - begin) for (low, high), (begin, _) in zip(shared, bounds, strict=True))
    target[place] = _elements(located, shape, located.strides, offset, dtype)


def _elements(
    located: Located, shape: tuple[int, ...], strides: tuple[int, ...], offset: int, dtype: DType
) -> Elements:
    """Read a strided view, and no more than twice as much: one that is spread wider is read row by row."""
    reach = 1 + sum((size - 1) * step for size, step in zip(shape, strides, strict=True))
    width = dtype.bits // 8
    if reach > max(_SPARSE * prod(shape), _SMALL):
        axis = max(range(len(shape)), key=lambda dim: (shape[dim] > 1) * strides[dim])
        rest = (*shape[:axis], 1, *shape[axis + 1 :])
        rows = [_elements(located, rest, strides, offset + row * strides[axis], dtype) for row in range(shape[axis])]
        return np.concatenate(rows, axis)
    content = located.source.read(located.start + offset * width, reach * width)
    if located.swapped:
        unit = width // 2 if dtype.kind == "complex" else width  # a complex number is swapped part by part
        content = np.frombuffer(content, dtype=f"u{unit}").byteswap().tobytes()
    elements = np.frombuffer(content, dtype=_unit(width))
    if strides == contiguous(shape):
        return elements.reshape(shape)
    return np.lib.stride_tricks.as_strided(elements, shape, tuple(step * width for step in strides), writeable=False)


def _unit(width: int) -> str:
    return f"u{width}" if width in (1, 2, 4, 8) else f"V{width}"
