"""Laying tensors side by side along a new dimension, and the unstacking that undoes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeVar

from ckptlint.core.operation import Kit, Operation
from ckptlint.core.spec import TensorSpec
from ckptlint.errors import ShapeError
from ckptlint.ops.spec_kit import position

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stack(Operation):
    """Lay tensors of one shape side by side along a new dimension `dim`."""

    name: ClassVar[str] = "stack"
    arity: ClassVar[str] = "join"
    example: ClassVar[str] = "stack: {over: e, dim: 0}"

    dim: int = 0

    def apply(self, kit: Kit[T], inputs: tuple[T, ...]) -> tuple[T, ...]:
        specs = tuple(map(kit.spec, inputs))
        if not specs:
            raise ShapeError("there is nothing to stack")
        odd = next((spec for spec in specs if not spec.agrees(specs[0])), None)
        if odd is not None:
            raise ShapeError(f"{specs[0]} and {odd} cannot be stacked: all must have one dtype and shape")
        dim = position(specs[0], self.dim, new=True)
        shape = (*specs[0].shape[:dim], 1, *specs[0].shape[dim:])
        return (kit.concat([kit.reshape(x, shape) for x in inputs], dim),)

    def inverse(self, inputs: tuple[TensorSpec, ...]) -> Unstack:
        del inputs
        return Unstack(self.dim)

    def undone_from(self, outputs: tuple[TensorSpec, ...]) -> Unstack:
        del outputs
        return Unstack(self.dim)


@dataclass(frozen=True, slots=True)
class Unstack(Operation):
    """Cut a tensor into its slices along `dim`, which goes away."""

    name: ClassVar[str] = "unstack"
    arity: ClassVar[str] = "split"
    example: ClassVar[str] = "unstack: {over: e, dim: 0}"

    dim: int = 0

    def apply(self, kit: Kit[T], inputs: tuple[T, ...]) -> tuple[T, ...]:
        (whole,) = inputs
        spec = kit.spec(whole)
        dim = position(spec, self.dim)
        if spec.shape[dim] == 0:
            raise ShapeError(f"{spec} has 0 along {self.dim}, so there is nothing to unstack")
        rest = (*spec.shape[:dim], *spec.shape[dim + 1 :])
        return tuple(kit.reshape(kit.slice(whole, dim, at, at + 1), rest) for at in range(spec.shape[dim]))

    def inverse(self, inputs: tuple[TensorSpec, ...]) -> Stack:
        del inputs
        return Stack(self.dim)

    def undone_from(self, outputs: tuple[TensorSpec, ...]) -> Stack:
        del outputs
        return Stack(self.dim)
