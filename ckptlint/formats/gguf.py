"""Read GGUF, llama.cpp's format: typed metadata, the tensors' names and shapes, then their bytes, each at a multiple of the alignment.

The tree is `{"metadata": {...}, "tensors": {...}}`. Shapes are written the way torch writes them, the slowest dimension first, which is
the reverse of the file's. Quantised tensors have dtypes of their own (`q4_k`) and are known by place and size; the others are as readable
as any. Every count is compared with the bytes that are left before anything is made of it. Source: ggml's docs/gguf.md, versions 2 and 3.
"""

from __future__ import annotations

from math import prod
from typing import Final, NamedTuple

from ckptlint.core.checkpoint import ByteSource, Checkpoint
from ckptlint.core.dtype import GGML, DType
from ckptlint.core.spec import contiguous
from ckptlint.core.tree import Dict, List, Storage, Tensor, Value
from ckptlint.errors import FormatError
from ckptlint.formats.cursor import Cursor
from ckptlint.formats.cut_off import cut_off

FORMAT = "gguf"
_MOST_HEADER = 256 << 20  # bytes; large vocabularies take ten million
_MOST_VALUES = 3_000_000  # metadata values, those in arrays counted; large vocabularies have one and a half
_MOST_TENSORS = 1_000_000
_LONGEST_TEXT = 16 << 20  # bytes
_LONGEST_NAME = 1024  # bytes; ggml allows 63
_MOST_AXES = 4
_LARGEST = 2**63 - 1
_SMALLEST_ENTRY = 8 + 4 + 4  # bytes of an entry with an empty name
_TEXT, _ARRAY = 8, 9
_CODES: Final = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_PLAIN = {0: "f32", 1: "f16", 24: "i8", 25: "i16", 26: "i32", 27: "i64", 28: "f64", 30: "bf16"}
_BLOCKS = {
    2: "q4_0",
    3: "q4_1",
    6: "q5_0",
    7: "q5_1",
    8: "q8_0",
    9: "q8_1",
    10: "q2_k",
    11: "q3_k",
    12: "q4_k",
    13: "q5_k",
    14: "q6_k",
    15: "q8_k",
    16: "iq2_xxs",
    17: "iq2_xs",
    18: "iq3_xxs",
    19: "iq1_s",
    20: "iq4_nl",
    21: "iq3_s",
    22: "iq2_s",
    23: "iq4_xs",
    29: "iq1_m",
    34: "tq1_0",
    35: "tq2_0",
    39: "mxfp4",
    40: "nvfp4",
}
_DTYPES: Final = {number: DType.parse(name) for number, name in _PLAIN.items()} | {
    number: GGML[name] for number, name in _BLOCKS.items()
}


class _Entry(NamedTuple):
    name: str
    dtype: DType
    shape: tuple[int, ...]
    offset: int
    place: int  # of the entry in the file


def read(source: ByteSource, *, part: int = 0) -> Checkpoint:
    """Read the header; the tensors' storages say they are in `part`. Sections are not looked for here."""
    cursor = Cursor(source, most=_MOST_HEADER)
    version, tensors, pairs = _start(cursor)
    metadata = _metadata(cursor, pairs)
    entries = [_entry(cursor) for _ in range(tensors)]
    alignment = _alignment(metadata, cursor)
    start = _aligned(cursor.position, alignment)
    _check_places(entries, start, alignment, source)
    named = {entry.name: _tensor(entry, start, part, swapped=cursor.order == ">") for entry in entries}
    if len(named) != len(entries):
        raise _repeated([entry.name for entry in entries], "tensor", cursor)
    return Checkpoint(
        root=Dict([("metadata", Dict(list(metadata.items()))), ("tensors", Dict(list(named.items())))]),
        sections=(),
        format=FORMAT,
        origin=source.name,
        parts=(source,),
        storages=tuple(tensor.storage for tensor in named.values()),
        notes={
            "version": str(version),
            "byteorder": "big" if cursor.order == ">" else "little",
            "checksums": "absent",
        },
    )


def _start(cursor: Cursor) -> tuple[int, int, int]:
    """Return the version and the numbers of tensors and of metadata pairs."""
    cursor.take(4)
    version = cursor.number("I")
    if version and version & 0xFFFF == 0:
        cursor.order, version = ">", int.from_bytes(version.to_bytes(4, "little"), "big")
    if version not in (2, 3):
        hint = "convert it anew with llama.cpp" if version == 1 else "a newer ckptlint may read it"
        raise cursor.fail(f"has the GGUF version {version}; 2 and 3 are read", hint)
    tensors, pairs = cursor.number("Q"), cursor.number("Q")
    if tensors > _MOST_TENSORS or pairs > _MOST_VALUES:
        raise cursor.fail(f"says it holds {tensors} tensors and {pairs} metadata values, more than any file does")
    cursor.check(1, tensors * _SMALLEST_ENTRY + pairs * (8 + 4 + 1))
    return version, tensors, pairs


