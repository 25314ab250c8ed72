"""Element types: one table of the names and sizes every framework and file format gives them.

Sub-byte types count `bits`, not bytes; `f4` is safetensors' unpacked F4, `f4e2m1x2` torch's byte of two values. The quantised types of GGUF
(`q4_k`) pack `block` elements with their scales, and count the bits of a block.
Sources: torch.dtype of torch 2.13, the safetensors 0.8 specification, torch's storage classes, ggml's table of types.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ckptlint.errors import DocumentError


@dataclass(frozen=True, slots=True, eq=False)
class DType:
    """An element type. There is one instance a type, so `is` compares; text is the short name (`bf16`)."""

    name: str  # ours: f32
    bits: int  # of an element, or of a block
    torch: str  # float32, as in torch.float32; empty where torch has none
    safetensors: str = ""  # F32; empty where the format has none
    storage: str = ""  # FloatStorage; empty where torch stores it untyped
    block: int = 1  # elements that are packed together

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"DType({self.name})"

    @property
    def long(self) -> str:
        """The name in JSON: torch's (`float32`), else ours."""
        return self.torch or self.name

    @property
    def kind(self) -> str:
        """float, int, uint, bool, complex, quantized, bits or unknown."""
        if self.block > 1:
            return "quantized"
        return (
            _KINDS[self.name.rstrip("0123456789")] if self.name.rstrip("0123456789") in _KINDS else _odd_kind(self.name)
        )

    def nbytes(self, numel: int) -> int:
        """Bytes of `numel` elements laid end to end."""
        if self.block > 1:
            return -(-numel // self.block) * self.bits // 8
        return (numel * self.bits + 7) // 8

    @classmethod
    def parse(cls, text: str) -> DType:
        """Read any of a type's names: `f32`, `float32`, `torch.float32`, `F32`."""
        found = _BY_NAME.get(text) or _BY_NAME.get(text.removeprefix("torch."))
        if found is None:
            raise DocumentError(f"{text!r} is not a dtype", hint=f"there are {', '.join(d.name for d in DTYPES)}")
        return found


_KINDS = {"f": "float", "bf": "float", "i": "int", "u": "uint", "bool": "bool", "c": "complex", "?": "unknown"}


def _odd_kind(name: str) -> str:
    if name.startswith(("f8", "f6", "f4")):
        return "float"
    return "quantized" if name.startswith("q") else "bits"


DTYPES: Final = (
    DType("f64", 64, "float64", "F64", "DoubleStorage"),
    DType("f32", 32, "float32", "F32", "FloatStorage"),
    DType("f16", 16, "float16", "F16", "HalfStorage"),
    DType("bf16", 16, "bfloat16", "BF16", "BFloat16Storage"),
    DType("f8e4m3fn", 8, "float8_e4m3fn", "F8_E4M3"),
    DType("f8e5m2", 8, "float8_e5m2", "F8_E5M2"),
    DType("f8e4m3fnuz", 8, "float8_e4m3fnuz", "F8_E4M3FNUZ"),
    DType("f8e5m2fnuz", 8, "float8_e5m2fnuz", "F8_E5M2FNUZ"),
    DType("f8e8m0fnu", 8, "float8_e8m0fnu", "F8_E8M0"),
    DType("f6e2m3", 6, "", "F6_E2M3"),
    DType("f6e3m2", 6, "", "F6_E3M2"),
    DType("f4", 4, "", "F4"),
    DType("f4e2m1x2", 8, "float4_e2m1fn_x2"),
    DType("i64", 64, "int64", "I64", "LongStorage"),
    DType("i32", 32, "int32", "I32", "IntStorage"),
    DType("i16", 16, "int16", "I16", "ShortStorage"),
    DType("i8", 8, "int8", "I8", "CharStorage"),
    DType("u64", 64, "uint64", "U64"),
    DType("u32", 32, "uint32", "U32"),
    DType("u16", 16, "uint16", "U16"),
    DType("u8", 8, "uint8", "U8", "ByteStorage"),
    DType("bool", 8, "bool", "BOOL", "BoolStorage"),
    DType("c128", 128, "complex128", "", "ComplexDoubleStorage"),
    DType("c64", 64, "complex64", "C64", "ComplexFloatStorage"),
    DType("c32", 32, "complex32"),
    DType("qi8", 8, "qint8", "", "QInt8Storage"),
    DType("qu8", 8, "quint8", "", "QUInt8Storage"),
    DType("qi32", 32, "qint32", "", "QInt32Storage"),
    DType("qu4x2", 4, "quint4x2", "", "QUInt4x2Storage"),
    DType("qu2x4", 2, "quint2x4", "", "QUInt2x4Storage"),
    DType("bits8", 8, "bits8"),
    DType("bits16", 16, "bits16"),
    DType("bits1x8", 8, "bits1x8"),
    DType("bits2x4", 8, "bits2x4"),
    DType("bits4x2", 8, "bits4x2"),
)
GGML: Final = {
    name: DType(name, 8 * size, "", block=block)
    for name, block, size in (
        ("q4_0", 32, 18),
        ("q4_1", 32, 20),
        ("q5_0", 32, 22),
        ("q5_1", 32, 24),
        ("q8_0", 32, 34),
        ("q8_1", 32, 40),
        ("q2_k", 256, 84),
        ("q3_k", 256, 110),
        ("q4_k", 256, 144),
        ("q5_k", 256, 176),
        ("q6_k", 256, 210),
        ("q8_k", 256, 292),
        ("iq2_xxs", 256, 66),
        ("iq2_xs", 256, 74),
        ("iq3_xxs", 256, 98),
        ("iq1_s", 256, 50),
        ("iq4_nl", 32, 18),
        ("iq3_s", 256, 110),
        ("iq2_s", 256, 82),
        ("iq4_xs", 256, 136),
        ("iq1_m", 256, 56),
        ("tq1_0", 256, 54),
        ("tq2_0", 256, 66),
        ("mxfp4", 32, 17),
        ("nvfp4", 64, 36),
    )
}
ANY: Final = DType("?", 0, "")  # a schema that does not say, such as a JSON object of shapes

BY_STORAGE: Final = {dtype.storage: dtype for dtype in DTYPES if dtype.storage}
BY_TORCH: Final = {dtype.torch: dtype for dtype in DTYPES if dtype.torch}
BY_SAFETENSORS: Final = {dtype.safetensors: dtype for dtype in DTYPES if dtype.safetensors}
_BY_NAME: Final = {
    **BY_SAFETENSORS,
    **BY_TORCH,
    **GGML,
    **{d.name: d for d in DTYPES},
    "?": ANY,
    "half": BY_TORCH["float16"],
    "float": BY_TORCH["float32"],
    "double": BY_TORCH["float64"],
    "int": BY_TORCH["int32"],
    "long": BY_TORCH["int64"],
}
