"""The kit over numpy. Elements are carried as codes, unsigned integers of their size, so moving them can change none of their bits.

It trusts its caller: calls that `SpecKit` refuses are not checked again here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ckptlint.core.dtype import DType
from ckptlint.core.operation import External, Function, Matrix
from ckptlint.core.spec import TensorSpec
from ckptlint.errors import ShapeError, UsageError
from ckptlint.kits import numpy_arithmetic as arithmetic
from ckptlint.kits.drawing import drawn
from ckptlint.kits.numpy_cast import Refused, cast_codes, stored_as
from ckptlint.kits.transposing import row_major
from ckptlint.ops.numbers import COMPONENTS, encode


@dataclass(frozen=True, slots=True, eq=False)
class Array:
    """A tensor in memory: the codes of its elements, and the type they are codes of."""

    codes: NDArray[Any]
    dtype: DType

    @property
    def spec(self) -> TensorSpec:
        return TensorSpec(self.dtype, self.codes.shape)


_F64 = DType.parse("f64")
Externals: TypeAlias = Callable[[External, tuple[Array, ...]], tuple[Array, ...]]


class NumpyKit:
    """Tensor primitives on `Array`s, with the way in and out of memory. Views are made where they can be.

    `externals` runs what is asked for from outside, where that has been allowed.
    """

    def __init__(self, externals: Externals | None = None) -> None:
        self._externals = externals

    def spec(self, x: Array) -> TensorSpec:
        return x.spec

    def reshape(self, x: Array, shape: tuple[int, ...]) -> Array:
        return Array(x.codes.reshape(shape), x.dtype)

    def permute(self, x: Array, dims: tuple[int, ...]) -> Array:
        return Array(x.codes.transpose(dims), x.dtype)

    def concat(self, xs: Sequence[Array], dim: int) -> Array:
        return Array(np.concatenate([x.codes for x in xs], axis=dim), xs[0].dtype)

    def slice(self, x: Array, dim: int, start: int, stop: int, step: int = 1) -> Array:
        return Array(x.codes[(slice(None),) * dim + (slice(start, stop, step),)], x.dtype)

    def take(self, x: Array, dim: int, indices: tuple[int, ...]) -> Array:
        return Array(np.take(x.codes, np.array(indices, np.intp), axis=dim), x.dtype)

    def flip(self, x: Array, dim: int) -> Array:
        return Array(np.flip(x.codes, axis=dim), x.dtype)

    def tile(self, x: Array, dim: int, times: int) -> Array:
        return Array(np.concatenate([x.codes] * times, axis=dim), x.dtype)

    def expand(self, x: Array, dim: int, size: int) -> Array:
        shape = x.codes.shape
        return Array(np.broadcast_to(x.codes, (*shape[:dim], size, *shape[dim + 1 :])), x.dtype)

    def fill(self, spec: TensorSpec, value: float) -> Array:
        code = np.frombuffer(encode(spec.dtype, value), stored_as(spec.dtype))[0]
        return Array(np.full(spec.shape, code), spec.dtype)

    def cast(self, x: Array, dtype: DType, *, saturate: bool = False) -> Array:
        if x.dtype is dtype:
            return x
        made, refused = cast_codes(_flat(x), x.dtype, dtype, saturate=saturate)
        check(refused, x.spec, dtype, saturate=saturate)
        return Array(made.reshape(x.codes.shape), dtype)

    def transform(self, x: Array, function: Function) -> Array:
        codes, dtype = arithmetic.transform(_flat(x), x.dtype, function)
        return Array(codes.reshape(x.codes.shape), dtype)

    def combine(self, how: str, x: Array, y: Array) -> Array:
        codes = arithmetic.combine(how, _flat(x), _flat(y), x.dtype)
        return Array(codes.reshape(x.codes.shape), x.dtype)

    def reduce(self, x: Array, dim: int, how: str) -> Array:
        return Array(arithmetic.reduce(row_major(x.codes), x.dtype, dim, how), x.dtype)

    def contract(self, x: Array, dim: int, matrix: Matrix) -> Array:
        return Array(arithmetic.contract(row_major(x.codes), x.dtype, dim, matrix), x.dtype)

    def product(self, x: Array, y: Array) -> Array:
        return Array(arithmetic.product(row_major(x.codes), row_major(y.codes), x.dtype), x.dtype)

    def not_all_zero(self, x: Array) -> Array:
        arithmetic.check_not_all_zero(_flat(x), x.dtype)
        return x

    def external(self, asked: External, inputs: tuple[Array, ...], specs: tuple[TensorSpec, ...]) -> tuple[Array, ...]:
        if asked.kind == "drawn":
            return tuple(self._drawn(asked, spec) for spec in specs)
        if self._externals is None:
            raise UsageError(f"{asked.name} is from outside, and nothing here was told to run it")
        made = self._externals(asked, inputs)
        found = tuple(x.spec for x in made)
        if found != specs:
            said = ", ".join(map(str, found)) or "nothing"
            raise ShapeError(f"{asked.name} gave {said}, not {', '.join(map(str, specs))}")
        return made

    def _drawn(self, asked: External, spec: TensorSpec) -> Array:
        numbers = drawn(asked.initial, asked.name, spec.shape)
        return self.cast(Array(numbers.view(stored_as(_F64)), _F64), spec.dtype)

    def refused(self, x: Array, dtype: DType, *, saturate: bool = False) -> Refused:
        """Count the elements that `cast` would refuse."""
        return Refused(0, "") if x.dtype is dtype else cast_codes(_flat(x), x.dtype, dtype, saturate=saturate)[1]

    def strided(
        self, memory: bytes | bytearray | memoryview, spec: TensorSpec, strides: Sequence[int], offset: int
    ) -> Array:
        """Look at little-endian elements in memory; strides and offset count elements, a stride may be negative."""
        size = spec.dtype.bits // 8
        steps = tuple(stride * size for stride in strides)
        return Array(np.ndarray(spec.shape, stored_as(spec.dtype), memory, offset * size, steps), spec.dtype)

    def swapped(self, memory: bytes | bytearray | memoryview, dtype: DType) -> memoryview:
        """Return big-endian elements as little-endian ones."""
        size = dtype.bits // (16 if dtype.name in COMPONENTS else 8)
        return _bytes_of(np.frombuffer(memory, f">u{size}").astype(f"<u{size}"))

    def dump(self, x: Array) -> memoryview:
        """Return the elements row-major and little-endian."""
        return _bytes_of(_flat(x))


_WIDER = "a wider dtype holds them; a cast with overflow: saturate takes the nearest that fits"


def check(refused: Refused, spec: TensorSpec, dtype: DType, *, saturate: bool) -> None:
    """Raise `ShapeError` where a cast refuses elements."""
    if refused.elements:
        message = f"{refused.elements} of {spec.numel} elements do not fit {dtype}, such as {refused.sample}"
        raise ShapeError(message, hint="" if saturate else _WIDER)


def _flat(x: Array) -> NDArray[Any]:
    return row_major(x.codes).reshape(-1)


def _bytes_of(flat: NDArray[Any]) -> memoryview:
    return flat.view("u1").data if flat.size else memoryview(b"")
