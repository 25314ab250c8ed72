"""The kit that moves no data: it follows where in the sources each element of a result lies.

A value is a strided view into a base, several values joined along a dimension, a constant, a choice of entries, or a conversion of
another value. Layout primitives only change these descriptions; slices are thereby pushed down to the sources by themselves. Where a
reshape cannot be said in strides, the result is a view into the row-major sequence of another value (`Gathered`).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from math import prod
from typing import Final, TypeGuard

from ckptlint.core.dtype import DType
from ckptlint.core.operation import External, Function, Matrix
from ckptlint.core.spec import TensorSpec
from ckptlint.ops.layout_values import (
    POINTWISE,
    Combined,
    Contracted,
    Converted,
    Filled,
    Gathered,
    Joined,
    NotAllZero,
    Pointwise,
    Product,
    Reduced,
    Taken,
    Transformed,
    Value,
    View,
    looked_into,
    parts_of,
    with_parts,
)
from ckptlint.ops.numbers import encode
from ckptlint.ops.spec_kit import SpecKit
from ckptlint.ops.strides import Box, aligned_groups

_SPECS: Final = SpecKit()
_WORTH_A_PART: Final = 512  # bytes of an entry from which on it is better read by itself than with its neighbours


class LayoutKit:
    """Tensor primitives on descriptions. Each takes time that grows with the number of parts, never with the elements."""

    def spec(self, x: Value) -> TensorSpec:
        return x.spec

    def reshape(self, x: Value, shape: tuple[int, ...]) -> Value:
        spec = _SPECS.reshape(x.spec, shape)
        if x.spec.shape == shape:
            return x
        if isinstance(x, View):
            box = x.box.reshaped(shape)
            if box is not None:
                return _undone(replace(x, box=box))
        elif isinstance(x, Filled):
            return Filled(spec, x.element)
        elif isinstance(x, POINTWISE):
            return _through(x, lambda each: self.reshape(each, shape))
        else:
            pushed = self._reshape_parts(x, shape)
            if pushed is not None:
                return pushed
        return View(Gathered(x), spec.dtype, Box.row_major(shape))

    def permute(self, x: Value, dims: tuple[int, ...]) -> Value:
        spec = _SPECS.permute(x.spec, dims)
        if isinstance(x, View):
            return replace(x, box=x.box.permuted(dims))
        if isinstance(x, Filled):
            return Filled(spec, x.element)
        if isinstance(x, POINTWISE):
            return _through(x, lambda each: self.permute(each, dims))
        if isinstance(x, Taken):
            return Taken(self.permute(x.value, dims), dims.index(x.dim), x.indices)
        return Joined(dims.index(x.dim), tuple(self.permute(part, dims) for part in x.parts))

    def concat(self, xs: Sequence[Value], dim: int) -> Value:
        _SPECS.concat([x.spec for x in xs], dim)
        return _join(xs, dim)

    def slice(self, x: Value, dim: int, start: int, stop: int, step: int = 1) -> Value:
        spec = _SPECS.slice(x.spec, dim, start, stop, step)
        if spec == x.spec:
            return x
        if isinstance(x, View):
            return replace(x, box=x.box.sliced(dim, start, step, spec.shape[dim]))
        if isinstance(x, Filled):
            return Filled(spec, x.element)
        if isinstance(x, POINTWISE):
            return _through(x, lambda each: self.slice(each, dim, start, stop, step))
        if isinstance(x, Taken):
            if dim == x.dim:
                return self.take(x.value, dim, x.indices[start:stop:step])
            return replace(x, value=self.slice(x.value, dim, start, stop, step))
        if dim != x.dim:
            return _join([self.slice(part, dim, start, stop, step) for part in x.parts], x.dim)
        return self._slice_joined(x, start, stop, step)

    def take(self, x: Value, dim: int, indices: tuple[int, ...]) -> Value:
        spec = _SPECS.take(x.spec, dim, indices)
        if not indices:
            return self.slice(x, dim, 0, 0)
        if isinstance(x, POINTWISE):
            return _through(x, lambda each: self.take(each, dim, indices))
        runs = list(_progressions(indices))
        if len(runs) == 1 or _better_joined(spec, dim):
            return _join([self._progression(x, dim, run) for run in runs], dim)
        return Taken(x, dim, indices)

    def flip(self, x: Value, dim: int) -> Value:
        _SPECS.flip(x.spec, dim)
        if isinstance(x, View):
            return replace(x, box=x.box.flipped(dim))
        if isinstance(x, Filled):
            return x
        if isinstance(x, Taken) and dim == x.dim:
            return replace(x, indices=x.indices[::-1])
        if isinstance(x, POINTWISE):
            return _through(x, lambda each: self.flip(each, dim))
        if isinstance(x, Taken):
            return replace(x, value=self.flip(x.value, dim))
        parts = [self.flip(part, dim) for part in x.parts]
        return _join(parts[::-1] if dim == x.dim else parts, x.dim)

    def tile(self, x: Value, dim: int, times: int) -> Value:
        _SPECS.tile(x.spec, dim, times)
        return _join([x] * times, dim)

    def expand(self, x: Value, dim: int, size: int) -> Value:
        spec = _SPECS.expand(x.spec, dim, size)
        if isinstance(x, Filled):
            return Filled(spec, x.element)
        if isinstance(x, POINTWISE):
            return _through(x, lambda each: self.expand(each, dim, size))
        if isinstance(x, Taken):
            if x.dim == dim:
                return replace(x, indices=x.indices * size)
            return replace(x, value=self.expand(x.value, dim, size))
        if isinstance(x, Joined) and x.dim != dim:
            return _join([self.expand(part, dim, size) for part in x.parts], x.dim)
        view = x if isinstance(x, View) else looked_into(x)
        return replace(view, box=view.box.expanded(dim, size))

    def fill(self, spec: TensorSpec, value: float) -> Value:
        return Filled(_SPECS.fill(spec, value), encode(spec.dtype, value))

    def cast(self, x: Value, dtype: DType, *, saturate: bool = False) -> Value:
        _SPECS.cast(x.spec, dtype)
        return x if x.spec.dtype is dtype else Converted(x, dtype, saturate)

    def transform(self, x: Value, function: Function) -> Value:
        _SPECS.transform(x.spec, function)
        return Transformed(x, function)

    def combine(self, how: str, x: Value, y: Value) -> Value:
        _SPECS.combine(how, x.spec, y.spec)
        return Combined(how, x, y)

    def reduce(self, x: Value, dim: int, how: str) -> Value:
        _SPECS.reduce(x.spec, dim, how)
        return looked_into(Reduced(x, dim, how))

    def contract(self, x: Value, dim: int, matrix: Matrix) -> Value:
        _SPECS.contract(x.spec, dim, matrix)
        return looked_into(Contracted(x, dim, matrix))

    def external(self, asked: External, inputs: tuple[Value, ...], specs: tuple[TensorSpec, ...]) -> tuple[Value, ...]:
        """Never: operations that need it are opaque, and run as steps."""
        raise NotImplementedError(asked.name)

    def not_all_zero(self, x: Value) -> Value:
        return looked_into(NotAllZero(x))

    def product(self, x: Value, y: Value) -> Value:
        _SPECS.product(x.spec, y.spec)
        return looked_into(Product(x, y))

    def _slice_joined(self, x: Joined, start: int, stop: int, step: int) -> Value:
        """Cut the joined dimension: only the parts that are met are looked at."""
        if start >= stop:
            return self.slice(x.parts[0], x.dim, 0, 0)
        kept: list[Value] = []
        for at in range(bisect_right(x.starts, start) - 1, bisect_left(x.starts, stop)):
            low, high = x.starts[at], min(x.starts[at + 1], stop)
            first = start - low if start >= low else (start - low) % step
            if first < high - low:
                kept.append(self.slice(x.parts[at], x.dim, first, high - low, step))
        return _join(kept, x.dim)

    def _progression(self, x: Value, dim: int, run: range) -> Value:
        if run.step > 0:
            return self.slice(x, dim, run.start, run[-1] + 1, run.step)
        return self.flip(self.slice(x, dim, run[-1], run.start + 1, -run.step), dim)

    def _reshape_parts(self, x: Joined | Taken, shape: tuple[int, ...]) -> Value | None:
        """Reshape what is joined or chosen from, None where the dimension it is joined along would be broken up."""
        spec = x.spec
        if 0 in shape:
            return None
        old, new = next(pair for pair in aligned_groups(spec.shape, shape) if x.dim in pair[0])
        target = next((dim for dim in new if shape[dim] != 1), None)  # the dimension that will be cut into the parts
        outer, inner = prod(spec.shape[old.start : x.dim]), prod(spec.shape[x.dim + 1 : old.stop])
        if target is None or outer != 1:
            return None
        entry = prod(shape[target + 1 : new.stop])
        if isinstance(x, Taken):
            if inner != 1 or entry != 1:
                return None
            size = x.value.spec.shape[x.dim]
            return Taken(self.reshape(x.value, (*shape[:target], size, *shape[target + 1 :])), target, x.indices)
        sizes = [part.spec.shape[x.dim] * inner for part in x.parts]
        if any(size % entry for size in sizes):
            return None
        shapes = [(*shape[:target], size // entry, *shape[target + 1 :]) for size in sizes]
        return _join([self.reshape(part, to) for part, to in zip(x.parts, shapes, strict=True)], target)


def _through(x: Pointwise, move: Callable[[Value], Value]) -> Pointwise:
    """Move the elements that are computed with, in the place of those that are computed."""
    return with_parts(x, [move(part) for part in parts_of(x)])


def _undone(view: View) -> Value:
    """Return what was gathered, where a view looks at all of it in its own shape."""
    if (
        isinstance(view.base, Gathered)
        and view.base.parted is not None
        and view.base.value.spec.shape == view.box.shape
    ):
        return view.base.parted if view.box == Box.row_major(view.box.shape) else view
    return view


def _join(parts: Iterable[Value], dim: int) -> Value:
    """Join parts, leaving out empty ones and making neighbours in one base a single view."""
    flat = [inner for part in parts for inner in (part.parts if _joins(part, dim) else (part,))]
    joined: list[Value] = []
    for part in [part for part in flat if part.spec.shape[dim]] or flat[:1]:
        merged = _merged(joined[-1], part, dim) if joined else None
        if merged is None:
            joined.append(part)
        else:
            joined[-1] = merged
    return joined[0] if len(joined) == 1 else Joined(dim, tuple(joined))


def _better_joined(spec: TensorSpec, dim: int) -> bool:
    """Whether entries along a dimension are better read one by one; packed elements cannot be chosen from in memory."""
    entry = spec.dtype.nbytes(prod(spec.shape[dim + 1 :]))
    return spec.dtype.bits % 8 != 0 or (entry >= _WORTH_A_PART and prod(spec.shape[:dim]) == 1)


def _joins(value: Value, dim: int) -> TypeGuard[Joined]:
    return isinstance(value, Joined) and value.dim == dim


def _merged(one: Value, other: Value, dim: int) -> Value | None:
    """Return one value that is both end to end, None where that takes two."""
    if isinstance(one, View) and isinstance(other, View) and one.base == other.base and one.dtype is other.dtype:
        box = one.box.followed_by(other.box, dim)
        return None if box is None else replace(one, box=box)
    if isinstance(one, Filled) and isinstance(other, Filled) and one.element == other.element:
        return Filled(_SPECS.concat([one.spec, other.spec], dim), one.element)
    if isinstance(one, POINTWISE) and isinstance(other, POINTWISE):
        return _merged_pointwise(one, other, dim)
    return None


def _merged_pointwise(one: Pointwise, other: Pointwise, dim: int) -> Value | None:
    """Merge what two equal computations are of."""
    if one != with_parts(other, parts_of(one)):
        return None
    inner = [_merged(left, right, dim) for left, right in zip(parts_of(one), parts_of(other), strict=True)]
    merged = [each for each in inner if each is not None]
    return with_parts(one, merged) if len(merged) == len(inner) else None


def _progressions(indices: Sequence[int]) -> Iterator[range]:
    """Cut a list of indices into arithmetic progressions, each as long as it can be; none stands still."""
    start = 0
    while start < len(indices):
        stop = start + 1
        step = indices[stop] - indices[start] if stop < len(indices) else 1
        while step and stop < len(indices) and indices[stop] - indices[stop - 1] == step:
            stop += 1
        if stop - start == 2 and step != 1 and stop < len(indices):
            stop -= 1  # two are always a progression; the second may rather begin a longer one
        step = step if stop - start > 1 else 1
        yield range(indices[start], indices[stop - 1] + (1 if step > 0 else -1), step)
        start = stop
