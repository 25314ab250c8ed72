"""Counts and extremes of blocks of elements, as codes: no block is converted to another type, most are only looked at for their extremes.

The bits of floats without their sign are ordered as the magnitudes are, so four integer extremes tell of a block whether there can be
NaNs, infinities, zeros or subnormal numbers in it; only then are they counted. Types of 8 bits and less go through a histogram.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ckptlint.core.dtype import DType
from ckptlint.core.values import Number, Values
from ckptlint.kits.numpy_floats import decoded
from ckptlint.ops.numbers import COMPONENTS, FLOATS, FloatFormat

Codes = NDArray[Any]
_NIBBLES: Final = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], "<f4")  # of float4 e2m1
_FOURS: Final = frozenset({"f4", "f4e2m1x2"})


class Tally(NamedTuple):
    """What a run of elements has; `first` are the bytes of its first element, `constant` whether all have them."""

    elements: int
    nans: int
    rises: int
    falls: int
    zeros: int
    subnormals: int
    lowest: Number | None
    highest: Number | None
    first: bytes
    constant: bool


def countable(dtype: DType) -> bool:
    """Whether the elements of a type can be judged: quantised ones, and those that torch calls bits, are not numbers by themselves."""
    plain = COMPONENTS.get(dtype.name, dtype.name) in FLOATS or dtype.kind in ("int", "uint", "bool")
    return plain or dtype.name in _FOURS


def tally(block: bytes | memoryview, dtype: DType, *, swapped: bool = False, chosen: Codes | None = None) -> Tally:
    """Count whole elements; `chosen` is a mask of those that are meant, `swapped` says that they are big-endian."""
    name = COMPONENTS.get(dtype.name, dtype.name)
    bits = DType.parse(name).bits
    codes: Codes = np.frombuffer(block, f"{'>' if swapped else '<'}u{max(bits, 8) // 8}")
    if chosen is not None:
        codes = codes.reshape(chosen.size, -1)[chosen].reshape(-1)
    if swapped:
        codes = codes.astype(codes.dtype.newbyteorder("<"))
    if not codes.size:
        return Tally(0, 0, 0, 0, 0, 0, None, None, b"", constant=True)
    width = max(dtype.bits // bits, 1)  # codes of an element
    first = codes[:width].tobytes()
    constant = bool((codes.reshape(-1, width) == codes[:width]).all()) if codes[-width:].tobytes() == first else False
    counts = _counts(codes, name, dtype)
    return Tally(*counts, first, constant)


def joined(one: Tally, other: Tally) -> Tally:
    """Count two runs together."""
    if not one.elements or not other.elements:
        return one if one.elements else other
    lows = [each.lowest for each in (one, other) if each.lowest is not None]
    highs = [each.highest for each in (one, other) if each.highest is not None]
    constant = one.constant and other.constant and one.first == other.first
    return Tally(
        one.elements + other.elements,
        one.nans + other.nans,
        one.rises + other.rises,
        one.falls + other.falls,
        one.zeros + other.zeros,
        one.subnormals + other.subnormals,
        min(lows, default=None),
        max(highs, default=None),
        one.first,
        constant,
    )


def values_of(found: Tally, digest: str = "") -> Values:
    """Return the noun that checks know."""
    return Values(*found[:8], constant=found.constant, digest=digest)


class ValueCount:
    """What `runners.measuring` asks of blocks."""

    def tally(self, block: memoryview, dtype: DType, *, swapped: bool, chosen: Codes | None) -> Tally:
        return tally(block, dtype, swapped=swapped, chosen=chosen)

    def join(self, one: Tally, other: Tally) -> Tally:
        return joined(one, other)

    def gaps(self, first: int, count: int, axes: tuple[tuple[int, int], ...]) -> Codes:
        """Tell the places that a view with these (size, stride) axes, largest stride first, has elements at."""
        rest = np.arange(first, first + count)
        mask = np.ones(count, bool)
        for size, step in axes:
            number, rest = np.divmod(rest, step)
            mask &= number < size
        mask &= rest == 0
        return mask


Counts = tuple[int, int, int, int, int, int, "Number | None", "Number | None"]


def _counts(codes: Codes, name: str, dtype: DType) -> Counts:
    if name in _FOURS:
        return _of_histogram(np.bincount(codes & 15, minlength=16) + np.bincount(codes >> 4, minlength=16), _NIBBLES)
    if name not in FLOATS:
        numbers = codes.view(codes.dtype.str.replace("u", "i")) if dtype.kind == "int" else codes
        low, high = int(numbers.min()), int(numbers.max())
        zeros = codes.size - int(np.count_nonzero(codes)) if low <= 0 <= high else 0
        return codes.size, 0, 0, 0, zeros, 0, low, high
    if codes.dtype.itemsize == 1:
        return _of_histogram(np.bincount(codes, minlength=256), _numbers(name), FLOATS[name])
    return _of_floats(codes, name)


def _of_floats(codes: Codes, name: str) -> Counts:
    number = FLOATS[name]
    sign = 1 << (number.exponent + number.mantissa)
    infinity = ((1 << number.exponent) - 1) << number.mantissa
    normal = 1 << number.mantissa
    signed = codes.view(codes.dtype.str.replace("u", "i"))
    extremes = [int(codes.max()), int(codes.min()), int(signed.max()) % (2 * sign), int(signed.min()) % (2 * sign)]
    magnitudes = [code & (sign - 1) for code in extremes]
    nans = rises = falls = zeros = subnormals = 0
    if max(magnitudes) >= infinity:
        magnitude = codes & codes.dtype.type(sign - 1)
        nans = int(np.count_nonzero(magnitude > infinity))
        rises = int(np.count_nonzero(codes == infinity))
        falls = int(np.count_nonzero(codes == infinity | sign))
        finite = codes[magnitude < infinity]
        if not finite.size:
            return codes.size, nans, rises, falls, 0, 0, None, None
        _, _, _, _, zeros, subnormals, low, high = _of_floats(finite, name)
        return codes.size, nans, rises, falls, zeros, subnormals, low, high
    if min(magnitudes) < normal:
        magnitude = codes & codes.dtype.type(sign - 1)
        zeros = magnitude.size - int(np.count_nonzero(magnitude))
        subnormals = int(np.count_nonzero(magnitude < normal)) - zeros
    numbers = decoded(np.array(extremes, codes.dtype), name)
    return codes.size, nans, rises, falls, zeros, subnormals, float(numbers.min()), float(numbers.max())


def _of_histogram(counts: Codes, numbers: Codes, number: FloatFormat | None = None) -> Counts:
    """Count by how often each code is there."""
    there = numbers[counts > 0]
    finite = there[np.isfinite(there)]
    normal = np.float32(2.0 ** (1 - number.bias)) if number is not None and number.signed else np.float32(0)
    with np.errstate(invalid="ignore"):
        small = (np.abs(numbers) < normal) & (numbers != 0)
    return (
        int(counts.sum()),
        int(counts[np.isnan(numbers)].sum()),
        int(counts[np.isposinf(numbers)].sum()),
        int(counts[np.isneginf(numbers)].sum()),
        int(counts[numbers == 0].sum()),
        int(counts[small].sum()),
        float(finite.min()) if finite.size else None,
        float(finite.max()) if finite.size else None,
    )


@cache
def _numbers(name: str) -> Codes:
    return decoded(np.arange(256, dtype="u1"), name)
