"""The codes of float types as numpy arrays of bits: to f32 and back, and between f32 and f64.

numpy knows f16, f32 and f64; the others are codes in unsigned integers. NaNs keep their sign and, as far as the narrower type has room,
their payload, which the processor's own conversions do not promise; so a type widened and narrowed again is the same bit for bit.
Callers silence numpy's floating-point warnings: they have looked at the values.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ckptlint.ops.numbers import FLOATS, FloatFormat

Bits = NDArray[Any]
Floats = NDArray[Any]
_MAGNITUDE: Final = np.uint32(0x7FFFFFFF)
_INFINITY: Final = 0x7F800000


def decoded(codes: Bits, name: str) -> Floats:
    """Return the numbers of a float type's codes: f64 as it is, all others as f32."""
    if name == "f64":
        return codes.view("<f8")
    if name == "f32":
        return codes.view("<f4")
    if name == "bf16":
        return (codes.astype("<u4") << np.uint32(16)).view("<f4")
    if name == "f16":
        return _f16_decoded(codes)
    return _table(name)[codes]


def encoded(values: Floats, name: str, *, finite: bool = False) -> Bits:
    """Return the codes of f32 numbers (for f64 and f32, of numbers of that type) that fit the type, rounded to even.

    `finite` promises that there are no infinities and NaNs among them.
    """
    if name in ("f64", "f32"):
        return values.view("<u8" if name == "f64" else "<u4")
    bits = values.view("<u4")
    number = FLOATS[name]
    if number.specials == "exponent":
        codes = _exponent_codes(bits)
    elif name == "f16":
        codes = values.astype("<f2").view("<u2")
    else:
        codes = _rounded(bits, number)
    nans = None if finite else np.isnan(values)
    if nans is not None and nans.any():
        codes[nans] = _nan_codes(bits[nans], number).astype(codes.dtype)
    return codes


def to_f64(values: Floats) -> Floats:
    """Widen f32 to f64, NaN payloads too."""
    wide = values.astype("<f8")
    nans = np.isnan(values)
    if nans.any():
        bits = values.view("<u4")[nans].astype("<u8")
        sign, payload = bits >> np.uint64(31) << np.uint64(63), (bits & np.uint64(0x7FFFFF)) << np.uint64(29)
        wide.view("<u8")[nans] = sign | np.uint64(0x7FF << 52) | payload
    return wide


def to_f32(values: Floats) -> Floats:
    """Round f64 to f32, to infinity beyond its range, NaN payloads cut."""
    narrow = values.astype("<f4")
    nans = np.isnan(values)
    if nans.any():
        bits = values.view("<u8")[nans]
        payload = (bits >> np.uint64(29) & np.uint64(0x7FFFFF)).astype("<u4")
        payload[payload == 0] = 1 << 22
        narrow.view("<u4")[nans] = (
            (bits >> np.uint64(63) << np.uint64(31)).astype("<u4") | np.uint32(_INFINITY) | payload
        )
    return narrow


def _f16_decoded(codes: Bits) -> Floats:
    wide = codes.view("<f2").astype("<f4")
    nans = np.isnan(wide)
    if nans.any():
        bits = codes[nans].astype("<u4")
        sign, payload = bits >> np.uint32(15) << np.uint32(31), (bits & np.uint32(0x3FF)) << np.uint32(13)
        wide.view("<u4")[nans] = sign | np.uint32(_INFINITY) | payload
    return wide


@cache
def _table(name: str) -> Floats:
    """The f32 number of each of the 256 codes of an 8-bit type."""
    return np.array([FLOATS[name].widened(code) for code in range(256)], "<u4").view("<f4")


def _rounded(bits: Bits, number: FloatFormat) -> Bits:
    """Round finite f32 numbers and infinities, given as bits, to a format of fewer bits that can hold them."""
    shift = 23 - number.mantissa
    alike = number.exponent == 8  # then a code is just the upper half of the bits, rounded
    magnitude = bits if alike else bits & _MAGNITUDE
    codes: Bits = magnitude >> np.uint32(shift)
    codes &= np.uint32(1)
    codes += np.uint32((1 << (shift - 1)) - 1)
    codes += magnitude
    codes >>= np.uint32(shift)
    if alike:
        return codes.astype("<u2")
    codes -= np.uint32((127 - number.bias) << number.mantissa)
    _round_small(codes, magnitude, number)
    codes[magnitude == _INFINITY] = ((1 << number.exponent) - 1) << number.mantissa
    width = number.exponent + number.mantissa
    sign = bits >> np.uint32(31) << np.uint32(width)
    if number.specials == "fnuz":
        sign[codes == 0] = 0
    codes |= sign
    return codes.astype("u1")


def _round_small(codes: Bits, magnitude: Bits, number: FloatFormat) -> None:
    """Put right the codes of numbers below the format's normal range.

    Adding a power of two whose neighbours lie as far apart as the format's smallest numbers lets the processor round to them.
    """
    small = magnitude < np.uint32((128 - number.bias) << 23)
    if small.any():
        magnet = np.float32(2.0 ** (24 - number.bias - number.mantissa))
        codes[small] = (magnitude[small].view("<f4") + magnet).view("<u4") - magnet.view("<u4")


def _exponent_codes(bits: Bits) -> Bits:
    """Round positive f32 numbers to their exponents, as torch does."""
    magnitude: Bits = bits & _MAGNITUDE
    half_or_less = np.where(magnitude >> np.uint32(23) > 0, np.uint32(0x400000), np.uint32(0x3FFFFF))
    magnitude += half_or_less
    magnitude >>= np.uint32(23)
    return magnitude.astype("u1")


def _nan_codes(bits: Bits, number: FloatFormat) -> Bits:
    """Return the format's code for each f32 NaN."""
    width = number.exponent + number.mantissa
    sign = bits >> np.uint32(31) << np.uint32(width)
    if number.specials == "ieee":
        payload = (bits & np.uint32(0x7FFFFF)) >> np.uint32(23 - number.mantissa)
        payload[payload == 0] = 1 << (number.mantissa - 1)
        return sign | np.uint32(((1 << number.exponent) - 1) << number.mantissa) | payload
    if number.specials == "fn":
        return sign | np.uint32((1 << width) - 1)
    return np.full(bits.shape, number.bits(float("nan")), "<u4")
