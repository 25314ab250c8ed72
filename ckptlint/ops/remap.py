"""Rows of a table that goes by names (tokens, classes), for another list of names."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, TypeVar

from ckptlint.core.dtype import DType
from ckptlint.core.initial import Initial
from ckptlint.core.operation import Kit, Lowered, Operation, Remainder
from ckptlint.core.spec import TensorSpec
from ckptlint.errors import DocumentError, ShapeError
from ckptlint.ops.join import Concat
from ckptlint.ops.new_rows import NewRows, sized
from ckptlint.ops.pad import Pad
from ckptlint.ops.rows import Slice, missing_rows
from ckptlint.ops.spec_kit import position

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RemapRows(Operation):
    """Give each name of `new` the row along `dim` that it had among the names `old`: vocabularies, classes, elements.

    Both are lists of names, or `{file: vocab.json}` beside the migration (a JSON list, a JSON object of name: number, or one name a
    line). A name that `old` lacks is an error, or gets a row of zeros or the mean of all rows (`missing: zeros | mean`), or what `init`
    says, as in `pad`. Rows beyond the names of `old` are dropped. It is undone where every old name is in `new`, else one-way.
    """

    name: ClassVar[str] = "remap_rows"
    layout: ClassVar[bool] = False
    example: ClassVar[str] = "remap_rows: {old: [cat, dog], new: [dog, bird, cat], missing: mean}"

    old: tuple[str, ...]
    new: tuple[str, ...]
    dim: int = 0
    missing: Literal["error", "zeros", "mean"] = "error"
    init: Initial | None = None

    def __post_init__(self) -> None:
        if self.missing not in ("error", "zeros", "mean"):
            raise DocumentError(f"missing is error, zeros or mean, not {self.missing!r}")
        for names in (self.old, self.new):
            twice = next((name for name, count in Counter(names).items() if count > 1), None)
            if twice is not None or not names:
                raise DocumentError(
                    f"{twice!r} stands twice in a list of names" if names else "a list of names is empty"
                )
        if self.init is not None and self.missing != "error":
            raise DocumentError("init excludes missing")
        self._check_absent()

    def _check_absent(self) -> None:
        absent = self._absent()
        if absent and self.missing == "error" and self.init is None:
            more = f" and {len(absent) - 1} more names" if len(absent) > 1 else ""
            raise DocumentError(
                f"{absent[0]!r}{more} of `new` have no row",
                hint="missing: mean or zeros makes them one, or init: {normal: 0.02, seed: 0}",
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

    def lowered(self, inputs: tuple[TensorSpec, ...], key: str, target: str) -> Lowered | None:
        """The rows of new names behind those of the old ones, and then all of them in their order."""
        (x,) = inputs
        dim = position(x, self.dim)
        absent = self._absent()
        if self.init is None or not absent or x.shape[dim] < len(self.old):
            return None
        places = [place for place, name in enumerate(self.new) if name in set(absent)]
        made, steps = NewRows(self.init, sized(x, dim, len(self.new)), dim, key, target).steps([places])
        cut = len(steps) + 1
        steps.append((Slice(dim, 0, len(self.old)), (0,)))
        steps.append((Concat(dim), (cut, *made)))
        return Lowered((*steps, (RemapRows((*self.old, *absent), self.new, dim), (cut + 1,))))

    def on_moment(self, order: int, dtype: DType) -> RemapRows:
        """Rows that are new have had no gradient."""
        del order, dtype
        strict = self.missing == "error" and self.init is None
        return replace(self, missing="error" if strict else "zeros", init=None)

    def _absent(self) -> tuple[str, ...]:
        known = set(self.old)
        return tuple(name for name in self.new if name not in known)

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
            fill: Literal["mean", "value"] = "mean" if self.missing == "mean" else "value"
            (rows,) = Pad(dim, after=1, fill=fill, init=self.init).apply(kit, (rows,))
        return kit.take(rows, dim, tuple(places.get(name, len(self.old)) for name in self.new))
