"""What a tensor must be for a migration to be right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeVar

from ckptlint.core.dtype import DType
from ckptlint.core.operation import Kit, Operation
from ckptlint.core.spec import TensorSpec
from ckptlint.errors import DocumentError, ShapeError
from ckptlint.ops.functions import FINITE

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Assert(Operation):
    """Refuse to migrate a tensor that is not what is said of it; it is not changed.

    `shape` and `dtype` are decided from the header; `finite` (no infinity, no NaN) and `nonzero` (not all zero) when the tensor is
    read. That copies are equal is for `same` to check.
    """

    name: ClassVar[str] = "assert"
    layout: ClassVar[bool] = False
    example: ClassVar[str] = "assert: {finite: true, shape: [768]}"

    shape: tuple[int, ...] | None = None
    dtype: DType | None = None
    finite: bool = False
    nonzero: bool = False

    def __post_init__(self) -> None:
        if self.shape is None and self.dtype is None and not (self.finite or self.nonzero):
            raise DocumentError("asserts nothing", hint=f"such as {self.example}")

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
        return kit.not_all_zero(x) if self.nonzero else x
