"""A function of one number, applied to all elements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeVar

from ckptlint.core.operation import Bound, Function, Grade, Kit, Operation
from ckptlint.core.spec import TensorSpec
from ckptlint.errors import DocumentError
from ckptlint.ops.functions import UNDONE_BY, rounded, widened
from ckptlint.ops.numbers import is_float, least, unit

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Unary(Operation):
    """Apply a function to each element: neg, exp, log, sqrt, square, abs, reciprocal, softplus or inverse_softplus.

    It is computed in f32 (f64 for f64) and rounded once to the tensor's own type; elements for which it has no finite value are refused.
    neg is undone exactly; the others by their counterparts, up to two roundings; square and abs are one-way.
    """

    name: ClassVar[str] = "unary"
    layout: ClassVar[bool] = False
    short: ClassVar[str] = "function"
    example: ClassVar[str] = "unary: log"

    function: str

    def __post_init__(self) -> None:
        if self.function not in UNDONE_BY:
            raise DocumentError(f"there is no function {self.function!r}", hint=f"there are {', '.join(UNDONE_BY)}")

    def apply(self, kit: Kit[T], inputs: tuple[T, ...]) -> tuple[T, ...]:
        return tuple(
            rounded(kit, kit.transform(widened(kit, x), Function(self.function)), kit.spec(x).dtype) for x in inputs
        )

    def inverse(self, inputs: tuple[TensorSpec, ...]) -> Unary | None:
        return self.undone_from(inputs)

    def undone_from(self, outputs: tuple[TensorSpec, ...]) -> Unary | None:
        del outputs
        back = UNDONE_BY[self.function]
        return Unary(back) if back else None

    def bound(self, inputs: tuple[TensorSpec, ...]) -> Bound | None:
        """Of a root; the others are steep somewhere."""
        (x,) = inputs
        return Bound(4 * unit(x.dtype), least(x.dtype)) if self.function == "sqrt" and is_float(x.dtype) else None

    def grade(self, inputs: tuple[TensorSpec, ...]) -> Grade:
        del inputs
        if self.function == "neg":
            return Grade.EXACT
        return Grade.APPROXIMATE if UNDONE_BY[self.function] else Grade.ONE_WAY
