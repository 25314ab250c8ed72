"""Weights stored as small codes with a scale for each block, as the numbers they stand for."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import ClassVar, Final, Literal, TypeVar

from ckptlint.core.dtype import DType
from ckptlint.core.operation import Function, Kit, Operation
from ckptlint.errors import DocumentError, ShapeError
from ckptlint.ops.functions import TABLE

T = TypeVar("T")
_F32: Final = DType.parse("f32")
_FP4: Final = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)  # e2m1, the sign in the highest bit
_NIBBLES: Final = (*_FP4, *(-each for each in _FP4))
_NF4: Final = (  # quantiles of the normal distribution, as bitsandbytes has them
    *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334),
    *(-0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224),
    *(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
)


def _halves(numbers: tuple[float, ...]) -> tuple[Function, Function]:
    """What the lower and the upper half of a byte stand for."""
    low = tuple(numbers[code & 15] for code in range(256))
    return Function(TABLE, low), Function(TABLE, tuple(numbers[code >> 4] for code in range(256)))


_PAIRS: Final = {"fp4x2": _halves(_NIBBLES), "nf4x2": _halves(_NF4)[::-1]}  # in the order of the numbers
_EXPONENT: Final = Function(TABLE, (*(2.0 ** (code - 127) for code in range(255)), nan))


@dataclass(frozen=True, slots=True)
class Dequantize(Operation):
    """Multiply codes by their scales: slots weight, scale and, where there is one, the zero point become a weight of `dtype`.

    A scale is for a block: the sizes of the weight along each dimension are divided by those of the scale, rounded up, or by `block`,
    [128, 128] say, whose last blocks may be cut short. `divide: true` divides by the scale. Codes are numbers of a small type
    (f8e4m3fn, i8 ...) or bytes of two, which double the last dimension: `codes: fp4x2` (e2m1, the lower half first) or `nf4x2`
    (bitsandbytes' NF4, the upper half first; its blocks count along the flat weight, so `rearrange` to one dimension before). `scales:
    exponent` are bytes that stand for 2 ** (byte - 127). A scale with one dimension less than the weight has one for all that lies
    along the last. Computed in f32. One-way: how numbers were rounded to codes is not known.
    """

    name: ClassVar[str] = "dequantize"
    arity: ClassVar[str] = "join"
    layout: ClassVar[bool] = False
    example: ClassVar[str] = "dequantize: {dtype: bf16, block: [128, 128]}"

    dtype: DType
    block: tuple[int, ...] | None = None
    codes: Literal["number", "fp4x2", "nf4x2"] = "number"
    scales: Literal["number", "exponent"] = "number"
    divide: bool = False

    def __post_init__(self) -> None:
        if self.codes not in ("number", *_PAIRS) or self.scales not in ("number", "exponent"):
            raise DocumentError("codes are number, fp4x2 or nf4x2, scales number or exponent")
        if self.block is not None and min(self.block, default=0) < 1:
            raise DocumentError("block should be a size for each dimension")

    def apply(self, kit: Kit[T], inputs: tuple[T, ...]) -> tuple[T, ...]:
        if len(inputs) not in (2, 3):
            raise ShapeError(f"there are {len(inputs)} tensors, not the weight, its scale and perhaps its zero point")
        values = self._unpacked(kit, inputs[0]) if self.codes in _PAIRS else kit.cast(inputs[0], _F32)
        shape = kit.spec(values).shape
        scale = kit.transform(inputs[1], _EXPONENT) if self.scales == "exponent" else kit.cast(inputs[1], _F32)
        if len(inputs) == 3:
            zero = self._spread(kit, kit.cast(inputs[2], _F32), shape)
            values = kit.combine("subtract", values, zero)
        made = kit.combine("divide" if self.divide else "multiply", values, self._spread(kit, scale, shape))
        return (kit.cast(made, self.dtype),)

    def _unpacked(self, kit: Kit[T], codes: T) -> T:
        shape = kit.spec(codes).shape
        if not shape:
            raise ShapeError("a scalar holds no two numbers")
        pairs = [kit.reshape(kit.transform(codes, half), (*shape, 1)) for half in _PAIRS[self.codes]]
        return kit.reshape(kit.concat(pairs, len(shape)), (*shape[:-1], shape[-1] * 2))

    def _spread(self, kit: Kit[T], scale: T, shape: tuple[int, ...]) -> T:
        """Repeat each scale over its block."""
        spec = kit.spec(scale)
        if len(spec.shape) < len(shape):
            scale = kit.reshape(scale, (*spec.shape, *(1,) * (len(shape) - len(spec.shape))))
        sizes = kit.spec(scale).shape
        block = self.block or tuple(-(-whole // max(count, 1)) for whole, count in zip(shape, sizes, strict=True))
        if len(block) != len(shape) or len(sizes) != len(shape):
            raise ShapeError(f"{spec} has no scale for each block of {list(shape)}")
        for dim, (whole, count, each) in enumerate(zip(shape, sizes, block, strict=True)):
            if count == 1:
                scale = scale if whole == 1 else kit.expand(scale, dim, whole)
                continue
            if -(-whole // each) != count:
                raise ShapeError(f"{spec} has {count} scales along {dim} for {whole} in blocks of {each}")
            scale = _each_repeated(kit, scale, dim, each)
            if kit.spec(scale).shape[dim] != whole:
                scale = kit.slice(scale, dim, 0, whole)
        return scale


def _each_repeated(kit: Kit[T], x: T, dim: int, times: int) -> T:
    shape = kit.spec(x).shape
    wide = kit.expand(kit.reshape(x, (*shape[: dim + 1], 1, *shape[dim + 1 :])), dim + 1, times)
    return kit.reshape(wide, (*shape[:dim], shape[dim] * times, *shape[dim + 1 :]))
