"""Choosing and reordering what lies along one dimension: slice, index, flip and roll."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from ckptlint.core.operation import Kit, Operation, Remainder
from ckptlint.core.spec import TensorSpec
from ckptlint.errors import DocumentError, ShapeError
from ckptlint.ops.join import Concat, Split
from ckptlint.ops.spec_kit import position

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Slice(Operation):
    """Keep `start` up to (not including) `stop` along `dim`, every `step`-th; both may be counted from the end."""

    name: ClassVar[str] = "slice"
    example: ClassVar[str] = "slice: {dim: 0, start: 4}"

    dim: int = 0
    start: int = 0
    stop: int | None = None
    step: int = 1

    def apply(self, kit: Kit[T], inputs: tuple[T, ...]) -> tuple[T, ...]:
        return tuple(self._cut(kit, x) for x in inputs)

    def inverse(self, inputs: tuple[TensorSpec, ...]) -> Slice | None:
        (x,) = inputs
        return self if self._bounds(x) == (0, x.shape[self.dim]) and self.step == 1 else None

    def remainder(self, inputs: tuple[TensorSpec, ...]) -> Remainder | None:
        """What lies before and behind; with steps between, every entry that is passed over."""
        (x,) = inputs
        size = x.shape[position(x, self.dim)]
        start, stop = self._bounds(x)
        if self.step != 1:
            return missing_rows(size, range(start, stop, self.step), self.dim)
        if not 0 < stop - start < size:
            return None
        sizes = (start, stop - start, size - stop)
        kept = tuple(place for place in (0, 2) if sizes[place])
        order = tuple(0 if place == 1 else ~kept.index(place) for place in range(3) if sizes[place])
        return Remainder(Split(self.dim, sizes), kept, order, (Concat(self.dim),))

    def _cut(self, kit: Kit[T], x: T) -> T:
        spec = kit.spec(x)
        start, stop = self._bounds(spec)
        return kit.slice(x, position(spec, self.dim), start, stop, self.step)

    def _bounds(self, spec: TensorSpec) -> tuple[int, int]:
        size = spec.shape[position(spec, self.dim)]
        stop = size if self.stop is None else self.stop
        return (self.start + size if self.start < 0 else self.start, stop + size if stop < 0 else stop)


@dataclass(frozen=True, slots=True)
class Index(Operation):
    """Take the entries `ids` along `dim`, in this order; undone where each entry is taken exactly once."""

    name: ClassVar[str] = "index"
    example: ClassVar[str] = "index: {dim: 0, ids: [0, 2, 1, 3]}"

    ids: tuple[int, ...]
    dim: int = 0

    def __post_init__(self) -> None:
        if not self.ids:
            raise DocumentError("ids should be one or more numbers")

    def apply(self, kit: Kit[T], inputs: tuple[T, ...]) -> tuple[T, ...]:
        return tuple(kit.take(x, position(kit.spec(x), self.dim), self.ids) for x in inputs)

    def inverse(self, inputs: tuple[TensorSpec, ...]) -> Index | None:
        (x,) = inputs
        return self._undo(x.shape[self.dim])

    def remainder(self, inputs: tuple[TensorSpec, ...]) -> Remainder | None:
        (x,) = inputs
        return missing_rows(x.shape[position(x, self.dim)], self.ids, self.dim)

    def _undo(self, size: int) -> Index | None:
        if sorted(self.ids) != list(range(size)):
            return None
        return Index(tuple(sorted(range(size), key=self.ids.__getitem__)), self.dim)


def missing_rows(size: int, taken: Sequence[int], dim: int) -> Remainder | None:
    """What an operation lacks whose output has the entries `taken`, in this order, of `size` along `dim`; None where it has none."""
    place: dict[int, int] = {}
    for at, row in enumerate(taken):
        place.setdefault(row, at)
    missing = [row for row in range(size) if row not in place]
    if not any(row < size for row in place):
        return None
    place.update((row, len(taken) + at) for at, row in enumerate(missing))
    ids = Index(tuple(place[row] for row in range(size)), dim)
    if not missing:
        return Remainder(ids, (), (0,), (ids,))
    return Remainder(Index(tuple(missing), dim), (0,), (0, ~0), (Concat(dim), ids))


@dataclass(frozen=True, slots=True)
class Flip(Operation):
    """Turn the order along `dim` around."""

    name: ClassVar[str] = "flip"
    example: ClassVar[str] = "flip: {dim: 1}"

    dim: int

    def apply(self, kit: Kit[T], inputs: tuple[T, ...]) -> tuple[T, ...]:
        return tuple(kit.flip(x, position(kit.spec(x), self.dim)) for x in inputs)

    def inverse(self, inputs: tuple[TensorSpec, ...]) -> Flip:
        del inputs
        return self

    def undone_from(self, outputs: tuple[TensorSpec, ...]) -> Flip:
        del outputs
        return self


@dataclass(frozen=True, slots=True)
class Roll(Operation):
    """Shift the entries along `dim` by `shift` places; what leaves at the end comes in at the start."""

    name: ClassVar[str] = "roll"
    example: ClassVar[str] = "roll: {dim: 0, shift: -1}"

    shift: int
    dim: int = 0

    def apply(self, kit: Kit[T], inputs: tuple[T, ...]) -> tuple[T, ...]:
        return tuple(self._shifted(kit, x) for x in inputs)

    def inverse(self, inputs: tuple[TensorSpec, ...]) -> Roll:
        del inputs
        return Roll(-self.shift, self.dim)

    def undone_from(self, outputs: tuple[TensorSpec, ...]) -> Roll:
        del outputs
        return Roll(-self.shift, self.dim)

    def _shifted(self, kit: Kit[T], x: T) -> T:
        spec = kit.spec(x)
        dim = position(spec, self.dim)
        size = spec.shape[dim]
        if size == 0:
            raise ShapeError(f"{spec} has 0 along {self.dim}, so there is nothing to roll")
        cut = -self.shift % size
        return kit.concat([kit.slice(x, dim, cut, size), kit.slice(x, dim, 0, cut)], dim) if cut else x
