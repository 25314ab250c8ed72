"""Which numbers an element type can hold, and the bytes of one of them.

The float formats follow IEEE 754 and the OCP/Graphcore 8-bit proposals as torch implements them. Numbers reach the formats below f32
through f32, as in torch: a double is rounded twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import copysign, frexp, inf, isfinite, isinf, isnan, ldexp, nan
from struct import pack
from typing import Final, Literal

from ckptlint.core.dtype import DType
from ckptlint.errors import ShapeError

_WIDE: Final = 23  # mantissa bits of f32
_QUIET: Final = 0x7FC00000  # f32's bits of the plain NaN


@dataclass(frozen=True, slots=True)
class FloatFormat:
    """How a binary float type lays out its bits: sign, `exponent` bits, `mantissa` bits.

    `specials` says what the extreme codes mean. ieee: infinities and NaNs in the largest exponent. fn: no infinity, NaN is all ones.
    fnuz: no infinity, no negative zero, its code is the NaN. exponent: powers of two alone, no sign, no zero, NaN is all ones.
    """

    exponent: int
    mantissa: int
    bias: int
    specials: Literal["ieee", "fn", "fnuz", "exponent"] = "ieee"

    @property
    def largest(self) -> float:
        """The largest finite value."""
        top = (1 << self.exponent) - 1 - self.bias
        if self.specials == "ieee":
            return (2.0 - ldexp(1, -self.mantissa)) * ldexp(1, top - 1)
        if self.specials == "exponent":
            return ldexp(1, top - 1)
        return (2.0 - ldexp(1, (self.specials == "fn") - self.mantissa)) * ldexp(1, top)

    @property
    def smallest(self) -> float:
        """The smallest positive value."""
        return ldexp(1, -self.bias) if self.specials == "exponent" else ldexp(1, 1 - self.bias - self.mantissa)

    @property
    def limit(self) -> float:
        """The first magnitude that rounds beyond `largest`, or (`limit_fits`) the last that does not. Not for f64, where it is inf."""
        half_step = ldexp(1, frexp(self.largest)[1] - self.mantissa - 2)
        return self.largest + half_step

    @property
    def limit_fits(self) -> bool:
        """Whether a tie at `limit` goes to `largest`, which is so where that is even."""
        return self.specials == "fn"

    @property
    def has_infinity(self) -> bool:
        return self.specials == "ieee"

    @property
    def signed(self) -> bool:
        return self.specials != "exponent"

    def fits(self, value: float) -> bool:
        """Whether a finite number rounds to one of the format's."""
        if not self.signed and value <= 0:
            return False
        return abs(value) < self.limit or (self.limit_fits and abs(value) == self.limit)

    def bits(self, value: float) -> int:
        """The code of an f32 number that fits, of an infinity or of NaN; rounded to even."""
        sign = 1 << (self.exponent + self.mantissa)
        if isnan(value):
            return {"ieee": sign - (1 << self.mantissa) // 2, "fnuz": sign}.get(self.specials, sign - 1)
        if isinf(value):
            return (sign if value < 0 else 0) | (sign - (1 << self.mantissa))
        if not self.signed:
            return _exponent_code(value)
        step = max(frexp(value)[1] - 1, 1 - self.bias) - self.mantissa  # log2 of the distance of neighbours
        code = round(abs(value) / ldexp(1, step))
        if value:
            code += (step + self.mantissa + self.bias - 1) << self.mantissa  # a carry moves on into the exponent
        negative = copysign(1, value) < 0 and (code or self.specials != "fnuz")
        return code | (sign if negative else 0)

    def widened(self, code: int) -> int:
        """The f32 bits of a code. NaNs keep their sign and, where the format has one, their payload."""
        if self.specials == "exponent":
            return _QUIET if code == 0xFF else (code << _WIDE if code else 1 << (_WIDE - 1))
        width = self.exponent + self.mantissa
        sign, magnitude = code >> width << 31, code & ((1 << width) - 1)
        field, fraction = magnitude >> self.mantissa, magnitude & ((1 << self.mantissa) - 1)
        if self.specials == "fnuz" and code == 1 << width:
            return _QUIET
        last = field == (1 << self.exponent) - 1
        if last and (self.specials == "ieee" or (self.specials == "fn" and fraction == (1 << self.mantissa) - 1)):
            return sign | 0x7F800000 | fraction << (_WIDE - self.mantissa)
        scaled = fraction if field == 0 else fraction + (1 << self.mantissa)
        value = ldexp(scaled, max(field, 1) - self.bias - self.mantissa)
        return sign | int.from_bytes(pack("<f", value), "little")


def _exponent_code(value: float) -> int:
    """Round f32 bits to their exponent, ties to even, as torch does for e8m0 (also where f32 is subnormal)."""
    bits = int.from_bytes(pack("<f", value), "little")
    return (bits + 0x3FFFFF + (bits >> _WIDE > 0)) >> _WIDE


F64: Final = FloatFormat(11, 52, 1023)
F32: Final = FloatFormat(8, 23, 127)
FLOATS: Final = {
    "f64": F64,
    "f32": F32,
    "f16": FloatFormat(5, 10, 15),
    "bf16": FloatFormat(8, 7, 127),
    "f8e4m3fn": FloatFormat(4, 3, 7, "fn"),
    "f8e5m2": FloatFormat(5, 2, 15),
    "f8e4m3fnuz": FloatFormat(4, 3, 8, "fnuz"),
    "f8e5m2fnuz": FloatFormat(5, 2, 16, "fnuz"),
    "f8e8m0fnu": FloatFormat(8, 0, 127, "exponent"),
}
COMPONENTS: Final = {"c128": "f64", "c64": "f32", "c32": "f16"}  # a complex number is two of these


@cache
def int_range(dtype: DType) -> tuple[int, int] | None:
    """The smallest and the largest integer of an integer type or bool, None for others."""
    if dtype.kind == "bool":
        return 0, 1
    if dtype.kind == "uint":
        return 0, (1 << dtype.bits) - 1
    if dtype.kind == "int":
        return -(1 << dtype.bits - 1), (1 << dtype.bits - 1) - 1
    return None


def is_number(dtype: DType) -> bool:
    """Whether elements of this type can be computed with: not so for quantized, packed and unnamed types."""
    return dtype.name in FLOATS or dtype.name in COMPONENTS or int_range(dtype) is not None


@cache
def holds_all(target: DType, source: DType) -> bool:
    """Whether every element of `source`, NaN and infinities too, is one of `target`, so that casting there loses nothing."""
    if target is source:
        return True
    if not (is_number(target) and is_number(source)):
        return False
    if target.name in COMPONENTS:
        return _float_holds(FLOATS[COMPONENTS[target.name]], _real(source), int_range(source))
    integers = int_range(target)
    if integers is not None:
        inner = int_range(source)
        return inner is not None and integers[0] <= inner[0] and inner[1] <= integers[1]
    return source.name not in COMPONENTS and _float_holds(FLOATS[target.name], _real(source), int_range(source))


def _real(dtype: DType) -> FloatFormat | None:
    return FLOATS.get(COMPONENTS.get(dtype.name, dtype.name))


def _float_holds(target: FloatFormat, source: FloatFormat | None, integers: tuple[int, int] | None) -> bool:
    if integers is not None:
        reach = max(-integers[0], integers[1])
        return target.signed and reach <= target.largest and reach <= 1 << (target.mantissa + 1)
    if source is None or not _has_specials_of(target, source):
        return False
    return (
        source.mantissa <= target.mantissa and source.largest <= target.largest and source.smallest >= target.smallest
    )


def _has_specials_of(target: FloatFormat, source: FloatFormat) -> bool:
    """Whether infinities, signs and negative zero have a place; the `fnuz` types have no negative zero."""
    loses_zero = target.specials == "fnuz" and source.signed and source.specials != "fnuz"
    loses_infinity = source.has_infinity and not target.has_infinity
    return target.signed and not loses_zero and not loses_infinity


def encode(dtype: DType, value: float) -> bytes:
    """The little-endian bytes of one element; `ShapeError` where the type cannot hold the number."""
    integers = int_range(dtype)
    if integers is not None:
        if not isfinite(value) or value != int(value) or not integers[0] <= int(value) <= integers[1]:
            raise ShapeError(f"{dtype} cannot hold {value}")
        return int(value).to_bytes(dtype.bits // 8, "little", signed=integers[0] < 0)
    if dtype.name in COMPONENTS:
        real = DType.parse(COMPONENTS[dtype.name])
        return encode(real, value) + encode(real, 0)
    if dtype.name not in FLOATS:
        raise ShapeError(f"{dtype} elements have no arithmetic", hint="only numbers can be filled in or cast")
    return _encode_float(dtype, float(value))


def _encode_float(dtype: DType, value: float) -> bytes:
    if dtype.name == "f64":
        return pack("<d", value)
    number = FLOATS[dtype.name]
    rounded = _as_f32(value)
    missing = isinf(value) and not number.has_infinity
    if missing or (isfinite(value) and not number.fits(rounded)):
        raise ShapeError(f"{dtype} cannot hold {value}", hint=f"its largest number is {number.largest:g}")
    return number.bits(rounded).to_bytes(dtype.bits // 8, "little")


def _as_f32(value: float) -> float:
    """Round to f32, beyond its range to infinity."""
    if isnan(value):
        return nan
    if abs(value) >= F32.limit:
        return copysign(inf, value)
    from struct import unpack

    return float(unpack("<f", pack("<f", value))[0])


def unit(dtype: DType) -> float:
    """The largest relative error of rounding to a float type (a complex one, by its parts), but for numbers near 0."""
    return 2.0 ** -(FLOATS[COMPONENTS.get(dtype.name, dtype.name)].mantissa + 1)


def least(dtype: DType) -> float:
    """The smallest positive number of a float type."""
    return FLOATS[COMPONENTS.get(dtype.name, dtype.name)].smallest


def is_float(dtype: DType) -> bool:
    """Whether it has a mantissa and a sign: a float or complex type."""
    name = COMPONENTS.get(dtype.name, dtype.name)
    return name in FLOATS and FLOATS[name].signed
