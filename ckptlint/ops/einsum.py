"""Products of tensors summed over the axes that they share, by a pattern."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar, TypeVar

from ckptlint.core.operation import Kit, Operation
from ckptlint.core.spec import TensorSpec
from ckptlint.errors import DocumentError, ShapeError
from ckptlint.ops.functions import rounded, widened

T = TypeVar("T")
_AXIS = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MOST = 4096  # slices that two tensors are multiplied in, one for each place along the axes that all three have


@dataclass(frozen=True, slots=True)
class Einsum(Operation):
    """Multiply the slots and sum over every axis that is not in the result: `einsum: "o r, r i -> o i"`, in the grammar of einops.einsum.

    Axes are words with spaces between, one tensor after the other, with commas. An axis stands once in a tensor. Several tensors are
    taken from the left, two at a time. Computed in the type of the first slot, at least f32, sums added up in f64 and rounded to the
    first slot's type. One-way.
    """

    name: ClassVar[str] = "einsum"
    arity: ClassVar[str] = "join"
    layout: ClassVar[bool] = False
    short: ClassVar[str] = "pattern"
    example: ClassVar[str] = 'einsum: "o r, r i -> o i"'

    pattern: str

    def __post_init__(self) -> None:
        given, made = self._terms()
        for axes in (*given, made):
            twice = next((axis for axis in axes if axes.count(axis) > 1), None)
            if twice is not None:
                raise DocumentError(f"the axis {twice!r} stands twice in one tensor")
        strange = next((axis for axis in made if not any(axis in axes for axes in given)), None)
        if strange is not None:
            raise DocumentError(f"the axis {strange!r} of the result is in no tensor")

    def apply(self, kit: Kit[T], inputs: tuple[T, ...]) -> tuple[T, ...]:
        given, made = self._terms()
        self._check(kit, inputs)
        dtype = kit.spec(inputs[0]).dtype
        wide = widened(kit, inputs[0])
        computing = kit.spec(wide).dtype
        left, axes = wide, given[0]
        for place in range(1, len(given)):
            later = {*made, *(axis for term in given[place + 1 :] for axis in term)}
            right = kit.cast(inputs[place], computing)
            left, axes = _product(kit, left, axes, right, given[place], later)
        left, axes = _summed(kit, left, axes, made)
        return (rounded(kit, _ordered(kit, left, axes, made), dtype),)

    def _check(self, kit: Kit[T], inputs: tuple[T, ...]) -> None:
        given, _ = self._terms()
        if len(inputs) != len(given):
            raise ShapeError(f"there are {len(inputs)} tensors, and {len(given)} in {self.pattern!r}")
        sizes: dict[str, int] = {}
        for x, axes in zip(inputs, given, strict=True):
            spec = kit.spec(x)
            if len(spec.shape) != len(axes):
                raise ShapeError(f"{spec} has {len(spec.shape)} dimensions, not those of {' '.join(axes)!r}")
            for axis, size in zip(axes, spec.shape, strict=True):
                if sizes.setdefault(axis, size) != size:
                    raise ShapeError(f"{axis} is {sizes[axis]} in one tensor and {size} in {spec}")

    def _terms(self) -> tuple[list[tuple[str, ...]], tuple[str, ...]]:
        left, arrow, right = self.pattern.partition("->")
        given = [tuple(term.split()) for term in left.split(",")]
        made = tuple(right.split())
        if not arrow or not all(_AXIS.fullmatch(axis) for axes in (*given, made) for axis in axes):
            raise DocumentError(f"{self.pattern!r} is no pattern", hint=f"such as {self.example}")
        return given, made


def _product(
    kit: Kit[T], x: T, left: tuple[str, ...], y: T, right: tuple[str, ...], later: Collection[str]
) -> tuple[T, tuple[str, ...]]:
    """Multiply two tensors, summing over what nobody needs later."""
    x, left = _summed(kit, x, left, {*later, *right})
    y, right = _summed(kit, y, right, {*later, *left})
    both = [axis for axis in left if axis in right]
    kept = tuple(axis for axis in both if axis in later)
    shared = tuple(axis for axis in both if axis not in later)
    rows = tuple(axis for axis in left if axis not in both)
    columns = tuple(axis for axis in right if axis not in both)
    sizes = {**dict(zip(left, kit.spec(x).shape, strict=True)), **dict(zip(right, kit.spec(y).shape, strict=True))}
    count, height, inner, width = (prod(sizes[axis] for axis in axes) for axes in (kept, rows, shared, columns))
    if count > _MOST:
        raise ShapeError(
            f"{' '.join(kept)} would be {count} products", hint="rearrange first, so that fewer axes are in all tensors"
        )
    one = kit.reshape(_ordered(kit, x, left, (*kept, *rows, *shared)), (count, height, inner))
    other = kit.reshape(_ordered(kit, y, right, (*kept, *shared, *columns)), (count, inner, width))
    parts = [
        kit.product(_at(kit, one, place, (height, inner)), _at(kit, other, place, (inner, width)))
        for place in range(count)
    ]
    shape = tuple(sizes[axis] for axis in (*kept, *rows, *columns))
    none = kit.fill(TensorSpec(kit.spec(one).dtype, (0, width)), 0.0)
    made = kit.concat(parts, 0) if parts else none
    return kit.reshape(made, shape), (*kept, *rows, *columns)


def _at(kit: Kit[T], x: T, place: int, shape: tuple[int, int]) -> T:
    return kit.reshape(kit.slice(x, 0, place, place + 1), shape)


def _summed(kit: Kit[T], x: T, axes: tuple[str, ...], kept: Collection[str]) -> tuple[T, tuple[str, ...]]:
    """Sum over the axes that are not kept."""
    for dim, axis in enumerate(axes):
        if axis not in kept:
            x = kit.reduce(x, dim, "sum")
    left = tuple(axis for axis in axes if axis in kept)
    shape = tuple(size for axis, size in zip(axes, kit.spec(x).shape, strict=True) if axis in kept)
    return (kit.reshape(x, shape), left) if left != axes else (x, axes)


def _ordered(kit: Kit[T], x: T, axes: Sequence[str], wanted: Sequence[str]) -> T:
    return x if tuple(axes) == tuple(wanted) else kit.permute(x, tuple(axes.index(axis) for axis in wanted))
