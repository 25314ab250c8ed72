"""Numbers drawn with a seed, the same on every machine: counted through a mixing function, and made normal by exact arithmetic alone.

Element n of a key depends on the seed, the key and n. The bits come of splitmix64 (Steele, Lea, Flood 2014). Normal numbers are the
inverse of the distribution function by Acklam's rational approximation, 1.2e-9 off at most: it needs a logarithm in the tails, which
is summed up here, since the logarithms of libraries differ in their last bits.
"""

from __future__ import annotations

from hashlib import sha256
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ckptlint.core.initial import Initial

Numbers = NDArray[Any]
_BLOCK: Final = 1 << 18  # elements at a time
_STEP: Final = np.uint64(0x9E3779B97F4A7C15)
_MIXERS: Final = ((np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)), (np.uint64(27), np.uint64(0x94D049BB133111EB)))
_CENTRE: Final = (
    (
        -39.69683028665376,
        220.9460984245205,
        -275.9285104469687,
        138.357751867269,
        -30.66479806614716,
        2.506628277459239,
    ),
    (-54.47609879822406, 161.5858368580409, -155.6989798598866, 66.80131188771972, -13.28068155288572, 1.0),
)
_TAIL: Final = (
    (
        -0.007784894002430293,
        -0.3223964580411365,
        -2.400758277161838,
        -2.549732539343734,
        4.374664141464968,
        2.938163982698783,
    ),
    (0.007784695709041462, 0.3224671290700398, 2.445134137142996, 3.754408661907416, 1.0),
)
_EDGE: Final = 0.02425  # where the tails begin
_LN2: Final = 0.6931471805599453


def drawn(initial: Initial, key: str, shape: tuple[int, ...]) -> Numbers:
    """Return f64 numbers of a shape."""
    seed = sha256(f"{initial.seed} {key}".encode(errors="surrogatepass")).digest()[:8]
    start = np.uint64(int.from_bytes(seed, "little"))
    found = np.empty(prod(shape), "<f8")
    for first in range(0, found.size, _BLOCK):
        even = _even(start, first, min(_BLOCK, found.size - first))
        found[first : first + even.size] = even * 2.0 - 1.0 if initial.how == "uniform" else _normal(even)
    return (found * initial.spread + initial.mean).reshape(shape)


def _even(start: np.uint64, first: int, count: int) -> Numbers:
    """Numbers between 0 and 1, neither of them included."""
    bits = (np.arange(first + 1, first + 1 + count, dtype=np.uint64)) * _STEP + start
    for shift, factor in _MIXERS:
        bits = (bits ^ (bits >> shift)) * factor
    bits ^= bits >> np.uint64(31)
    return ((bits >> np.uint64(11)).astype("<f8") + 0.5) * 2.0**-53


def _normal(even: Numbers) -> Numbers:
    centred = even - 0.5
    square = centred * centred
    found = _polynomial(_CENTRE[0], square) * centred / _polynomial(_CENTRE[1], square)
    tail = np.abs(centred) > 0.5 - _EDGE
    if tail.any():
        near = np.minimum(even[tail], 1.0 - even[tail])
        far = np.sqrt(-2.0 * _logarithm(near))
        found[tail] = -np.sign(centred[tail]) * _polynomial(_TAIL[0], far) / _polynomial(_TAIL[1], far)
    return found


def _polynomial(factors: tuple[float, ...], x: Numbers) -> Numbers:
    """Horner's scheme; a polynomial that ends with 1.0 of the denominators has it as its constant."""
    found = np.full_like(x, factors[0])
    for factor in factors[1:]:
        found = found * x + factor
    return found


def _logarithm(x: Numbers) -> Numbers:
    """The natural logarithm by the series of artanh, for 0 < x < 1."""
    part, power = np.frexp(x)
    low = part < 0.7071067811865476
    part, power = np.where(low, part * 2.0, part), power - low
    ratio = (part - 1.0) / (part + 1.0)
    square = ratio * ratio
    total = np.zeros_like(x)
    for odd in range(25, 0, -2):
        total = total * square + 1.0 / odd
    return 2.0 * ratio * total + power * _LN2
