"""Conversion to another element type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeVar

from ckptlint.core.dtype import ANY, DType
from ckptlint.core.operation import Bound, Grade, Kit, Operation
from ckptlint.core.spec import TensorSpec
from ckptlint.errors import DocumentError
from ckptlint.ops.numbers import holds_all, is_float, least, unit

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Cast(Operation):
    """Convert the elements to `dtype`, rounding to the nearest, ties to even.

    `overflow: error` (unless said) refuses elements that the type cannot hold: too large for it, a fraction or NaN for an integer type,
    an infinity for a type without one, an imaginary part for a real type, other than 0 and 1 for bool. `overflow: saturate` takes the
    nearest the type has, and cuts fractions off; NaN where the type has none, and imaginary parts, are still refused. It is
    undone exactly where the new type holds every value of the old one, and up to rounding between float types that refuse overflow.
    """

    name: ClassVar[str] = "cast"
    layout: ClassVar[bool] = False
    short: ClassVar[str] = "dtype"
    example: ClassVar[str] = "cast: {dtype: f16, overflow: error}"

    dtype: DType
    overflow: str = "error"

    def __post_init__(self) -> None:
        if self.dtype is ANY:
            raise DocumentError("cannot cast to an unknown dtype")
        if self.overflow not in ("error", "saturate"):
            raise DocumentError(f"overflow is error or saturate, not {self.overflow!r}")

    def apply(self, kit: Kit[T], inputs: tuple[T, ...]) -> tuple[T, ...]:
        return tuple(kit.cast(x, self.dtype, saturate=self.overflow == "saturate") for x in inputs)

    def inverse(self, inputs: tuple[TensorSpec, ...]) -> Cast | None:
        (x,) = inputs
        return Cast(x.dtype) if self._exact(x.dtype) or self._rounds(x.dtype) else None

    def bound(self, inputs: tuple[TensorSpec, ...]) -> Bound | None:
        (x,) = inputs
        if self._exact(x.dtype) or not self._rounds(x.dtype):
            return None
        twice = 2.0**-24 if x.dtype.name in ("f64", "c128") else 0.0  # numbers reach the small types through f32
        return Bound(unit(self.dtype) + (twice if unit(self.dtype) > twice else 0.0), least(self.dtype))

    def on_moment(self, order: int, dtype: DType) -> Cast:
        """Moments keep the precision that the optimizer chose."""
        del order
        return Cast(dtype)

    def grade(self, inputs: tuple[TensorSpec, ...]) -> Grade:
        (x,) = inputs
        if self._exact(x.dtype):
            return Grade.EXACT
        return Grade.APPROXIMATE if self._rounds(x.dtype) else Grade.ONE_WAY

    def _exact(self, dtype: DType) -> bool:
        return dtype is not ANY and holds_all(self.dtype, dtype)

    def _rounds(self, dtype: DType) -> bool:
        """Whether the old elements come back up to rounding: no overflow has been cut off, and nothing left out."""
        alike = (dtype.kind == "complex") == (self.dtype.kind == "complex")
        return alike and is_float(dtype) and is_float(self.dtype) and self.overflow == "error"
