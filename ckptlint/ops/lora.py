"""A low-rank adapter merged into the weight that it adapts."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, prod, sqrt
from typing import ClassVar, TypeVar

from ckptlint.core.operation import Function, Kit, Operation
from ckptlint.core.spec import TensorSpec
from ckptlint.errors import DocumentError, ShapeError
from ckptlint.ops.functions import AFFINE, rounded, widened
from ckptlint.ops.weight_norm import scaled_to

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class MergeLora(Operation):
    """Add a low-rank adapter to its weight: slots weight, A and B become weight + B A * `alpha` / rank.

    The rank is the first size of A. `rslora: true` divides by its root instead; `transposed: true` adds (B A) transposed, for weights
    that lie in, out (GPT-2's Conv1D). Kernels of a convolution are multiplied as matrices. The product is added up in f64. A fourth slot
    is the magnitude of DoRA, one length for each output: the sum is brought to it. One-way.
    """

    name: ClassVar[str] = "merge_lora"
    arity: ClassVar[str] = "join"
    layout: ClassVar[bool] = False
    example: ClassVar[str] = "merge_lora: {alpha: 16}"

    alpha: float
    rslora: bool = False
    transposed: bool = False

    def __post_init__(self) -> None:
        if not isfinite(self.alpha):
            raise DocumentError("alpha should be a finite number")

    def apply(self, kit: Kit[T], inputs: tuple[T, ...]) -> tuple[T, ...]:
        if len(inputs) not in (3, 4):
            raise ShapeError(f"there are {len(inputs)} tensors, not the weight, A, B and perhaps the magnitude")
        weight, a, b, *magnitude = inputs
        spec, down, up = (kit.spec(x) for x in inputs[:3])
        rank = _rank(down, up)
        wide = widened(kit, weight)
        dtype = kit.spec(wide).dtype
        a = kit.cast(kit.reshape(a, (rank, down.numel // rank)), dtype)
        b = kit.cast(kit.reshape(b, (up.shape[0], rank)), dtype)
        scale = self.alpha / (sqrt(rank) if self.rslora else rank)
        change = kit.transform(kit.product(b, a), Function(AFFINE, (scale, 0.0)))
        change = kit.permute(change, (1, 0)) if self.transposed else change
        if kit.spec(change).numel != spec.numel or kit.spec(change).shape[0] != spec.shape[0]:
            raise ShapeError(f"{down} and {up} are no adapter of {spec}")
        made = kit.combine("add", wide, kit.reshape(change, spec.shape))
        for length in magnitude:
            made = scaled_to(kit, made, kit.cast(length, dtype), 1 if self.transposed else 0)
        return (rounded(kit, made, spec.dtype),)


def _rank(down: TensorSpec, up: TensorSpec) -> int:
    """The size that A and B share."""
    rank = down.shape[0] if down.shape else 0
    if not rank or len(up.shape) < 2 or up.shape[1] != rank or prod(up.shape[2:]) != 1:
        raise ShapeError(f"{down} and {up} are no A of [rank, ...] and B of [out, rank]")
    return rank
