"""Read a safetensors file: a length, a JSON header, and the tensors' bytes without gaps.

Everything the format promises is checked, also what its reference implementation lets pass (a tensor named twice, fields it does not
know), since a header that says two things is read differently by different tools. Source: the safetensors 0.8 format text.
Keys keep the header's order. Each tensor has a storage of its own, named after it, as the format cannot share them.
Names that `__metadata__["ckptlint.ties"]` groups become one tensor, the first's; the storages of the others are still listed in the
checkpoint's `storages`, so that whoever copies can compare their bytes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from math import prod
from operator import ge
from typing import cast

from ckptlint.core.checkpoint import ByteSource, Checkpoint
from ckptlint.core.dtype import BY_SAFETENSORS, BY_TORCH, DType
from ckptlint.core.spec import contiguous
from ckptlint.core.tree import Dict, Storage, Tensor
from ckptlint.errors import FormatError
from ckptlint.formats.cut_off import cut_off
from ckptlint.formats.strict_json import Json, check_text, parse

FORMAT = "safetensors"
TIES = "ckptlint.ties"
STAMP = "ckptlint"
_MOST_HEADER = 100_000_000  # bytes; the limit of the reference implementation
_MOST_AXES = 64
_LARGEST = 2**63 - 1
_FIELDS = frozenset({"dtype", "shape", "data_offsets"})
_strides = lru_cache(4096)(contiguous)  # a file has few shapes and many tensors
_FP4_PAIRS = BY_TORCH["float4_e2m1fn_x2"]


def read(source: ByteSource, *, part: int = 0) -> Checkpoint:
    """Read the header; the tensors' storages say they are in `part`. Sections are not looked for here."""
    header, start = _header(source)
    metadata = _metadata(header.pop("__metadata__", None), source.name)
    where = f"{source.name}: header"
    tensors = {key: _tensor(key, entry, where) for key, entry in header.items()}
    _check_tiling(tensors.values(), source, start)
    storages = tuple(tensor.storage for tensor in tensors.values())
    for storage in storages:
        storage.start += start
        storage.part = part
    notes = {f"metadata.{key}": text for key, text in metadata.items()}
    if STAMP in metadata:
        notes["revisions"] = metadata[STAMP]
    tied = _tied(tensors, metadata.get(TIES, "[]"), f"{source.name}: __metadata__[{TIES!r}]")
    return Checkpoint(
        root=Dict(list(tied.items())),
        sections=(),
        format=FORMAT,
        origin=source.name,
        parts=(source,),
        storages=storages,
        notes=notes,
    )


def _header(source: ByteSource) -> tuple[dict[str, Json], int]:
    """Return the header's object and the offset of the first data byte."""
    if source.size < 8:
        raise cut_off(source, 10, at_least=True)
    length = int.from_bytes(source.read(0, 8), "little")
    if length > _MOST_HEADER:
        raise FormatError(
            f"says its header has {length} bytes; safetensors allows {_MOST_HEADER}", where=f"{source.name}: byte 0"
        )
    if 8 + length > source.size:
        raise cut_off(source, 8 + length, at_least=True, what=", which is less than its header")
    content = source.read(8, length)
    where = f"{source.name}: header"
    if not content.startswith(b"{"):
        raise FormatError(
            "the header does not start with '{'", where=f"{source.name}: byte 8", hint="the file is damaged"
        )
    header = parse(content, where)
    if not isinstance(header, dict):
        raise FormatError("the header is not a JSON object", where=where)
    return header, 8 + length


def _metadata(value: Json, where: str) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise FormatError("__metadata__ is not an object", where=f"{where}: header")
    texts: dict[str, str] = {}
    for key, text in value.items():
        if not isinstance(text, str):
            raise FormatError(
                f"__metadata__[{key!r}] is not a text; safetensors allows nothing else", where=f"{where}: header"
            )
        check_text(key, f"{where}: __metadata__")
        check_text(text, f"{where}: __metadata__[{key!r}]")
        texts[key] = text
    return texts


