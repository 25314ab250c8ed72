"""Conversion between element types on numpy arrays of codes, with every element checked before it is converted.

What does not fit is refused, never turned into an infinity, another number or garbage: that is `ops/cast.py`'s promise. Arithmetic
follows torch bit for bit wherever the value fits: types below f32 are reached through f32, everything is rounded to even.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ckptlint.core.dtype import DType
from ckptlint.kits.numpy_floats import Bits, decoded, encoded, to_f32, to_f64
from ckptlint.ops.numbers import COMPONENTS, FLOATS, FloatFormat, int_range

Numbers = NDArray[Any]
Mask = NDArray[np.bool_]
_CHUNK: Final = 1 << 18  # elements converted at once: temporaries stay small beside the tensors, and in the cache


class Refused(NamedTuple):
    """How many elements a cast refuses, and the first of them in words."""

    elements: int
    sample: str


def stored_as(dtype: DType) -> str:
    """The numpy type that carries this type's codes."""
    return "<c16" if dtype.bits == 128 else f"<u{dtype.bits // 8}"


def cast_codes(codes: Bits, source: DType, target: DType, *, saturate: bool) -> tuple[Bits, Refused]:
    """Convert a one-dimensional array of codes; the result is only to be used where nothing is refused."""
    made = np.empty(codes.shape, stored_as(target))
    count, sample = 0, ""
    for start in range(0, codes.size, _CHUNK):
        chunk = codes[start : start + _CHUNK]
        made[start : start + _CHUNK], refused = _cast_chunk(chunk, source, target, saturate=saturate)
        found = int(np.count_nonzero(refused))
        if found and not count:
            at = int(np.argmax(refused))
            sample = str(_components(chunk[at : at + 1], source).squeeze().tolist())
        count += found
    return made, Refused(count, sample)


@np.errstate(all="ignore")  # every overflow and NaN is looked for here
def _cast_chunk(codes: Bits, source: DType, target: DType, *, saturate: bool) -> tuple[Bits, Mask]:
    """Convert some elements; complex numbers by their two components, an absent imaginary part being zero."""
    parts = _components(codes, source)
    if target.name not in COMPONENTS:
        made, refused = _cast_numbers(parts[:, 0], target, saturate=saturate)
        return made, refused | (parts[:, 1:] != 0).any(axis=1)
    real = DType.parse(COMPONENTS[target.name])
    pairs = np.zeros((codes.size, 2), stored_as(real))
    refused = np.zeros(codes.size, bool)
    for number in range(parts.shape[1]):
        pairs[:, number], unfit = _cast_numbers(parts[:, number], real, saturate=saturate)
        refused |= unfit
    return pairs.view(stored_as(target))[:, 0], refused


def numbers_of(codes: Bits, dtype: DType) -> Numbers:
    """Return the numbers of a one-dimensional array of codes; complex ones as such."""
    parts = _components(codes, dtype)
    if parts.shape[1] == 1:
        return parts[:, 0]
    return np.ascontiguousarray(parts).view("<c16" if parts.dtype.itemsize == 8 else "<c8")[:, 0]


def _components(codes: Bits, dtype: DType) -> Numbers:
    """Return the numbers as columns: one for real types, two for complex ones."""
    if dtype.name in COMPONENTS:
        real = DType.parse(COMPONENTS[dtype.name])
        return decoded(codes.view(stored_as(real)), real.name).reshape(-1, 2)
    if dtype.kind == "bool":
        return np.not_equal(codes, 0).astype("u1")[:, None]
    if dtype.name in FLOATS:
        return decoded(codes, dtype.name)[:, None]
    return codes.view(f"<i{dtype.bits // 8}" if dtype.kind == "int" else codes.dtype)[:, None]


def _cast_numbers(values: Numbers, target: DType, *, saturate: bool) -> tuple[Bits, Mask]:
    values = np.ascontiguousarray(values)
    if target.name in FLOATS:
        return _to_floats(values, target.name, saturate=saturate)
    low, high = int_range(target) or (0, 0)
    if values.dtype.kind == "f":
        made, refused = _floats_to_integers(values, (low, high), stored_as(target), saturate=saturate)
    else:
        made, refused = _integers_to_integers(values, (low, high), stored_as(target), saturate=saturate)
    if target.kind == "bool" and saturate:
        made = (values != 0).astype("u1")
    return made, refused


def _to_floats(values: Numbers, name: str, *, saturate: bool) -> tuple[Bits, Mask]:
    number = FLOATS[name]
    rounded = _f64_of(values) if name == "f64" else _f32_of(values)
    if rounded.size and number.signed and rounded.max() < number.limit and rounded.min() > -number.limit:
        return encoded(rounded, name, finite=True), np.zeros(values.shape, bool)  # by far the most often
    refused = _unfit(values, rounded, number) if name != "f64" else np.zeros(values.shape, bool)
    if saturate and refused.any():
        nearest = np.copysign(np.float32(number.largest), rounded)
        if not number.signed:
            nearest[rounded <= 0] = number.smallest
        rounded = np.where(refused, nearest, rounded)
        refused = np.zeros(values.shape, bool)
    return encoded(rounded, name), refused


def _unfit(values: Numbers, rounded: Numbers, number: FloatFormat) -> Mask:
    """Tell which values the format has no number for; `rounded` are they as f32."""
    magnitude = np.abs(rounded)
    limit = np.float32(number.limit) if number.mantissa < 23 else np.float32(np.inf)
    beyond = magnitude > limit if number.limit_fits else magnitude >= limit
    if number.has_infinity and values.dtype.kind == "f":
        beyond &= np.isfinite(values)
    if not number.signed:
        beyond |= rounded <= 0
    return np.asarray(beyond)


def _f64_of(values: Numbers) -> Numbers:
    return to_f64(values) if values.dtype == np.float32 else values.astype("<f8")


def _f32_of(values: Numbers) -> Numbers:
    return to_f32(values) if values.dtype == np.float64 else values.astype("<f4", copy=False)


def _floats_to_integers(values: Numbers, bounds: tuple[int, int], to: str, *, saturate: bool) -> tuple[Bits, Mask]:
    low, high = bounds
    whole = np.trunc(values)
    top = float(high + 1)  # exact in every float type, unlike `high`
    inside = (whole >= low) & (whole < top)
    signed = to.replace("u", "i") if low < 0 else to
    made = np.where(inside, whole, 0).astype(signed)
    if not saturate:
        return made.view(to), ~(inside & (whole == values))
    made[whole >= top] = high
    made[whole < low] = low
    return made.view(to), np.isnan(values)


def _integers_to_integers(values: Numbers, bounds: tuple[int, int], to: str, *, saturate: bool) -> tuple[Bits, Mask]:
    limits = np.iinfo(values.dtype)
    low, high = (
        max(bounds[0], int(limits.min)),
        min(bounds[1], int(limits.max)),
    )  # so that both are of the source's type
    refused = (values < low) | (values > high)
    made = (values.clip(low, high) if saturate else values).astype(to)
    return made, np.zeros(values.shape, bool) if saturate else refused
