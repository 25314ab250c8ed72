"""Scaling and shifting all elements."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import ClassVar, TypeVar

from ckptlint.core.dtype import DType
from ckptlint.core.operation import Bound, Function, Grade, Kit, Operation
from ckptlint.core.spec import TensorSpec
from ckptlint.errors import DocumentError
from ckptlint.ops.functions import AFFINE, rounded, widened
from ckptlint.ops.numbers import is_float, least, unit

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Affine(Operation):
    """Replace each element x by `scale` * x + `shift`, computed in f32 (f64 for f64) and rounded once to the tensor's own type.

    It is undone up to rounding: the elements that come back are within two roundings of scale * x + shift, divided by scale, of the old
    ones. Turning the sign alone (scale -1, shift 0) is exact, scale 0 is one-way.
    """

    name: ClassVar[str] = "affine"
    layout: ClassVar[bool] = False
    example: ClassVar[str] = "affine: {shift: -1.0}"

    scale: float = 1.0
    shift: float = 0.0

    def __post_init__(self) -> None:
        if not (isfinite(self.scale) and isfinite(self.shift)):
            raise DocumentError("scale and shift should be finite numbers")

    def apply(self, kit: Kit[T], inputs: tuple[T, ...]) -> tuple[T, ...]:
        return tuple(self._computed(kit, x) for x in inputs)

    def _computed(self, kit: Kit[T], x: T) -> T:
        if (self.scale, self.shift) == (1.0, 0.0):
            return x
        function = Function("neg") if self._turns else Function(AFFINE, (self.scale, self.shift))
        return rounded(kit, kit.transform(widened(kit, x), function), kit.spec(x).dtype)

    def inverse(self, inputs: tuple[TensorSpec, ...]) -> Affine | None:
        return self.undone_from(inputs)

    def undone_from(self, outputs: tuple[TensorSpec, ...]) -> Affine | None:
        del outputs
        if self._turns:
            return self
        return Affine(1 / self.scale, -self.shift / self.scale or 0.0) if self.scale else None

    def bound(self, inputs: tuple[TensorSpec, ...]) -> Bound | None:
        """Three roundings there and three back, of numbers as large as scale * x and shift."""
        (x,) = inputs
        if not is_float(x.dtype) or self.grade(inputs) is not Grade.APPROXIMATE:
            return None
        near = 16 * unit(x.dtype) * abs(self.shift / self.scale) + least(x.dtype) * (1 + 1 / abs(self.scale))
        return Bound(8 * unit(x.dtype), near)

    def on_moment(self, order: int, dtype: DType) -> Affine | None:
        """Scaling a weight by a scales its gradient by 1 / a; shifting it changes nothing."""
        del dtype
        scale = self.scale**-order if self.scale else 0.0
        return Affine(scale) if isfinite(scale) and scale else None

    def grade(self, inputs: tuple[TensorSpec, ...]) -> Grade:
        del inputs
        if self._turns or (self.scale, self.shift) == (1.0, 0.0):
            return Grade.EXACT
        return Grade.APPROXIMATE if self.scale else Grade.ONE_WAY

    @property
    def _turns(self) -> bool:
        return (self.scale, self.shift) == (-1.0, 0.0)
