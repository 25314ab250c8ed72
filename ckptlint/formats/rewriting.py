"""New names in a file whose data stays where it is: which ranges of it become what.

A torch zip gets its new pickle and directory at its end, over the old directory; the room of the old pickle becomes a record of zeros, so
that every byte still belongs to a record that the directory names, and nothing old is left to be found. A safetensors header is written
over the old one where it fits.
"""

from __future__ import annotations

import json
import struct
from bisect import bisect_right
from collections.abc import Collection, Mapping
from typing import NamedTuple
from zlib import crc32

from ckptlint.core.checkpoint import ByteSource
from ckptlint.core.tree import Tensor
from ckptlint.errors import OutputError
from ckptlint.formats.journal import Patch
from ckptlint.formats.safetensors_writer import header_entry
from ckptlint.formats.zip_container import Archive
from ckptlint.formats.zip_end import find_directory
from ckptlint.formats.zip_kinds import find_root
from ckptlint.formats.zip_layout import Record, central, end_records, lay_out, local_header

_ENTRY = struct.Struct("<4sHHHHHHIIIHHHHHII")
_HEADER = 30  # bytes of a local header before its name
_FULL = 0xFFFFFFFF


class _Entry(NamedTuple):
    """An entry of the central directory as it stands, its record's name, and where its header lies."""

    raw: bytes
    name: bytes
    header: int


def torch_patches(source: ByteSource, fresh: Mapping[str, bytes], *, without: Collection[str] = ()) -> list[Patch]:
    """Return what gives a torch zip the records `fresh`, by their names below the root, and takes those of `without` away."""
    root = find_root(Archive(source).records, source.name)  # the archive is sound, or this is an error
    directory = find_directory(source)
    entries = _entries(directory.content)
    gone = {(root + name).encode() for name in (*fresh, *without)}
    kept = [entry for entry in entries if entry.name not in gone]
    ends = sorted([*(entry.header for entry in entries), directory.start])
    names = {entry.name for entry in kept}
    listed = [entry.raw for entry in kept]
    patches: list[Patch] = []
    for old in sorted((entry for entry in entries if entry.name in gone), key=lambda entry: entry.header):
        room = _room(root.encode(), names, old.header, ends[bisect_right(ends, old.header)])
        names.add(room.name)
        zeros = bytes(room.size)
        listed.append(central(room, crc32(zeros)))
        before = source.read(old.header, room.end - old.header)
        patches.append(Patch(old.header, before, local_header(room, crc32(zeros)) + zeros))
    records = lay_out([(root + name, len(content)) for name, content in fresh.items()], start=directory.start)
    tail: list[bytes] = []
    for record, content in zip(records, fresh.values(), strict=True):
        tail += [local_header(record, crc32(content)), content]
        listed.append(central(record, crc32(content)))
    tail += [*listed, end_records(len(listed), sum(map(len, listed)), records[-1].end)]
    return [
        *patches,
        Patch(directory.start, source.read(directory.start, source.size - directory.start), b"".join(tail)),
    ]


def _room(root: bytes, taken: Collection[bytes], start: int, end: int) -> Record:
    """A record of zeros that fills the bytes from `start` to `end`."""
    number = 0
    while (name := root + b".ckptlint/room" + str(number).encode()) in taken:
        number += 1
    payload = start + _HEADER + len(name) + 4  # 4: the head of an empty padding
    if payload > end:
        raise OutputError("the room of the old pickle is too small to be a record", hint="write a new file: -o OUT")
    return Record(name, end - payload, start, payload)


def _entries(content: bytes) -> list[_Entry]:
    """Take a directory apart that was checked already."""
    entries: list[_Entry] = []
    at = 0
    while at < len(content) and content[at : at + 4] == b"PK\1\2":
        fields = _ENTRY.unpack_from(content, at)
        length, extra, comment = fields[10:13]
        end = at + _ENTRY.size + length + extra + comment
        raw = content[at:end]
        name = raw[_ENTRY.size : _ENTRY.size + length]
        header = fields[16]
        if header == _FULL:  # the last of those fields in the zip64 extra whose short forms are full
            wide = _wide_extra(raw[_ENTRY.size + length : _ENTRY.size + length + extra])
            place = 8 * sum(field == _FULL for field in fields[8:10])
            header = int.from_bytes(wide[place : place + 8], "little")
        entries.append(_Entry(raw, name, header))
        at = end
    return entries


def _wide_extra(extra: bytes) -> bytes:
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<HH", extra)
        if kind == 1:
            return extra[4 : 4 + length]
        extra = extra[4 + length :]
    return b""


def safetensors_patches(source: ByteSource, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> list[Patch]:
    """Return what gives a safetensors file other names and metadata; `OutputError` with the bytes needed where they do not fit."""
    room = int.from_bytes(source.read(0, 8), "little")
    start = 8 + room
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    for key, tensor in tensors.items():
        first = tensor.storage.start - start
        header[key] = header_entry(key, tensor, (first, first + tensor.storage.nbytes))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    if len(text) > room:
        message = f"the new header needs {len(text):,} bytes, and the file has room for {room:,}"
        raise OutputError(message, where=source.name, hint="write a new file: -o OUT leaves room for the next time")
    return [Patch(8, source.read(8, room), text.ljust(room))]
