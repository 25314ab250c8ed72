"""Weight norm: a weight as its direction times its length, taken apart and put together."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar, TypeVar

from ckptlint.core.operation import Bound, Function, Grade, Kit, Operation
from ckptlint.core.spec import TensorSpec
from ckptlint.errors import ShapeError
from ckptlint.ops.functions import rounded, widened
from ckptlint.ops.numbers import is_float, least, unit
from ckptlint.ops.spec_kit import position

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class MergeWeightNorm(Operation):
    """Make a weight of its length g and its direction v (two slots, in this order): v * g / |v|, where |v| is taken along all but `dim`.

    Squares are added up in f64. It is one-way: v may have had any length.
    """

    name: ClassVar[str] = "merge_weight_norm"
    arity: ClassVar[str] = "join"
    layout: ClassVar[bool] = False
    example: ClassVar[str] = "merge_weight_norm: {dim: 0}"

    dim: int = 0

    def apply(self, kit: Kit[T], inputs: tuple[T, ...]) -> tuple[T, ...]:
        if len(inputs) != 2:
            raise ShapeError(f"there are {len(inputs)} tensors, not two: first the length g, then the direction v")
        length, direction = inputs
        spec, g = kit.spec(direction), kit.spec(length)
        dim = position(spec, self.dim)
        if g.shape != _one_for_each(spec, dim):
            raise ShapeError(f"{g} is not the length of {spec} along {self.dim}")
        made = scaled_to(kit, widened(kit, direction), widened(kit, length), dim)
        return (rounded(kit, made, spec.dtype),)


@dataclass(frozen=True, slots=True)
class SplitWeightNorm(Operation):
    """Make of a weight its length g and its direction v (two slots, in this order), which is the weight itself.

    It is undone up to rounding, by `merge_weight_norm`.
    """

    name: ClassVar[str] = "split_weight_norm"
    arity: ClassVar[str] = "split"
    layout: ClassVar[bool] = False
    example: ClassVar[str] = "split_weight_norm: {dim: 0}"

    dim: int = 0

    def apply(self, kit: Kit[T], inputs: tuple[T, ...]) -> tuple[T, ...]:
        (weight,) = inputs
        spec = kit.spec(weight)
        length = _length(kit, widened(kit, weight), position(spec, self.dim))
        return rounded(kit, length, spec.dtype), weight

    def inverse(self, inputs: tuple[TensorSpec, ...]) -> MergeWeightNorm:
        return self.undone_from(inputs)

    def undone_from(self, outputs: tuple[TensorSpec, ...]) -> MergeWeightNorm:
        del outputs
        return MergeWeightNorm(self.dim)

    def bound(self, inputs: tuple[TensorSpec, ...]) -> Bound | None:
        """Where not all along a length are zero: those come back as NaN."""
        (x,) = inputs
        return Bound(8 * unit(x.dtype), least(x.dtype)) if is_float(x.dtype) else None

    def grade(self, inputs: tuple[TensorSpec, ...]) -> Grade:
        del inputs
        return Grade.APPROXIMATE


def scaled_to(kit: Kit[T], direction: T, length: T, dim: int) -> T:
    """Bring what lies at each place along `dim` to its length; `ShapeError` where there is not one for each."""
    spec, lengths = kit.spec(direction), kit.spec(length)
    if lengths.numel != spec.shape[dim]:
        raise ShapeError(f"{lengths} is not the length of {spec} along {dim}")
    length = kit.reshape(length, _one_for_each(spec, dim))
    scale = kit.combine("divide", length, _length(kit, direction, dim))
    return kit.combine("multiply", direction, _expanded(kit, scale, spec.shape))


def _length(kit: Kit[T], wide: T, dim: int) -> T:
    """The root of the sum of squares along all dimensions but one."""
    spec = kit.spec(wide)
    rest = [each for each in range(len(spec.shape)) if each != dim]
    rows = kit.reshape(kit.permute(wide, (dim, *rest)), (spec.shape[dim], prod(spec.shape[each] for each in rest)))
    total = kit.reduce(kit.transform(rows, Function("square")), 1, "sum")
    return kit.reshape(kit.transform(total, Function("sqrt")), _one_for_each(spec, dim))


def _one_for_each(spec: TensorSpec, dim: int) -> tuple[int, ...]:
    return tuple(size if at == dim else 1 for at, size in enumerate(spec.shape))


def _expanded(kit: Kit[T], x: T, shape: tuple[int, ...]) -> T:
    for dim, size in enumerate(shape):
        if kit.spec(x).shape[dim] != size:
            x = kit.expand(x, dim, size)
    return x
