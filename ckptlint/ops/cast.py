"""Conversion to another element type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeVar

from ckptlint.core.dtype import ANY, DType
from ckptlint.core.operation import Grade, Kit, Operation
from ckptlint.core.spec import TensorSpec
from ckptlint.errors import DocumentError
from ckptlint.ops.numbers import holds_all

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Cast(Operation):
    """Convert the elements to `dtype`, rounding to the nearest, ties to even.

    `overflow: error` (unless said) refuses elements that the type cannot hold: too large for it, a fraction or NaN for an integer type,
    an infinity for a type without one, an imaginary part for a real type, other than 0 and 1 for bool. `overflow: saturate` takes the
    nearest the type has, and cuts fractions off; NaN where the type has none, and imaginary parts, are still refused. It can be
    undone where the new type holds every value of the old one.
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
        return Cast(x.dtype) if x.dtype is not ANY and holds_all(self.dtype, x.dtype) else None

    def on_moment(self, order: int, dtype: DType) -> Cast:
        """Moments keep the precision that the optimizer chose."""
        del order
        return Cast(dtype)

    def grade(self, inputs: tuple[TensorSpec, ...]) -> Grade:
        return Grade.EXACT if self.inverse(inputs) is not None else Grade.ONE_WAY
