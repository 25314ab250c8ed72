"""The kit over numpy. Elements are carried as codes, unsigned integers of their size, so moving them can change none of their bits.

It trusts its caller: calls that `SpecKit` refuses are not checked again here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ckptlint.core.dtype import DType
from ckptlint.core.spec import TensorSpec
from ckptlint.errors import ShapeError
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


class NumpyKit:
    """Tensor primitives on `Array`s, with the way in and out of memory. Views are made where they can be."""

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

    def fill(self, spec: TensorSpec, value: float) -> Array:
        code = np.frombuffer(encode(spec.dtype, value), stored_as(spec.dtype))[0]
        return Array(np.full(spec.shape, code), spec.dtype)

    def cast(self, x: Array, dtype: DType, *, saturate: bool = False) -> Array:
        if x.dtype is dtype:
            return x
        made, refused = cast_codes(_flat(x), x.dtype, dtype, saturate=saturate)
        check(refused, x.spec, dtype, saturate=saturate)
        return Array(made.reshape(x.codes.shape), dtype)

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


def check(refused: Refused, spec: TensorSpec, dtype: DType, *, saturate: bool) -> None:
    """Raise `ShapeError` where a cast refuses elements."""
    if refused.elements:
        message = f"{refused.elements} of {spec.numel} elements do not fit {dtype}, such as {refused.sample}"
        raise ShapeError(message, hint="" if saturate else "overflow: saturate takes the nearest that fits")


def _flat(x: Array) -> NDArray[Any]:
    return row_major(x.codes).reshape(-1)


def _bytes_of(flat: NDArray[Any]) -> memoryview:
    return flat.view("u1").data if flat.size else memoryview(b"")
