"""Entries added at the ends of one dimension."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, TypeVar

from ckptlint.core.dtype import DType
from ckptlint.core.initial import Initial
from ckptlint.core.operation import Kit, Lowered, Operation
from ckptlint.core.spec import TensorSpec
from ckptlint.errors import DocumentError, ShapeError
from ckptlint.ops.functions import rounded, widened
from ckptlint.ops.init import Init
from ckptlint.ops.join import Concat
from ckptlint.ops.new_rows import NewRows, sized
from ckptlint.ops.rows import Slice
from ckptlint.ops.spec_kit import position

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pad(Operation):
    """Add entries along `dim`: `before` and `after` what is there, or after it up to the size `to`.

    They hold the number `value` (0 unless said), or with `fill: mean` the mean of the entries that are there, added up in f64, or what
    `init` says: `{normal: 0.02, seed: 0}` and `{uniform: 0.1, seed: 0}` are drawn, `{from_model: true, seed: 0}` are the model's own,
    where one key becomes one. What is added is cut off again on the way back.
    """

    name: ClassVar[str] = "pad"
    layout: ClassVar[bool] = False
    example: ClassVar[str] = "pad: {dim: 0, to: 32064, fill: mean}"

    dim: int = 0
    to: int | None = None
    before: int = 0
    after: int = 0
    value: float = 0.0
    fill: Literal["value", "mean"] = "value"
    init: Initial | None = None

    def __post_init__(self) -> None:
        if self.fill not in ("value", "mean"):
            raise DocumentError(f"fill is value or mean, not {self.fill!r}")
        if min(self.before, self.after, self.to or 0) < 0:
            raise DocumentError("to, before and after are sizes, and cannot be negative")
        if self.to is not None and self.after:
            raise DocumentError("to and after exclude one another")
        if self.init is not None and (self.value or self.fill != "value"):
            raise DocumentError("init excludes value and fill")

    def apply(self, kit: Kit[T], inputs: tuple[T, ...]) -> tuple[T, ...]:
        return tuple(self._padded(kit, x) for x in inputs)

    def inverse(self, inputs: tuple[TensorSpec, ...]) -> Slice:
        (x,) = inputs
        dim = position(x, self.dim)
        return Slice(self.dim, self.before, self.before + x.shape[dim])

    def undone_from(self, outputs: tuple[TensorSpec, ...]) -> Slice | None:
        (x,) = outputs
        return None if self.to is not None else Slice(self.dim, self.before, x.shape[self.dim] - self.after)

    def on_moment(self, order: int, dtype: DType) -> Pad:
        """New elements have had no gradient."""
        del order, dtype
        return replace(self, value=0.0, fill="value", init=None)

    def lowered(self, inputs: tuple[TensorSpec, ...], key: str, target: str) -> Lowered | None:
        """What is made new beside the tensor, and all of it laid end to end."""
        (x,) = inputs
        dim = position(x, self.dim)
        after = self._after(x, dim)
        if self.init is None or not (self.before or after):
            return None
        size = self.before + x.shape[dim] + after
        ends = [each for each in (range(self.before), range(size - after, size)) if each]
        made, steps = NewRows(self.init, sized(x, dim, size), dim, key, target).steps(ends)
        order = [*made[:1], 0, *made[1:]] if self.before else [0, *made]
        return Lowered((*steps, (Concat(dim), tuple(order))))

    def _after(self, spec: TensorSpec, dim: int) -> int:
        after = self.after if self.to is None else self.to - self.before - spec.shape[dim]
        if after < 0:
            raise ShapeError(f"{spec} has {spec.shape[dim]} along {self.dim}, more than {self.to}")
        return after

    def _padded(self, kit: Kit[T], x: T) -> T:
        spec = kit.spec(x)
        dim = position(spec, self.dim)
        after = self._after(spec, dim)
        parts = [x]
        if self.before:
            parts.insert(0, self._filling(kit, x, dim, self.before))
        if after:
            parts.append(self._filling(kit, x, dim, after))
        return kit.concat(parts, dim) if len(parts) > 1 else x

    def _filling(self, kit: Kit[T], x: T, dim: int, size: int) -> T:
        spec = kit.spec(x)
        if self.fill == "mean":
            return rounded(kit, kit.expand(kit.reduce(widened(kit, x), dim, "mean"), dim, size), spec.dtype)
        made = sized(spec, dim, size)
        return (
            Init("", made.shape, made.dtype, self.init).apply(kit, ())[0] if self.init else kit.fill(made, self.value)
        )
