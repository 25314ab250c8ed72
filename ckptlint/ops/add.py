"""The weighted sum of several tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeVar

from ckptlint.core.operation import Function, Kit, Operation
from ckptlint.errors import ShapeError
from ckptlint.ops.functions import AFFINE, folded, rounded, widened

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Add(Operation):
    """Add tensors of one dtype and shape, each times its weight where `weights` are given; added two by two, and
    rounded to their dtype once, at the end.

    Kernels of different sizes are padded to one size first. It is one-way.
    """

    name: ClassVar[str] = "add"
    arity: ClassVar[str] = "join"
    layout: ClassVar[bool] = False
    example: ClassVar[str] = "add: {weights: [0.5, 0.5]}"

    weights: tuple[float, ...] = ()

    def apply(self, kit: Kit[T], inputs: tuple[T, ...]) -> tuple[T, ...]:
        if not inputs:
            raise ShapeError("there is nothing to add")
        if self.weights and len(self.weights) != len(inputs):
            raise ShapeError(f"there are {len(self.weights)} weights for {len(inputs)} tensors")
        dtype = kit.spec(inputs[0]).dtype
        odd = next((kit.spec(x) for x in inputs if not kit.spec(x).agrees(kit.spec(inputs[0]))), None)
        if odd is not None:
            raise ShapeError(f"{kit.spec(inputs[0])} and {odd} cannot be added: all must have one dtype and shape")
        parts = [widened(kit, x) for x in inputs]
        if self.weights:
            scaled = zip(parts, self.weights, strict=True)
            parts = [kit.transform(x, Function(AFFINE, (weight, 0.0))) for x, weight in scaled]
        return (rounded(kit, folded(parts, lambda one, other: kit.combine("add", one, other)), dtype),)
