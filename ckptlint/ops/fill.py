"""A tensor that no source has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeVar

from ckptlint.core.dtype import DType
from ckptlint.core.operation import Grade, Kit, Operation
from ckptlint.core.spec import TensorSpec

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fill(Operation):
    """Make a tensor of one value: what the rewrite `new` runs. It is undone by leaving the tensor out, which needs no operation."""

    name: ClassVar[str] = "fill"
    arity: ClassVar[str] = "make"
    example: ClassVar[str] = "new: {key: head.bias, shape: [10], dtype: f32, fill: zeros}"

    shape: tuple[int, ...]
    dtype: DType
    value: float = 0.0

    def apply(self, kit: Kit[T], inputs: tuple[T, ...]) -> tuple[T, ...]:
        del inputs
        return (kit.fill(TensorSpec(self.dtype, self.shape), self.value),)

    def on_moment(self, order: int, dtype: DType) -> Fill:
        """New elements have had no gradient."""
        del order
        return Fill(self.shape, dtype)

    def grade(self, inputs: tuple[TensorSpec, ...]) -> Grade:
        del inputs
        return Grade.EXACT
