"""The scale and shift of a norm folded into the layer that follows it."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, prod
from typing import ClassVar, TypeVar

from ckptlint.core.operation import Function, Kit, Operation
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
        gamma, *beta = inputs[:1] if len(inputs) == 2 else inputs[:2]
        weight, *bias = inputs[1:] if len(inputs) == 2 else inputs[2:]
        spec = kit.spec(weight)
        dim = position(spec, self.dim)
        size = spec.shape[dim]
        for x in (gamma, *beta):
            if kit.spec(x).shape != (size,):
                raise ShapeError(f"{kit.spec(x)} does not go with the {size} inputs of {spec}")
        wide = widened(kit, weight)
        computing = kit.spec(wide).dtype
        scale = (
            kit.transform(kit.cast(gamma, computing), Function(AFFINE, (1.0, self.offset)))
            if self.offset
            else kit.cast(gamma, computing)
        )
        made = rounded(kit, kit.combine("multiply", wide, _along(kit, scale, spec.shape, dim)), spec.dtype)
        if not beta:
            return (made,)
        shift = self._shift(kit, wide, kit.cast(beta[0], computing), dim)
        if not bias:
            return made, rounded(kit, shift, spec.dtype)
        old = kit.spec(bias[0])
        if old.shape != kit.spec(shift).shape:
            raise ShapeError(f"{old} is no bias of {spec}, whose inputs lie along {self.dim}")
        return made, rounded(kit, kit.combine("add", kit.cast(bias[0], computing), shift), old.dtype)

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


def _along(kit: Kit[T], x: T, shape: tuple[int, ...], dim: int) -> T:
    x = kit.reshape(x, tuple(size if at == dim else 1 for at, size in enumerate(shape)))
    for at, size in enumerate(shape):
        if at != dim and size != 1:
            x = kit.expand(x, at, size)
    return x
