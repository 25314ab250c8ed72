"""Many entries made into one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, TypeVar

from ckptlint.core.operation import Kit, Operation
from ckptlint.errors import DocumentError
from ckptlint.ops.functions import REDUCED, rounded, widened
from ckptlint.ops.spec_kit import position

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reduce(Operation):
    """Make the entries along `dim` into their mean, sum, max or min; the dimension goes away unless `keep` is true.

    Sums are added up in f64 and rounded once. Several tensors are stacked first. It is one-way; for entries that are equal see `same`.
    """

    name: ClassVar[str] = "reduce"
    layout: ClassVar[bool] = False
    example: ClassVar[str] = "reduce: {dim: 0, how: mean}"

    how: Literal["mean", "sum", "max", "min"]
    dim: int = 0
    keep: bool = False

    def __post_init__(self) -> None:
        if self.how not in REDUCED:
            raise DocumentError(f"how is one of {', '.join(REDUCED)}, not {self.how!r}")

    def apply(self, kit: Kit[T], inputs: tuple[T, ...]) -> tuple[T, ...]:
        return tuple(self._reduced(kit, x) for x in inputs)

    def _reduced(self, kit: Kit[T], x: T) -> T:
        spec = kit.spec(x)
        dim = position(spec, self.dim)
        made = rounded(kit, kit.reduce(widened(kit, x), dim, self.how), spec.dtype)
        return made if self.keep else kit.reshape(made, (*spec.shape[:dim], *spec.shape[dim + 1 :]))
