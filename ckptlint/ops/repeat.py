"""Several copies of what lies along one dimension, and the one that equal copies become again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeVar

from ckptlint.core.operation import Kit, Operation
from ckptlint.core.spec import TensorSpec
from ckptlint.errors import DocumentError, ShapeError
from ckptlint.ops.functions import folded
from ckptlint.ops.spec_kit import position

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Copies(Operation):
    """What both say of the copies: how many, along which dimension, end to end or each entry by itself, or a dimension of their own."""

    times: int
    dim: int = 0
    each: bool = False
    new: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.times <= 1 << 16:
            raise DocumentError(f"cannot be repeated {self.times} times")
        if self.each and self.new:
            raise DocumentError("each and new exclude one another")


@dataclass(frozen=True, slots=True)
class Repeat(_Copies):
    """Repeat what lies along `dim`, `times` times: all of it end to end, each entry by itself, or the tensor along a new dimension.

    `each: true` gives 0 0 1 1 for 0 1 (torch's repeat_interleave), otherwise 0 1 0 1 (tile). `new: true` puts in a dimension.
    """

    name: ClassVar[str] = "repeat"
    example: ClassVar[str] = "repeat: {dim: 0, times: 4, each: true}"

    def apply(self, kit: Kit[T], inputs: tuple[T, ...]) -> tuple[T, ...]:
        return tuple(self._repeated(kit, x) for x in inputs)

    def inverse(self, inputs: tuple[TensorSpec, ...]) -> Same:
        return self.undone_from(inputs)

    def undone_from(self, outputs: tuple[TensorSpec, ...]) -> Same:
        del outputs
        return Same(self.times, self.dim, self.each, self.new)

    def _repeated(self, kit: Kit[T], x: T) -> T:
        spec = kit.spec(x)
        dim = position(spec, self.dim, new=self.new)
        if not (self.each or self.new):
            return kit.tile(x, dim, self.times)
        at = dim + self.each
        shape = (*spec.shape[:at], 1, *spec.shape[at:])
        wide = kit.expand(kit.reshape(x, shape), at, self.times)
        return wide if self.new else kit.reshape(wide, _times(spec.shape, dim, self.times))


@dataclass(frozen=True, slots=True)
class Same(_Copies):
    """Make one of `times` equal copies along `dim`; where they differ in a bit, the tensor is refused.

    It undoes `repeat` with the same options: copies end to end, entries side by side (`each: true`), or a dimension that goes away
    (`new: true`).
    """

    name: ClassVar[str] = "same"
    layout: ClassVar[bool] = False
    example: ClassVar[str] = "same: {dim: 0, times: 4, each: true}"

    def apply(self, kit: Kit[T], inputs: tuple[T, ...]) -> tuple[T, ...]:
        return tuple(self._one(kit, x) for x in inputs)

    def inverse(self, inputs: tuple[TensorSpec, ...]) -> Repeat:
        return self.undone_from(inputs)

    def undone_from(self, outputs: tuple[TensorSpec, ...]) -> Repeat:
        del outputs
        return Repeat(self.times, self.dim, self.each, self.new)

    def _one(self, kit: Kit[T], x: T) -> T:
        spec = kit.spec(x)
        dim = position(spec, self.dim)
        size = spec.shape[dim]
        if size % self.times or (self.new and size != self.times):
            raise ShapeError(f"{spec} has {size} along {self.dim}, not {self.times} copies")
        one = size // self.times
        if self.each:
            copies = [kit.slice(x, dim, at, size, self.times) for at in range(min(self.times, size))] or [x]
        else:
            copies = [kit.slice(x, dim, at * one, (at + 1) * one) for at in range(self.times)]
        kept = folded(copies, lambda first, other: kit.combine("same", first, other))
        return kit.reshape(kept, (*spec.shape[:dim], *spec.shape[dim + 1 :])) if self.new else kept


def _times(shape: tuple[int, ...], dim: int, times: int) -> tuple[int, ...]:
    return (*shape[:dim], shape[dim] * times, *shape[dim + 1 :])
