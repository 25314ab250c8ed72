"""The scale and shift of a norm folded into the layer that follows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, prod
from typing import ClassVar, TypeVar

from ckptlint.core.dtype import DType
from ckptlint.core.operation import Function, Kit, Operation
from ckptlint.core.spec import TensorSpec
from ckptlint.errors import DocumentError, ShapeError
from ckptlint.ops.functions import AFFINE, rounded, widened
from ckptlint.ops.spec_kit import position

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FoldNorm(Operation):
    """Fold a norm's scale into the layer behind it: slots gamma, weight become a weight; gamma, beta, weight[, bias] weight and bias.

    The weight is multiplied by gamma (plus `offset`: 1 for norms that store gamma less one) along its input dimension `dim`; the bias
    becomes bias + weight beta, summed in f64, where no bias counts as 0. For several layers, `copy` the norm first. The norm itself then
    has scale 1 and shift 0: `new` makes them, where the model has them. One-way.
    """

    name: ClassVar[str] = "fold_norm"
    arity: ClassVar[str] = "mix"
    layout: ClassVar[bool] = False
    example: ClassVar[str] = "fold_norm: {dim: 1}"

    dim: int = 1
    offset: float = 0.0

    def __post_init__(self) -> None:
        if not isfinite(self.offset):
            raise DocumentError("offset should be a finite number")

    def apply(self, kit: Kit[T], inputs: tuple[T, ...]) -> tuple[T, ...]:
        if len(inputs) not in (2, 3, 4):
            raise ShapeError(f"there are {len(inputs)} tensors, not gamma, [beta,] weight [and bias]")
        norms = 1 if len(inputs) == 2 else 2
        (gamma, *beta), (weight, *bias) = inputs[:norms], inputs[norms:]
        spec = kit.spec(weight)
        dim = position(spec, self.dim)
        wide = widened(kit, weight)
        gamma, *beta = (_one_each(kit, x, spec, dim, kit.spec(wide).dtype) for x in (gamma, *beta))
        scale = kit.transform(gamma, Function(AFFINE, (1.0, self.offset))) if self.offset else gamma
        made = rounded(kit, kit.combine("multiply", wide, _along(kit, scale, spec.shape, dim)), spec.dtype)
        if not beta:
            return (made,)
        return made, self._moved(kit, bias, self._shift(kit, wide, beta[0], dim), spec)

    def _moved(self, kit: Kit[T], bias: Sequence[T], shift: T, weight: TensorSpec) -> T:
        """The bias with the shift; the shift itself where there is no bias."""
        if not bias:
            return rounded(kit, shift, weight.dtype)
        old, new = kit.spec(bias[0]), kit.spec(shift)
        if old.shape != new.shape:
            raise ShapeError(f"{old} is no bias of {weight}, whose inputs lie along {self.dim}")
        return rounded(kit, kit.combine("add", kit.cast(bias[0], new.dtype), shift), old.dtype)

    def _shift(self, kit: Kit[T], weight: T, beta: T, dim: int) -> T:
        """The weight times beta: one number for each output."""
        shape = kit.spec(weight).shape
        rest = [each for each in range(len(shape)) if each != dim]
        if prod(shape[each] for each in rest[1:]) != 1:
            raise ShapeError(
                f"{kit.spec(weight)} is a kernel: at its borders a shift is not the same",
                hint="a norm without shift can be folded",
            )
        outputs = prod(shape[each] for each in rest)
        rows = kit.reshape(kit.permute(weight, (*rest, dim)), (outputs, shape[dim]))
        return kit.reshape(kit.product(rows, kit.reshape(beta, (shape[dim], 1))), (outputs,))


def _one_each(kit: Kit[T], x: T, weight: TensorSpec, dim: int, dtype: DType) -> T:
    """One number for each input of the weight, in the type that it is computed in."""
    if kit.spec(x).shape != (weight.shape[dim],):
        raise ShapeError(f"{kit.spec(x)} does not go with the {weight.shape[dim]} inputs of {weight}")
    return kit.cast(x, dtype)


def _along(kit: Kit[T], x: T, shape: tuple[int, ...], dim: int) -> T:
    x = kit.reshape(x, tuple(size if at == dim else 1 for at, size in enumerate(shape)))
    for at, size in enumerate(shape):
        if at != dim and size != 1:
            x = kit.expand(x, at, size)
    return x
