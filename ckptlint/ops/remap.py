"""Rows of a table that goes by names (tokens, classes), for another list of names."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, TypeVar

from ckptlint.core.dtype import DType
from ckptlint.core.operation import Kit, Operation, Remainder
from ckptlint.core.spec import TensorSpec
from ckptlint.errors import DocumentError, ShapeError
from ckptlint.ops.pad import Pad
from ckptlint.ops.rows import missing_rows
from ckptlint.ops.spec_kit import position

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RemapRows(Operation):
    """Give each name of `new` the row along `dim` that it had among the names `old`: vocabularies, classes, elements.

    Both are lists of names, or `{file: vocab.json}` beside the migration (a JSON list, a JSON object of name: number, or one name a
    line). A name that `old` lacks is an error, or gets a row of zeros or the mean of all rows (`missing: zeros | mean`). Rows beyond the
    names of `old` are dropped. It is undone where every old name is in `new`, else one-way.
    """

    name: ClassVar[str] = "remap_rows"
    layout: ClassVar[bool] = False
    example: ClassVar[str] = "remap_rows: {old: [cat, dog], new: [dog, bird, cat], missing: mean}"

    old: tuple[str, ...]
    new: tuple[str, ...]
    dim: int = 0
    missing: Literal["error", "zeros", "mean"] = "error"

    def __post_init__(self) -> None:
        if self.missing not in ("error", "zeros", "mean"):
            raise DocumentError(f"missing is error, zeros or mean, not {self.missing!r}")
        for names in (self.old, self.new):
            twice = next((name for name, count in Counter(names).items() if count > 1), None)
            if twice is not None or not names:
                raise DocumentError(
                    f"{twice!r} stands twice in a list of names" if names else "a list of names is empty"
                )
        absent = [name for name in self.new if name not in set(self.old)]
        if absent and self.missing == "error":
            more = f" and {len(absent) - 1} more names" if len(absent) > 1 else ""
            raise DocumentError(
                f"{absent[0]!r}{more} of `new` have no row", hint="missing: mean or zeros makes them one"
            )

    def apply(self, kit: Kit[T], inputs: tuple[T, ...]) -> tuple[T, ...]:
        return tuple(self._taken(kit, x) for x in inputs)

    def inverse(self, inputs: tuple[TensorSpec, ...]) -> RemapRows | None:
        (x,) = inputs
        return self.undone_from(inputs) if x.shape[position(x, self.dim)] == len(self.old) else None

    def undone_from(self, outputs: tuple[TensorSpec, ...]) -> RemapRows | None:
        del outputs
        return RemapRows(self.new, self.old, self.dim) if set(self.old) <= set(self.new) else None

    def remainder(self, inputs: tuple[TensorSpec, ...]) -> Remainder | None:
        """The rows of names that are gone, and those beyond the old names."""
        (x,) = inputs
        size = x.shape[position(x, self.dim)]
        places = {name: at for at, name in enumerate(self.old)}
        made = size  # stands for rows that are no old ones
        return missing_rows(size, [places.get(name, made) for name in self.new], self.dim)

    def on_moment(self, order: int, dtype: DType) -> RemapRows:
        """Rows that are new have had no gradient."""
        del order, dtype
        return replace(self, missing="error" if self.missing == "error" else "zeros")

    def _taken(self, kit: Kit[T], x: T) -> T:
        spec = kit.spec(x)
        dim = position(spec, self.dim)
        if spec.shape[dim] < len(self.old):
            raise ShapeError(
                f"{spec} has {spec.shape[dim]} along {self.dim}, fewer than the {len(self.old)} names of `old`"
            )
        places = {name: at for at, name in enumerate(self.old)}
        rows = kit.slice(x, dim, 0, len(self.old))
        if any(name not in places for name in self.new):
            (rows,) = Pad(dim, after=1, fill="mean" if self.missing == "mean" else "value").apply(kit, (rows,))
        return kit.take(rows, dim, tuple(places.get(name, len(self.old)) for name in self.new))
