"""Read NumPy arrays: a `.npy` file, or an `.npz` archive of them. The header, a Python dict as text, is read by a grammar of our own.

An `.npz` is a mapping of its members' names to tensors. Arrays of Python objects hold pickles and are refused; other arrays that are no
tensors (texts, dates, records) are kept as opaque nodes. Members that are compressed are unpacked when their values are asked for.
Source: NumPy's NEP 1 and numpy.lib.format, versions 1.0 to 3.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from ckptlint.core.checkpoint import ByteSource, Checkpoint
from ckptlint.core.dtype import DType
from ckptlint.core.spec import contiguous
from ckptlint.core.tree import Call, Dict, Global, List, Opaque, Storage, Tensor, Tuple, Value
from ckptlint.errors import FormatError
from ckptlint.formats.cursor import Cursor
from ckptlint.formats.cut_off import cut_off
from ckptlint.formats.deflated import Deflated
from ckptlint.formats.window import Window
from ckptlint.formats.zip_container import DEFLATED, STORED, Archive, Record

_MAGIC = b"\x93NUMPY"
_MOST_HEADER = 1 << 20  # bytes
_PORTION = 512  # bytes that are read at once: a header takes 128
_MOST_AXES = 64
_LARGEST = 2**63 - 1
_SPACES = re.compile(r"[ \n]*")
_ENTRY = re.compile(
    r"'(?P<name>descr|fortran_order|shape)' *: *(?P<value>'[^'\\]{1,200}'|True|False|\((?: *\d{1,20}L? *,?)* *\)|\[)"
)
_KINDS = {"f": "f", "i": "i", "u": "u", "c": "c"}
_DESCR = re.compile(r"([<>|=])([a-zA-Z])(\d{0,9})(\[[^\]]{1,40}\])?\Z")
_PLAIN = frozenset({"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "c8", "c16", "b1"})


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before an array's elements. `dtype` is None where they are no numbers that torch has."""

    descr: str
    dtype: DType | None
    swapped: bool
    fortran: bool
    shape: tuple[int, ...]
    width: int  # bytes of an element
    start: int  # of the elements, from the file's first byte

    @property
    def nbytes(self) -> int:
        return self.width * prod(self.shape)


def read(source: ByteSource, *, part: int = 0) -> Checkpoint:
    """Read one `.npy` file: the tree is the array."""
    header = read_header(source)
    _check_length(header, source)
    value, storages = _value("array", header, header.start, part)
    return Checkpoint(
        root=Dict([("array", value)]),
        sections=(),
        format="npy",
        origin=source.name,
        parts=(source,),
        storages=storages,
        notes={"checksums": "absent"},
    )


def read_archive(archive: Archive, source: ByteSource, *, part: int = 0) -> Checkpoint:
    """Read an `.npz`: its members by name, without `.npy`. Each compressed member is a part of its own."""
    items: list[tuple[Value, Value]] = []
    storages: list[Storage] = []
    parts: list[ByteSource] = [source]
    others = [name for name in archive.records if not name.endswith(".npy")]
    for record in archive.records.values():
        if record.name in others:
            continue
        inside = _member(record, source)
        header = read_header(inside)
        _check_length(header, inside)
        plain = record.method == STORED
        start = header.start + (record.start if plain else 0)
        value, made = _value(record.name.removesuffix(".npy"), header, start, part if plain else part + len(parts))
        if not plain:
            parts.append(inside)
        items.append((record.name.removesuffix(".npy"), value))
        storages += made
    return Checkpoint(
        root=Dict(items),
        sections=(),
        format="npz",
        origin=source.name,
        parts=tuple(parts),
        storages=tuple(storages),
        notes={"checksums": "absent"} | ({"unreferenced": ", ".join(others)} if others else {}),
        close=lambda: _close(parts),
    )


def _close(parts: list[ByteSource]) -> None:
    for each in parts:
        if isinstance(each, Deflated):
            each.close()


def read_header(source: ByteSource) -> Header:
    """Read the header of an array that begins at the source's first byte."""
    cursor = Cursor(source, most=_MOST_HEADER, portion=_PORTION)
    if cursor.take(6) != _MAGIC:
        raise FormatError("is no NumPy array: it does not start with its magic", where=source.name)
    major, minor = cursor.take(2)
    if (major, minor) not in ((1, 0), (2, 0), (3, 0)):
        raise cursor.fail(f"has the npy version {major}.{minor}; 1.0, 2.0 and 3.0 are read")
    length = cursor.number("H" if major == 1 else "I")
    if length > _MOST_HEADER:
        raise cursor.fail(f"says its header has {length} bytes, more than any array's")
    try:
        text = cursor.take(length).decode("utf-8" if major == 3 else "latin-1")
    except UnicodeDecodeError:
        raise cursor.fail("has a header that is no text") from None
    return _header(text, cursor)


