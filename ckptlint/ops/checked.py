"""What a tensor must be for a migration to be right."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite
from typing import ClassVar, TypeVar

from ckptlint.core.dtype import DType
from ckptlint.core.operation import Function, Kit, Operation
from ckptlint.core.spec import TensorSpec
from ckptlint.errors import DocumentError, ShapeError
from ckptlint.ops.functions import FINITE, NEAR

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Assert(Operation):
    """Refuse to migrate a tensor that is not what is said of it; it is not changed.

    `shape` and `dtype` are decided from the header; `finite` (no infinity, no NaN), `nonzero` (not all zero) and `allclose` (every
    element is this number, or no farther from it than `atol`) when the tensor is read. That copies are equal is for `same` to check.
    """

    name: ClassVar[str] = "assert"
    layout: ClassVar[bool] = False
    example: ClassVar[str] = "assert: {finite: true, shape: [768]}"

    shape: tuple[int, ...] | None = None
    dtype: DType | None = None
    finite: bool = False
    nonzero: bool = False
    allclose: float | None = None
    atol: float = 0.0

    def __post_init__(self) -> None:
        if self.shape is None and self.dtype is None and self.allclose is None and not (self.finite or self.nonzero):
            raise DocumentError("asserts nothing", hint=f"such as {self.example}")
        if not (isfinite(self.allclose or 0.0) and 0 <= self.atol < inf):
            raise DocumentError("allclose should be a finite number, and atol a distance from it")

    def apply(self, kit: Kit[T], inputs: tuple[T, ...]) -> tuple[T, ...]:
        return tuple(self._checked(kit, x) for x in inputs)

    def inverse(self, inputs: tuple[TensorSpec, ...]) -> Assert:
        return self.undone_from(inputs)

    def undone_from(self, outputs: tuple[TensorSpec, ...]) -> Assert:
        del outputs
        return self

    def _checked(self, kit: Kit[T], x: T) -> T:
        spec = kit.spec(x)
        if self.shape is not None and spec.shape != self.shape:
            raise ShapeError(f"{spec} does not have the shape [{','.join(map(str, self.shape))}]")
        if self.dtype is not None and not spec.agrees(TensorSpec(self.dtype, spec.shape)):
            raise ShapeError(f"{spec} is not {self.dtype}")
        x = kit.transform(x, FINITE) if self.finite else x
        x = x if self.allclose is None else kit.transform(x, Function(NEAR, (self.allclose, self.atol)))
        return kit.not_all_zero(x) if self.nonzero else x
