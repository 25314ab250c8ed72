"""What `torch.load(weights_only=True)` allows: the names it takes, the modules it never takes, and the opcodes it knows.

Source: `_get_allowed_globals` and `Unpickler.load` in torch/_weights_only_unpickler.py, torch 2.13; a test compares them with the
installed torch. Older releases know fewer dtypes and no `_rebuild_parameter_with_state` (2.5), sparse or nested tensors (2.1).
"""

from __future__ import annotations

from typing import Final

_TENSOR_KINDS = "BFloat16 Bool Byte Char Double Float Half Int Long Short"
_STORAGE_KINDS = f"{_TENSOR_KINDS} ComplexDouble ComplexFloat"
_QUANTIZED = "QInt32 QInt8 QUInt2x4 QUInt4x2 QUInt8"
_SPARSE = "BFloat16 Byte Char Double Float Half Int Long Short"
_DTYPES = """
    bfloat16 bits16 bits1x8 bits2x4 bits4x2 bits8 bool complex128 complex32 complex64 float16 float32 float4_e2m1fn_x2 float64
    float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz float8_e8m0fnu int1 int16 int2 int3 int32 int4 int5 int6 int64 int7 int8
    qint32 qint8 quint2x4 quint4x2 quint8 uint1 uint16 uint2 uint3 uint32 uint4 uint5 uint6 uint64 uint7 uint8
    per_channel_affine per_channel_affine_float_qparams per_channel_symmetric per_tensor_affine per_tensor_symmetric
"""
_REBUILDERS = """
    _rebuild_device_tensor_from_cpu_tensor _rebuild_device_tensor_from_numpy _rebuild_meta_tensor_no_storage _rebuild_nested_tensor
    _rebuild_parameter _rebuild_parameter_with_state _rebuild_qtensor _rebuild_sparse_tensor _rebuild_tensor _rebuild_tensor_v2
    _rebuild_tensor_v3 _rebuild_wrapper_subclass
"""
_OTHERS = """
    _codecs.encode builtins.bytearray builtins.complex builtins.set collections.Counter collections.OrderedDict torch.Size torch.Tensor
    torch._tensor._rebuild_from_type_v2 torch.device torch.nn.parameter.Parameter torch.serialization._get_layout
    torch.storage.TypedStorage torch.storage.UntypedStorage
"""
ALLOWED: Final = frozenset(
    [
        *(f"{place}.{kind}Tensor" for place in ("torch", "torch.cuda") for kind in _TENSOR_KINDS.split()),
        *(f"{place}.{kind}Storage" for place in ("torch", "torch.cuda") for kind in _STORAGE_KINDS.split()),
        *(f"torch.{kind}Storage" for kind in _QUANTIZED.split()),
        *(f"{place}.{kind}Tensor" for place in ("torch.sparse", "torch.cuda.sparse") for kind in _SPARSE.split()),
        *(f"torch.{name}" for name in _DTYPES.split()),
        *(f"torch._utils.{name}" for name in _REBUILDERS.split()),
        *_OTHERS.split(),
    ]
)
_VALUES = frozenset(f"torch.{name}" for name in _DTYPES.split())
CALLABLE: Final = frozenset(
    name
    for name in ALLOWED
    if name not in _VALUES and (not name.endswith("Storage") or name.startswith("torch.storage."))
)  # the rest are values: to call one is an error
BLOCKED: Final = frozenset({"sys", "os", "posix", "nt"})  # modules whose names not even add_safe_globals lets in
OPCODES: Final = frozenset(
    b"\x80.c(NR\x81b)t\x85\x86\x87]a}sue\x8f\x88\x89JKMG\x8aXUQhjqr"
)  # PROTO STOP GLOBAL MARK ... EMPTY_SET is the only one beyond protocol 2
