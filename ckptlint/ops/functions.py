"""The functions that arithmetic applies to each element: which there are, what undoes each, and in which type they are computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from ckptlint.core.dtype import ANY, DType
from ckptlint.core.operation import Function, Kit
from ckptlint.errors import ShapeError

T = TypeVar("T")

FINITE: Final = Function("finite")  # no function but a check: the element itself, refused where it is infinite or NaN
NEAR: Final = "near"  # another check, with constants value, distance: refused where it is farther from the value
TABLE: Final = "table"  # a number for each of the 256 codes of an 8-bit type
AFFINE: Final = "affine"  # constants a, b: a * x + b, rounded twice
UNDONE_BY: Final = {
    "neg": "neg",
    "exp": "log",
    "log": "exp",
    "sqrt": "square",
    "reciprocal": "reciprocal",
    "softplus": "inverse_softplus",
    "inverse_softplus": "softplus",
    "square": "",
    "abs": "",
}
"""The functions without constants; one that is undone by nothing gives one result for two elements."""
COMBINED: Final = ("add", "subtract", "multiply", "divide")
REDUCED: Final = ("sum", "mean", "max", "min")

_COMPUTED: Final = {
    **dict.fromkeys(("f32", "f16", "bf16"), "f32"),
    **dict.fromkeys(("f8e4m3fn", "f8e5m2", "f8e4m3fnuz", "f8e5m2fnuz", "f8e8m0fnu"), "f32"),
    "f64": "f64",
    "c32": "c64",
    "c64": "c64",
    "c128": "c128",
}


def computing(dtype: DType) -> DType:
    """The type that elements are computed in: f64, c64 or c128 where they need it, else f32; `ShapeError` for what is no float."""
    if dtype is ANY:
        return DType.parse("f32")
    if dtype.name not in _COMPUTED:
        raise ShapeError(f"{dtype} elements are not computed with", hint="cast them to a float type first")
    return DType.parse(_COMPUTED[dtype.name])


def widened(kit: Kit[T], x: T) -> T:
    """Return elements in the type they are computed in."""
    return kit.cast(x, computing(kit.spec(x).dtype))


def rounded(kit: Kit[T], x: T, dtype: DType) -> T:
    """Return what was computed in the type that was asked for; `ShapeError` where that cannot hold an element."""
    return x if dtype is ANY else kit.cast(x, dtype)


def folded(parts: Sequence[T], combine: Callable[[T, T], T]) -> T:
    """Combine parts two by two, then the results two by two, and so on: what is made is no deeper than it has to be."""
    left = list(parts)
    while len(left) > 1:
        pairs = [combine(one, other) for one, other in zip(left[::2], left[1::2], strict=False)]
        left = [*pairs, left[-1]] if len(left) % 2 else pairs
    return left[0]
