"""Checks of tensors that both sides have in different dtypes: `load_state_dict` casts without a word."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from ckptlint.checks.base import MODEL, Check, Comparison
from ckptlint.core.dtype import DType
from ckptlint.core.fields import one_of, read_by
from ckptlint.core.finding import Fact

# of the float formats: the power of two above the largest number, the bits of precision, the power of two of the smallest number
_FLOATS = {
    "f64": (1024, 53, -1074),
    "f32": (128, 24, -149),
    "f16": (16, 11, -24),
    "bf16": (128, 8, -133),
    "f8e4m3fn": (9, 4, -9),
    "f8e5m2": (16, 3, -16),
    "f8e4m3fnuz": (8, 4, -10),
    "f8e5m2fnuz": (16, 3, -17),
    "f8e8m0fnu": (128, 1, -127),
    "f6e2m3": (3, 4, -3),
    "f6e3m2": (5, 3, -4),
    "f4": (3, 2, -1),
}
_PARTS = {"c128": "f64", "c64": "f32", "c32": "f16"}  # of what the two halves of a complex number are
EFFECTS = ("overflows", "truncates", "rounds", "widens", "incompatible")


@dataclass(frozen=True, slots=True)
class DTypeOptions:
    """`effect` is what the cast does.

    `overflows`: values may lie outside of the range. `truncates`: fractions, signs or imaginary parts are cut off. `rounds`: digits are
    lost. `widens`: nothing is lost. `incompatible`: there is no cast, as from quantized to plain.
    """

    effect: str = field(metadata=read_by(one_of(*EFFECTS)))


def dtype_differs(seen: Comparison, options: DTypeOptions) -> Iterator[Fact]:
    """Tensors whose cast to the model's dtype has the effect."""
    for pair in seen.recast:
        have, want = pair.actual.dtype, pair.expected.dtype
        if pair.key not in seen.settled and effect_of(have, want) == options.effect:
            yield Fact(pair.key, {"actual": str(have), "expected": str(want)})


@cache
def effect_of(have: DType, want: DType) -> str:
    """Say what a cast between two different dtypes does, one of `EFFECTS`."""
    ours, theirs = _family(have), _family(want)
    if "" in (ours, theirs):
        return "incompatible"
    if ours == "bool":
        return "widens"
    if theirs == "bool" or (ours == "complex" and theirs != "complex"):
        return "truncates"
    if theirs in ("float", "complex"):
        return _into_float(have, want)
    if ours == "float" or (ours == "int" and theirs == "uint"):
        return "truncates"
    return "overflows" if _digits(have) > _digits(want) else "widens"


def _family(dtype: DType) -> str:
    if dtype.name in _FLOATS or dtype.name in _PARTS or dtype.kind in ("int", "uint", "bool"):
        return dtype.kind
    return ""


def _digits(dtype: DType) -> int:
    """Bits of the largest number of an integer dtype."""
    return dtype.bits - (dtype.kind == "int")


def _into_float(have: DType, want: DType) -> str:
    top, precision, bottom = _FLOATS[_PARTS.get(want.name, want.name)]
    if have.kind in ("int", "uint"):
        digits = _digits(have)
        if digits > top or digits == top > precision:  # in the second case the largest number is rounded up to infinity
            return "overflows"
        return "rounds" if digits > precision else "widens"
    largest, digits, smallest = _FLOATS[_PARTS.get(have.name, have.name)]
    if largest > top:
        return "overflows"
    return "rounds" if digits > precision or smallest < bottom else "widens"


DTYPE_CHECKS = {
    "dtype-differs": Check(
        dtype_differs, words=("actual", "expected"), options=DTypeOptions, needs=MODEL, together=True
    ),
}