def _tensor(key: str, entry: Json, where: str) -> Tensor:
    """A tensor over a storage whose `start` still counts from the first data byte."""
    check_text(key, where)
    if not isinstance(entry, dict) or entry.keys() != _FIELDS:
        names = ", ".join(entry) if isinstance(entry, dict) else "no fields"
        raise FormatError(f"the entry of {key!r} has {names}; it must have dtype, shape and data_offsets", where=where)
    name, shape, offsets = entry["dtype"], _sizes(entry["shape"]), _sizes(entry["data_offsets"])
    dtype = BY_SAFETENSORS.get(name) if isinstance(name, str) else None
    if dtype is None:
        raise FormatError(f"{key!r} has the dtype {name!r}, which safetensors does not have", where=where)
    if shape is None or len(shape) > _MOST_AXES:
        raise FormatError(f"{key!r} has a shape that is not a short list of sizes", where=where)
    if offsets is None or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise FormatError(f"{key!r} has data_offsets that are not [begin, end]", where=where)
    numel, length = prod(shape), offsets[1] - offsets[0]
    if numel * dtype.bits != length * 8:
        raise FormatError(
            f"{key!r} is {dtype}{list(shape)}, {numel * dtype.bits / 8:.16g} bytes, but has {length} bytes of data",
            where=where,
            hint="the header is damaged or was tampered with; fetch the file again",
        )
    dtype, shape = _as_torch(dtype, shape)
    storage = Storage(key, dtype, prod(shape))
    storage.start = offsets[0]
    return Tensor(storage, dtype, shape, _strides(shape))


def _as_torch(dtype: DType, shape: tuple[int, ...]) -> tuple[DType, tuple[int, ...]]:
    """Torch counts a 4-bit float tensor in bytes of two values, the format in values."""
    if dtype.bits == 4 and shape and shape[-1] % 2 == 0:
        return _FP4_PAIRS, (*shape[:-1], shape[-1] // 2)
    return dtype, shape


def _sizes(value: Json) -> tuple[int, ...] | None:
    if not isinstance(value, list):
        return None
    for size in value:
        if type(size) is not int or not 0 <= size <= _LARGEST:  # not isinstance: true is an int to Python
            return None
    return tuple(cast("list[int]", value))


def _check_tiling(tensors: Iterable[Tensor], source: ByteSource, first: int) -> None:
    """The tensors' bytes must follow each other from the first data byte to the last of the file."""
    where, available = f"{source.name}: header", source.size - first
    end, before = 0, "the header"
    storages = [tensor.storage for tensor in tensors]
    starts = [storage.start for storage in storages]
    if any(
        map(ge, starts, islice(starts, 1, None))
    ):  # writers keep them in order; of equal starts the empty ones come first
        storages.sort(key=lambda storage: (storage.start, storage.nbytes))
    for storage in storages:
        if storage.start != end:
            what = (
                f"overlaps {before!r} by {end - storage.start}"
                if storage.start < end
                else f"leaves a hole of {storage.start - end}"
            )
            raise FormatError(
                f"{storage.key!r} {what} bytes at data byte {min(end, storage.start)}",
                where=where,
                hint="the header is damaged or was tampered with; fetch the file again",
            )
        end, before = storage.start + storage.nbytes, storage.key
    if end > available:
        raise cut_off(source, first + end)
    if end < available:
        raise FormatError(
            f"has {available - end} bytes behind its last tensor",
            where=where,
            hint="something was appended to the file; fetch it again",
        )


def _tied(tensors: Mapping[str, Tensor], text: str, where: str) -> dict[str, Tensor]:
    tied = dict(tensors)
    for keys in _groups(parse(text.encode(), where), where):
        first = tensors.get(keys[0])
        for key in keys[1:]:
            other = tensors.get(key)
            if first is not None and other is not None and other.spec == first.spec:
                tied[key] = first  # a key that is gone, or was given another shape since, is no longer tied
    return tied


def _groups(ties: Json, where: str) -> Iterator[list[str]]:
    if not isinstance(ties, list):
        raise FormatError("is not a list of lists of keys", where=where)
    for group in ties:
        if not isinstance(group, list) or not group:
            raise FormatError("is not a list of lists of keys", where=where)
        keys = [key for key in group if isinstance(key, str)]
        if len(keys) != len(group):
            raise FormatError("is not a list of lists of keys", where=where)
        yield keys
