"""Bring the elements of a symbolic value into memory, reading no more of the sources than it needs.

A view is read as it lies: in one stretch where that holds little else, else run by run into a buffer that keeps the order of the source;
the array kit then looks at the buffer in the order of the result. So a block of a transposed tensor costs one read for each of its rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import Final, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

from ckptlint.core.dtype import DType
from ckptlint.core.operation import Kit
from ckptlint.core.spec import TensorSpec, contiguous
from ckptlint.ops.layout_runs import stretch
from ckptlint.ops.layout_values import (
    Combined,
    Computed,
    Contracted,
    Converted,
    Filled,
    Gathered,
    Joined,
    NotAllZero,
    Product,
    Reduced,
    Taken,
    Transformed,
    Value,
    View,
    parts_of,
)
from ckptlint.ops.strides import Box, places

T = TypeVar("T")
Buffer: TypeAlias = "bytes | bytearray | memoryview"
_READ: Final = 1 << 20  # bytes read at once where much is
_SPARSE: Final = 2  # bytes read for each byte wanted, up to which one read is better than many


class Refusals(Protocol):
    """How many elements a cast refuses, and one of them in words."""

    @property
    def elements(self) -> int: ...

    @property
    def sample(self) -> str: ...


class ArrayKit(Kit[T], Protocol[T]):
    """A kit over data in memory, and the way in and out of it. Elements in memory are little-endian."""

    def strided(self, memory: Buffer, spec: TensorSpec, strides: Sequence[int], offset: int) -> T:
        """Look at elements in memory; strides and offset count elements."""
        ...

    def swapped(self, memory: Buffer, dtype: DType) -> memoryview:
        """Turn big-endian elements into little-endian ones."""
        ...

    def dump(self, x: T) -> memoryview:
        """Return the elements row-major."""
        ...

    def refused(self, x: T, dtype: DType, *, saturate: bool = False) -> Refusals:
        """Count what `cast` would refuse."""
        ...


class Bases(Protocol):
    """Where the elements of bases are: what the gatherer asks the runner for."""

    def fetch(self, base: int, dtype: DType, start: int, stop: int) -> Buffer:
        """Return elements of a numbered value from `start` up to `stop`."""
        ...

    def held(self, base: Gathered) -> Buffer | None:
        """Return the whole of a gathered sequence where it is in memory."""
        ...

    def hold(self, base: Gathered) -> Buffer:
        """Bring the whole of a gathered sequence into memory."""
        ...


class _Stretch(NamedTuple):
    """Elements `first` up to `last` of a base, in memory."""

    base: int | Gathered
    first: int
    last: int
    memory: memoryview


class Gatherer(Generic[T]):
    """Turns symbolic values into arrays."""

    def __init__(self, bases: Bases, arrays: ArrayKit[T]) -> None:
        self._bases = bases
        self._arrays = arrays
        self._whole: _Stretch | None = None
        self._room = bytearray()

    @contextmanager
    def at_once(self, view: View) -> Iterator[None]:
        """Read all that a view looks at now, in one go, and take its blocks from there."""
        first, last = view.box.extent
        length = view.dtype.nbytes(last - first)
        memory = memoryview(self._free(length))[:length]
        for start in range(0, length, _READ):
            stop = min(start + _READ, length)
            size = view.dtype.bits // 8
            memory[start:stop] = self._fetch(view.base, view.dtype, first + start // size, first + stop // size)
        self._whole = _Stretch(view.base, first, last, memory)
        try:
            yield
        finally:
            self._whole = None

    def _free(self, nbytes: int) -> bytearray:
        """Return the same memory as before where it is large enough and nobody looks at it any more."""
        try:
            self._room.append(0)  # refused while somebody does
            self._room.pop()
        except BufferError:
            self._room = bytearray(nbytes)
        if len(self._room) < nbytes:
            self._room = bytearray(nbytes)
        return self._room

    def array(self, value: Value) -> T:
        """Return a value's elements; `ShapeError` where a cast or a check refuses some of them."""
        kit = self._arrays
        match value:
            case View():
                return self._view(value)
            case Filled(spec, element):
                return kit.strided(element, spec, (0,) * len(spec.shape), 0)
            case Joined(dim, parts):
                return kit.concat([self.array(part) for part in parts], dim)
            case Taken(inner, dim, indices):
                return kit.take(self.array(inner), dim, indices)
            case Transformed(inner, function):
                return kit.transform(self.array(inner), function)
            case Combined(how, one, other):
                return kit.combine(how, self.array(one), self.array(other))
            case Converted(inner, dtype, saturate):
                return kit.cast(self.array(inner), dtype, saturate=saturate)

    def computed(self, value: Computed) -> T:
        """Return what is computed all together."""
        kit = self._arrays
        match value:
            case Reduced(inner, dim, how):
                return kit.reduce(self.array(inner), dim, how)
            case Contracted(inner, dim, matrix):
                return kit.contract(self.array(inner), dim, matrix)
            case Product(one, other):
                return kit.product(self.array(one), self.array(other))
            case NotAllZero(inner):
                return kit.not_all_zero(self.array(inner))

    def sequence(self, value: Value | Computed) -> memoryview:
        """Return a value's elements row-major, as bytes."""
        if isinstance(value, Computed):
            return self._arrays.dump(self.computed(value))
        return self._arrays.dump(self.array(value))

    def _view(self, view: View) -> T:
        if view.box.numel == 0:
            return self._arrays.strided(b"", view.spec, view.box.strides, 0)
        whole = self._whole
        if (
            whole is not None
            and whole.base == view.base
            and whole.first <= view.box.extent[0] <= view.box.extent[1] <= whole.last
        ):
            return self._arrays.strided(whole.memory, view.spec, view.box.strides, view.box.offset - whole.first)
        order = view.box.by_stride()
        sorted_box = view.box.permuted(order)
        outer = _outer(sorted_box)
        if outer == 0:
            first, last = view.box.extent
            memory = self._fetch(view.base, view.dtype, first, last)
            return self._arrays.strided(memory, view.spec, view.box.strides, view.box.offset - first)
        return self._sparse(view, sorted_box, order, outer)

    def _sparse(self, view: View, box: Box, order: tuple[int, ...], outer: int) -> T:
        """Read only the stretches that are wanted, one for each index of the outer dimensions, and lay them end to end."""
        base = view.base
        if isinstance(base, Gathered):
            self._bases.hold(base)
        inner = Box(box.shape[outer:], box.strides[outer:], 0)
        low, high = inner.extent
        length = high - low
        size = view.dtype.bits // 8
        memory = bytearray(prod(box.shape[:outer]) * length * size)
        at = 0
        for place in places(box.shape[:outer], box.strides[:outer], box.offset + low):
            memory[at : at + length * size] = self._fetch(base, view.dtype, place, place + length)
            at += length * size
        strides = (*(step * length for step in contiguous(box.shape[:outer])), *inner.strides)
        by_dim = dict(zip(order, strides, strict=True))
        return self._arrays.strided(memory, view.spec, [by_dim[dim] for dim in range(len(order))], -low)

    def _fetch(self, base: int | Gathered, dtype: DType, start: int, stop: int) -> Buffer:
        if isinstance(base, int):
            return self._bases.fetch(base, dtype, start, stop)
        held = self._bases.hold(base) if base.parted is None else self._bases.held(base)
        if held is not None or base.parted is None:
            return memoryview(held or b"")[dtype.nbytes(start) : dtype.nbytes(stop)]
        parts = [self.sequence(part) for part in stretch(base.parted, start, stop)]
        return parts[0] if len(parts) == 1 else b"".join(parts)


def conversions(value: Value) -> Iterator[Converted]:
    """Return every cast in a value, innermost last."""
    todo: list[Value | Computed] = [value]
    while todo:
        each = todo.pop()
        if isinstance(each, Converted):
            yield each
        if isinstance(each, View) and isinstance(each.base, Gathered):
            todo.append(each.base.value)
        todo += parts_of(each)


def _outer(box: Box) -> int:
    """Return how many dimensions of a box in source order must be read index by index, since together they hold much else."""
    for outer in range(len(box.shape)):
        inner = Box(box.shape[outer:], box.strides[outer:], 0)
        first, last = inner.extent
        if last - first <= _SPARSE * inner.distinct:
            return outer
    return len(box.shape)