def _header(text: str, cursor: Cursor) -> Header:
    values = dict(_entries(text, cursor))
    if set(values) != {"descr", "fortran_order", "shape"}:
        raise cursor.fail(
            f"has a header with {', '.join(values) or 'nothing'}; it needs descr, fortran_order and shape"
        )
    descr, order, sizes = values["descr"], values["fortran_order"], values["shape"]
    if order not in ("True", "False") or not sizes.startswith("(") or descr[0] not in "'[":
        raise cursor.fail("has a header whose values are of the wrong kind")
    shape = tuple(int(size) for size in re.findall(r"\d+", sizes))
    if len(shape) > _MOST_AXES or max(shape, default=0) > _LARGEST or prod(shape) > _LARGEST >> 5:
        raise cursor.fail("has an impossible shape")
    if shape and "," not in sizes:
        raise cursor.fail("has a shape that is no tuple")
    dtype, swapped, width = _dtype(descr.strip("'"), cursor)
    return Header(descr.strip("'"), dtype, swapped, order == "True", shape, width, cursor.position)


def _entries(text: str, cursor: Cursor) -> Iterator[tuple[str, str]]:
    """Yield the names and values of a dict's text, each name once, and nothing else in it."""
    fault = cursor.fail(f"has a header that is no dict of descr, fortran_order and shape: {text[:60]!r}")
    body = text.strip(" \n")
    if not body.startswith("{"):
        raise fault
    at, seen = 1, set[str]()
    while True:
        at = _blank(body, at)
        if body[at:] == "}":
            return
        found = _ENTRY.match(body, at)
        if found is None or found["name"] in seen:
            raise fault
        if found["value"] == "[":
            raise cursor.fail("is an array of records, not of numbers", hint="save each field as an array of its own")
        seen.add(found["name"])
        yield found["name"], found["value"]
        at = _blank(body, found.end())
        if body[at : at + 1] == ",":
            at += 1
        elif body[at:] != "}":
            raise fault


def _blank(text: str, at: int) -> int:
    found = _SPACES.match(text, at)
    return found.end() if found else at


def _dtype(descr: str, cursor: Cursor) -> tuple[DType | None, bool, int]:
    """Return the element type (None where torch has none like it), whether it is big-endian, and its bytes."""
    found = _DESCR.match(descr)
    if found is None:
        raise cursor.fail(f"has the element type {descr[:40]!r}, which NumPy does not have")
    order, kind, digits = found[1], found[2], found[3]
    if kind == "O":
        raise FormatError(
            "is an array of Python objects, which only a pickle can hold",
            where=f"{cursor.source.name}: byte {cursor.position}",
            hint="it may run anything when it is loaded; save its numbers as arrays of numbers",
            rule="CKC701",
        )
    name = kind + digits
    width = int(digits or 0) * (4 if kind == "U" else 1)
    if kind in "mM":
        width = 8
    if name not in _PLAIN:
        return None, False, width
    parsed = "bool" if kind == "b" else f"{_KINDS[kind]}{8 * width}"
    return DType.parse(parsed), order == ">", width


def _check_length(header: Header, source: ByteSource) -> None:
    needed = header.start + header.nbytes
    if source.size < needed:
        raise cut_off(source, needed)
    if source.size > needed:
        raise FormatError(
            f"has {source.size - needed} bytes behind its array",
            where=f"{source.name}: byte {needed}",
            hint="something was appended to the file; fetch it again",
        )


def _value(key: str, header: Header, start: int, part: int) -> tuple[Value, tuple[Storage, ...]]:
    if header.dtype is None:
        described: Value = Tuple((header.descr, List(list(header.shape))))
        return Opaque(Call(Global("numpy", "ndarray"), described)), ()
    storage = Storage(key, header.dtype, prod(header.shape))
    storage.start = start
    storage.part = part
    storage.swapped = header.swapped
    strides = contiguous(header.shape[::-1])[::-1] if header.fortran else contiguous(header.shape)
    return Tensor(storage, header.dtype, header.shape, strides), (storage,)


def _member(record: Record, source: ByteSource) -> ByteSource:
    if record.method == STORED:
        return Window(source, record.start, record.size, f"{source.name}::{record.name}")
    if record.method == DEFLATED:
        return Deflated(source, record)
    raise FormatError(
        f"the record {record.name} is compressed by the method {record.method}, which NumPy does not write",
        where=f"{source.name}: byte {record.start}",
    )
