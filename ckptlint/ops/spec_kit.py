"""The kit over `TensorSpec`: what each primitive accepts, and the spec it gives.

This is the whole truth of it: the other kits assume calls that have passed here, so these `ShapeError`s are what users read.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from ckptlint.core.dtype import ANY, DType
from ckptlint.core.operation import External, Function, Matrix
from ckptlint.core.spec import TensorSpec
from ckptlint.errors import ShapeError
from ckptlint.ops.numbers import encode, is_number

_COMPUTED = {"f32", "f64", "c64", "c128"}
_F32 = DType.parse("f32")


class SpecKit:
    """Shape arithmetic. Dimensions are counted from 0; `position` turns the ones a user may count from the end."""

    def spec(self, x: TensorSpec) -> TensorSpec:
        return x

    def reshape(self, x: TensorSpec, shape: tuple[int, ...]) -> TensorSpec:
        if prod(shape) != x.numel or min(shape, default=0) < 0:
            raise ShapeError(f"{x} has {x.numel} elements, which do not fill the shape {_listed(shape)}")
        return TensorSpec(x.dtype, shape)

    def permute(self, x: TensorSpec, dims: tuple[int, ...]) -> TensorSpec:
        if sorted(dims) != list(range(len(x.shape))):
            raise ShapeError(f"{_listed(dims)} is not an order of the {len(x.shape)} dimensions of {x}")
        moved = [dim for dim, source in enumerate(dims) if dim != source]
        if moved:
            _check_whole_bytes(x, moved[-1])
        return TensorSpec(x.dtype, tuple(x.shape[dim] for dim in dims))

    def concat(self, xs: Sequence[TensorSpec], dim: int) -> TensorSpec:
        if not xs:
            raise ShapeError("there is nothing to concatenate")
        first = xs[0]
        _check_dim(first, dim)
        for x in xs:
            if not TensorSpec(x.dtype, _with(x.shape, dim, 0)).agrees(
                TensorSpec(first.dtype, _with(first.shape, dim, 0))
            ):
                raise ShapeError(f"{first} and {x} do not fit together along {dim}")
        for x in xs if len(xs) > 1 else ():
            _check_whole_bytes(x, dim, x.shape[dim])
        known = next((x.dtype for x in xs if x.dtype is not ANY), ANY)
        return TensorSpec(known, _with(first.shape, dim, sum(x.shape[dim] for x in xs)))

    def slice(self, x: TensorSpec, dim: int, start: int, stop: int, step: int = 1) -> TensorSpec:
        _check_dim(x, dim)
        size = x.shape[dim]
        if not 0 <= start <= stop <= size or step < 1:
            by = f" in steps of {step}" if step != 1 else ""
            raise ShapeError(f"{x} has {size} along {dim}, so there is no {start} up to {stop}{by}")
        if step > 1:
            _check_whole_bytes(x, dim)
        for edge in {start, stop} - {0, size}:
            _check_whole_bytes(x, dim, edge)
        return TensorSpec(x.dtype, _with(x.shape, dim, len(range(start, stop, step))))

    def take(self, x: TensorSpec, dim: int, indices: tuple[int, ...]) -> TensorSpec:
        _check_dim(x, dim)
        for index in indices:
            if not 0 <= index < x.shape[dim]:
                raise ShapeError(f"{x} has {x.shape[dim]} along {dim}, so there is no index {index}")
        _check_whole_bytes(x, dim)
        return TensorSpec(x.dtype, _with(x.shape, dim, len(indices)))

    def flip(self, x: TensorSpec, dim: int) -> TensorSpec:
        _check_dim(x, dim)
        _check_whole_bytes(x, dim)
        return x

    def tile(self, x: TensorSpec, dim: int, times: int) -> TensorSpec:
        _check_dim(x, dim)
        if times < 1:
            raise ShapeError(f"{x} cannot be repeated {times} times")
        if times > 1:
            _check_whole_bytes(x, dim, x.shape[dim])
        return TensorSpec(x.dtype, _with(x.shape, dim, x.shape[dim] * times))

    def expand(self, x: TensorSpec, dim: int, size: int) -> TensorSpec:
        _check_dim(x, dim)
        if x.shape[dim] != 1 or size < 0:
            raise ShapeError(f"{x} has {x.shape[dim]} along {dim}, so it cannot be expanded to {size}")
        if size != 1:
            _check_whole_bytes(x, dim)
        return TensorSpec(x.dtype, _with(x.shape, dim, size))

    def fill(self, spec: TensorSpec, value: float) -> TensorSpec:
        if min(spec.shape, default=0) < 0:
            raise ShapeError(f"{spec} has a negative size")
        encode(spec.dtype, value)
        return spec

    def cast(self, x: TensorSpec, dtype: DType, *, saturate: bool = False) -> TensorSpec:
        del saturate
        for each in (x.dtype, dtype):
            if x.dtype is not dtype and each is not ANY and not is_number(each):
                raise ShapeError(f"{x} cannot be cast to {dtype}: {each} elements have no arithmetic")
        return TensorSpec(dtype, x.shape)

    def transform(self, x: TensorSpec, function: Function) -> TensorSpec:
        if function.name == "table":
            if x.dtype is not ANY and x.dtype.bits != 8:
                raise ShapeError(f"{x}: only codes of 8 bits are looked up in a table")
            return TensorSpec(_F32, x.shape)
        return _number(x) if function.name in ("finite", "near") else _computed(x)

    def combine(self, how: str, x: TensorSpec, y: TensorSpec) -> TensorSpec:
        if not x.agrees(y):
            raise ShapeError(f"{x} and {y} do not fit together: all must have one dtype and shape")
        return x if how == "same" else _computed(x)

    def reduce(self, x: TensorSpec, dim: int, how: str) -> TensorSpec:
        _check_dim(_computed(x), dim)
        if how != "sum" and not x.shape[dim]:
            raise ShapeError(f"{x} has 0 along {dim}, so there is no {how}")
        if how in {"max", "min"} and x.dtype.kind == "complex":
            raise ShapeError(f"{x}: complex numbers have no {how}")
        return TensorSpec(x.dtype, _with(x.shape, dim, 1))

    def contract(self, x: TensorSpec, dim: int, matrix: Matrix) -> TensorSpec:
        _check_dim(_computed(x), dim)
        if any(len(row) != x.shape[dim] for row in matrix):
            raise ShapeError(f"{x} has {x.shape[dim]} along {dim}, not {len(matrix[0])}")
        return TensorSpec(x.dtype, _with(x.shape, dim, len(matrix)))

    def product(self, x: TensorSpec, y: TensorSpec) -> TensorSpec:
        if len(x.shape) != 2 or len(y.shape) != 2 or x.shape[1] != y.shape[0] or _computed(x).dtype is not y.dtype:
            raise ShapeError(f"{x} and {y} cannot be multiplied as matrices")
        return TensorSpec(x.dtype, (x.shape[0], y.shape[1]))

    def not_all_zero(self, x: TensorSpec) -> TensorSpec:
        return _number(x)

    def external(
        self, asked: External, inputs: tuple[TensorSpec, ...], specs: tuple[TensorSpec, ...]
    ) -> tuple[TensorSpec, ...]:
        del asked, inputs
        return specs


def _computed(x: TensorSpec) -> TensorSpec:
    if x.dtype is not ANY and x.dtype.name not in _COMPUTED:
        raise ShapeError(f"{x}: {x.dtype} elements are not computed with", hint="cast them to a float type first")
    return x


def _number(x: TensorSpec) -> TensorSpec:
    if x.dtype is not ANY and not is_number(x.dtype):
        raise ShapeError(f"{x}: {x.dtype} elements have no arithmetic")
    return x


def position(x: TensorSpec, dim: int, *, new: bool = False) -> int:
    """Count a dimension from 0 where it is counted from the end; `new` is for one that is still to be put in."""
    rank = len(x.shape) + new
    if not -rank <= dim < rank:
        raise ShapeError(f"{x} has no dimension {dim}" if not new else f"{x} has no place for a new dimension {dim}")
    return dim % rank


def positions(x: TensorSpec, dims: Sequence[int]) -> list[int]:
    """Count dimensions from 0; `ShapeError` where one is named twice."""
    places = [position(x, dim) for dim in dims]
    if len(set(places)) < len(places):
        raise ShapeError(f"{x}: a dimension is named twice")
    return places


def _check_dim(x: TensorSpec, dim: int) -> None:
    if not 0 <= dim < len(x.shape):
        raise ShapeError(f"{x} has no dimension {dim}")


def _check_whole_bytes(x: TensorSpec, dim: int, count: int = 1) -> None:
    """Elements smaller than a byte are moved only where `count` rows along `dim` fill whole bytes."""
    if x.dtype.bits % 8 and count * prod(x.shape[dim + 1 :]) * x.dtype.bits % 8:
        raise ShapeError(f"{x}: {x.dtype} elements are smaller than a byte and cannot be cut apart along {dim}")


def _with(shape: tuple[int, ...], dim: int, size: int) -> tuple[int, ...]:
    return (*shape[:dim], size, *shape[dim + 1 :])


def _listed(numbers: Sequence[int]) -> str:
    return f"[{','.join(map(str, numbers))}]"