def _metadata(cursor: Cursor, pairs: int) -> dict[str, Value]:
    metadata: dict[str, Value] = {}
    left = _MOST_VALUES
    for _ in range(pairs):
        key = _name(cursor, "metadata key")
        if key in metadata:
            raise _repeated([key, key], "metadata key", cursor)
        kind = cursor.number("I")
        metadata[key] = _array(cursor, left) if kind == _ARRAY else _value(cursor, kind)
        value = metadata[key]
        left -= len(value.items) if isinstance(value, List) else 1
    return metadata


def _value(cursor: Cursor, kind: int) -> Value:
    if kind == _TEXT:
        return _text(cursor)
    return cursor.numbers(_code(cursor, kind), 1)[0]


def _array(cursor: Cursor, most: int) -> List:
    kind, count = cursor.number("I"), cursor.number("Q")
    if count > most:
        raise cursor.fail(f"has an array of {count} values, more than any file does")
    if kind == _TEXT:
        cursor.check(count, 8)
        return List([_text(cursor) for _ in range(count)])
    return List(list(cursor.numbers(_code(cursor, kind), count)))


def _code(cursor: Cursor, kind: int) -> str:
    code = _CODES.get(kind)
    if code is None:
        what = "arrays in an array" if kind == _ARRAY else f"a value of the unknown type {kind}"
        raise cursor.fail(f"has {what} in its metadata")
    return code


def _text(cursor: Cursor) -> str | bytes:
    """Return a text; bytes where it is none, as pieces of a vocabulary may be."""
    length = cursor.number("Q")
    if length > _LONGEST_TEXT:
        raise cursor.fail(f"has a text of {length} bytes in its metadata, more than any file does")
    content = cursor.take(length)
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content


def _name(cursor: Cursor, what: str) -> str:
    length = cursor.number("Q")
    if not 0 < length <= _LONGEST_NAME:
        raise cursor.fail(f"has a {what} of {length} bytes")
    content = cursor.take(length)
    try:
        name = content.decode()
    except UnicodeDecodeError:
        raise cursor.fail(f"has the {what} {content!r}, which is not UTF-8") from None
    if "\0" in name:
        raise cursor.fail(f"has the {what} {name!r}, which has a NUL in it")
    return name


def _entry(cursor: Cursor) -> _Entry:
    name, place = _name(cursor, "tensor name"), cursor.position
    axes = cursor.number("I")
    if axes > _MOST_AXES:
        raise cursor.fail(f"{name!r} has {axes} dimensions; GGUF allows {_MOST_AXES}")
    sizes = [cursor.number("Q") for _ in range(axes)]
    number, offset = cursor.number("I"), cursor.number("Q")
    dtype = _DTYPES.get(number)
    if dtype is None:
        raise cursor.fail(f"{name!r} has the type number {number}, which is not known", "a newer ckptlint may read it")
    if max(sizes, default=0) > _LARGEST or prod(sizes) * dtype.bits > _LARGEST:
        raise cursor.fail(f"{name!r} has the impossible shape {sizes[::-1]}")
    if sizes and sizes[0] % dtype.block:
        raise cursor.fail(f"{name!r} has rows of {sizes[0]} elements, but {dtype} packs {dtype.block} together")
    if not sizes and dtype.block > 1:
        raise cursor.fail(f"{name!r} is a single element, but {dtype} packs {dtype.block} together")
    return _Entry(name, dtype, tuple(sizes[::-1]), offset, place)


def _alignment(metadata: dict[str, Value], cursor: Cursor) -> int:
    found = metadata.get("general.alignment", 32)
    if type(found) is not int or not 0 < found <= 1 << 20 or found & (found - 1):
        raise cursor.fail(f"has the alignment {str(found)[:40]}, which is no small power of two")
    return found


def _aligned(position: int, alignment: int) -> int:
    return -(-position // alignment) * alignment


def _check_places(entries: list[_Entry], start: int, alignment: int, source: ByteSource) -> None:
    """Each tensor must begin where the one before it ends, aligned; the file ends with the last, or with its padding."""
    end = expected = 0
    for entry in entries:
        if entry.offset != expected:
            raise FormatError(
                f"{entry.name!r} is said to begin at data byte {entry.offset}, but the tensor before it ends so that {expected} is next",
                where=f"{source.name}: byte {entry.place}",
                hint="the file is damaged or was tampered with; fetch it again",
            )
        end = entry.offset + entry.dtype.nbytes(prod(entry.shape))
        expected = _aligned(end, alignment)
    needed = start + end if entries else 0
    if source.size < needed:
        raise cut_off(source, needed)
    extra = source.size - start - expected
    if extra > 0:
        raise FormatError(
            f"has {extra} bytes behind its last tensor",
            where=f"{source.name}: byte {source.size - extra}",
            hint="something was appended to the file; fetch it again",
        )


def _tensor(entry: _Entry, start: int, part: int, *, swapped: bool) -> Tensor:
    storage = Storage(entry.name, entry.dtype, prod(entry.shape))
    storage.start = start + entry.offset
    storage.part = part
    storage.swapped = swapped and entry.dtype.block == 1 and entry.dtype.bits > 8
    return Tensor(storage, entry.dtype, entry.shape, contiguous(entry.shape))


def _repeated(names: list[str], what: str, cursor: Cursor) -> FormatError:
    seen: set[str] = set()
    twice = next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]  # add gives None
    return cursor.fail(f"has the {what} {twice!r} twice")
