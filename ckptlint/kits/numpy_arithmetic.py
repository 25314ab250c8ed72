"""Computing with elements on numpy arrays of codes. What has no finite result for finite elements is refused, never written.

Sums are added up in f64, functions with a rounding of their own (exp, log ...) computed in f64, and all is rounded once at the end:
so the result does not depend on how a tensor was cut into blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ckptlint.core.dtype import DType
from ckptlint.core.operation import Function, Matrix
from ckptlint.errors import ShapeError
from ckptlint.kits.numpy_cast import numbers_of

Codes: TypeAlias = NDArray[Any]
Numbers: TypeAlias = NDArray[Any]
_CHUNK: Final = 1 << 18  # elements computed at once: temporaries stay small beside the tensors
_TYPES: Final = {"f32": "<f4", "f64": "<f8", "c64": "<c8", "c128": "<c16"}
_F32: Final = DType.parse("f32")

_EXACT: Final[dict[str, Callable[..., Numbers]]] = {  # computed in the elements' own type, rounded by each step
    "neg": lambda x: -x,
    "affine": lambda x, a, b: x * x.dtype.type(a) + x.dtype.type(b),
    "sqrt": np.sqrt,
    "square": np.square,
    "abs": np.abs,
    "reciprocal": lambda x: x.dtype.type(1) / x,
}
_WIDE: Final[dict[str, Callable[..., Numbers]]] = {  # computed in f64
    "exp": np.exp,
    "log": np.log,
    "softplus": lambda x: np.logaddexp(x, 0.0),
    "inverse_softplus": lambda x: x + np.log(-np.expm1(-x)),
}
_COMBINED: Final[dict[str, Callable[[Numbers, Numbers], Numbers]]] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
}


def transform(codes: Codes, dtype: DType, function: Function) -> tuple[Codes, DType]:
    """Apply a function to a one-dimensional array of codes; return codes and their type."""
    if function.name == "table":
        return np.array(function.constants, "<f4")[codes.view("u1")].view("<u4"), _F32
    made = np.empty_like(codes)
    for start in range(0, codes.size, _CHUNK):
        chunk = codes[start : start + _CHUNK]
        if function.name == "finite":
            _check_finite(chunk, dtype)
            made[start : start + _CHUNK] = chunk
        elif function.name == "near":
            _check_near(chunk, dtype, *function.constants)
            made[start : start + _CHUNK] = chunk
        else:
            made[start : start + _CHUNK] = _transformed(chunk.view(_TYPES[dtype.name]), function).view(codes.dtype)
    return made, dtype


@np.errstate(all="ignore")  # what has no value is looked for here
def _transformed(values: Numbers, function: Function) -> Numbers:
    if function.name in _EXACT:
        made = _EXACT[function.name](values, *function.constants)
    else:
        wide = "<c16" if values.dtype.kind == "c" else "<f8"
        made = _WIDE[function.name](values.astype(wide))
    made = made.astype(values.dtype)
    _refuse(np.isfinite(values) & ~np.isfinite(made), values, f"have no {function.name}")
    return made


def combine(how: str, one: Codes, other: Codes, dtype: DType) -> Codes:
    """Combine one-dimensional arrays of codes two by two."""
    if how == "same":
        _refuse(_differ(one, other), numbers_of(one, dtype), "are not the same as in the other")
        return one
    made = np.empty_like(one)
    name = _TYPES[dtype.name]
    for start in range(0, one.size, _CHUNK):
        left, right = (each[start : start + _CHUNK].view(name) for each in (one, other))
        with np.errstate(all="ignore"):
            found = _COMBINED[how](left, right)
        _refuse(np.isfinite(left) & np.isfinite(right) & ~np.isfinite(found), left, f"have no finite result of {how}")
        made[start : start + _CHUNK] = found.view(one.dtype)
    return made


def _differ(one: Codes, other: Codes) -> NDArray[np.bool_]:
    """Which elements differ in a bit; a NaN is the same as itself, which complex codes would deny."""
    left, right = (each.view(np.uint8).reshape(each.size, each.itemsize) for each in (one, other))
    different: NDArray[np.bool_] = (left != right).any(axis=1)
    return different


def reduce(codes: Codes, dtype: DType, dim: int, how: str) -> Codes:
    """Make the entries along a dimension into one, which keeps the dimension."""
    values = codes.view(_TYPES[dtype.name])
    if how in ("max", "min"):
        made = (np.max if how == "max" else np.min)(values, axis=dim, keepdims=True)
        return np.ascontiguousarray(made).view(codes.dtype)
    with np.errstate(all="ignore"):
        total = np.add.reduce(values, axis=dim, dtype=_wide(dtype), keepdims=True)
    made = _narrowed(total / values.shape[dim] if how == "mean" else total, values)
    return np.ascontiguousarray(made).view(codes.dtype)


@np.errstate(all="ignore")
def contract(codes: Codes, dtype: DType, dim: int, matrix: Matrix) -> Codes:
    """Replace the entries along a dimension by weighted sums of them."""
    values = np.moveaxis(codes.view(_TYPES[dtype.name]), dim, 0)
    weights = np.array(matrix, "<f8").reshape(len(matrix), values.shape[0])
    flat = values.reshape(values.shape[0], -1)
    made = np.empty((len(matrix), flat.shape[1]), flat.dtype)
    for start in range(0, flat.shape[1], _CHUNK):
        made[:, start : start + _CHUNK] = _narrowed(
            weights @ flat[:, start : start + _CHUNK].astype(_wide(dtype)), flat
        )
    shaped = np.moveaxis(made.reshape(len(matrix), *values.shape[1:]), 0, dim)
    return np.ascontiguousarray(shaped).view(codes.dtype)


@np.errstate(all="ignore")
def product(one: Codes, other: Codes, dtype: DType) -> Codes:
    """Multiply two matrices."""
    name, wide = _TYPES[dtype.name], _wide(dtype)
    left, right = one.view(name), other.view(name).astype(wide)
    made = np.empty((left.shape[0], right.shape[1]), left.dtype)
    rows = max(_CHUNK // max(right.shape[1], 1), 1)
    for start in range(0, left.shape[0], rows):
        made[start : start + rows] = _narrowed(left[start : start + rows].astype(wide) @ right, left)
    return made.view(one.dtype)


@np.errstate(all="ignore")
def check_not_all_zero(codes: Codes, dtype: DType) -> None:
    """Raise `ShapeError` where there are elements, and all are zero."""
    if codes.size and not any(
        (numbers_of(codes[start : start + _CHUNK], dtype) != 0).any() for start in range(0, codes.size, _CHUNK)
    ):
        raise ShapeError(f"all {codes.size} elements are zero")


def _narrowed(sums: Numbers, like: Numbers) -> Numbers:
    """Round sums to the type of the elements."""
    with np.errstate(all="ignore"):
        made = sums.astype(like.dtype)
    _refuse(~np.isfinite(made) & np.isfinite(sums), sums, "are too large a sum")
    return made


@np.errstate(all="ignore")
def _check_finite(codes: Codes, dtype: DType) -> None:
    values = numbers_of(codes, dtype)
    _refuse(~np.isfinite(values), values, "are not finite")


@np.errstate(all="ignore")
def _check_near(codes: Codes, dtype: DType, value: float, distance: float) -> None:
    values = numbers_of(codes, dtype)
    wide = values.astype(_wide(dtype))
    _refuse(~(np.abs(wide - value) <= distance), values, f"are not {value:g}" + _within(distance))


def _within(distance: float) -> str:
    return f" within {distance:g}" if distance else ""


def _refuse(refused: NDArray[np.bool_], values: Numbers, what: str) -> None:
    count = int(np.count_nonzero(refused))
    if count:
        sample = values[refused][0] if values.shape == refused.shape else values.reshape(-1)[0]
        raise ShapeError(f"{count} elements {what}, such as {sample.item()}")


def _wide(dtype: DType) -> str:
    return "<c16" if dtype.kind == "complex" else "<f8"
