"""A batch norm folded into the convolution or linear layer before it."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import ClassVar, TypeVar

from ckptlint.core.operation import Function, Kit, Operation
from ckptlint.errors import DocumentError, ShapeError
from ckptlint.ops.functions import AFFINE, rounded, widened
from ckptlint.ops.spec_kit import position

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FuseBatchNorm(Operation):
    """Fold a batch norm into the layer before it: slots weight, [bias,] gamma, beta, mean, var become weight and bias.

    With scale = gamma / sqrt(var + `eps`), the weight becomes weight * scale along its output dimension `dim` (1 for a transposed
    convolution), the bias (bias - mean) * scale + beta, where no bias counts as 0. One-way.
    """

    name: ClassVar[str] = "fuse_batch_norm"
    arity: ClassVar[str] = "mix"
    layout: ClassVar[bool] = False
    example: ClassVar[str] = "fuse_batch_norm: {eps: 1.0e-5}"

    eps: float = 1e-5
    dim: int = 0

    def __post_init__(self) -> None:
        if not isfinite(self.eps) or self.eps < 0:
            raise DocumentError("eps should be a small number, not negative")

    def apply(self, kit: Kit[T], inputs: tuple[T, ...]) -> tuple[T, ...]:
        if len(inputs) not in (5, 6):
            raise ShapeError(f"there are {len(inputs)} tensors, not weight, [bias,] gamma, beta, mean and var")
        weight, *bias, gamma, beta, mean, var = inputs
        spec = kit.spec(weight)
        dim = position(spec, self.dim)
        size = spec.shape[dim]
        for x in inputs[1:]:
            if kit.spec(x).shape != (size,):
                raise ShapeError(f"{kit.spec(x)} does not go with the {size} outputs of {spec}")
        deviation = kit.transform(kit.transform(widened(kit, var), Function(AFFINE, (1.0, self.eps))), Function("sqrt"))
        scale = kit.combine("divide", widened(kit, gamma), deviation)
        shift = widened(kit, mean)
        shift = kit.combine("subtract", widened(kit, bias[0]), shift) if bias else kit.transform(shift, Function("neg"))
        made = kit.combine("add", kit.combine("multiply", shift, scale), widened(kit, beta))
        along = kit.reshape(scale, tuple(size if at == dim else 1 for at in range(len(spec.shape))))
        for at, length in enumerate(spec.shape):
            along = along if at == dim else kit.expand(along, at, length)
        wide = kit.combine("multiply", widened(kit, weight), kit.cast(along, kit.spec(widened(kit, weight)).dtype))
        return rounded(kit, wide, spec.dtype), rounded(kit, made, kit.spec(beta).dtype)
