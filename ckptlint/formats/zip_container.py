"""A ZIP archive's members, found by one strict reading of its central directory.

ZIP readers disagree where an archive contradicts itself: on repeated names, on names that differ in case, on a directory that says
something else than the member's own header. What is scanned by one is then not what another loads. So every such archive is refused.
Few reads: the tail holds the directory, and local headers that lie close together are read as one block.
Source: APPNOTE 6.3.10 (4.3.7 local header, 4.3.12 central directory, 4.3.14-16 end records, 4.5.3 zip64 extra).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple
from zlib import crc32

from ckptlint.core.checkpoint import ByteSource
from ckptlint.errors import FormatError
from ckptlint.formats.zip_end import Directory, damaged, find_directory

STORED, DEFLATED = 0, 8
_METHODS = {6: "implode", 9: "deflate64", 12: "bzip2", 14: "lzma", 93: "zstd", 95: "xz", 98: "ppmd"}

_ENTRY = struct.Struct("<4s4xHH4xIIIHHH8xI")  # without versions, times and attributes
_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_SIZES, _LENGTHS = 14, 26  # where in a local header the CRC-32 and sizes are, and the lengths of name and extra field
_SAYS_NOTHING = bytes(_LENGTHS - _SIZES)
_FULL = 0xFFFFFFFF
_ENCRYPTED = 0x2041  # bits 0, 6 and 13: traditional, strong, and a masked directory
_LATER = 0x0008  # bit 3: sizes and CRC-32 follow the payload, the local header has zeros
_UTF8 = 0x0800
_LONGEST_NAME = 1024  # bytes
_NEAR = 4096  # local headers closer than a page are read together: the system reads whole pages anyhow
_BLOCK = 1 << 20
_RATIO = 200  # how far a compressed record may grow; pickles shrink five- to tenfold
_SMALL = 1 << 20  # bytes; below this nothing is a bomb


class Record(NamedTuple):
    """One member: `start` is the offset of its payload, `stored` its bytes in the file, `size` its bytes when unpacked."""

    name: str
    start: int
    size: int
    stored: int
    checksum: int
    method: int


class Archive:
    """The members of one ZIP, by name in directory order."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        directory = find_directory(source)
        entries = list(_entries(directory))
        _check_names(entries, source)
        starts = _payload_starts(entries, directory, _Window(source, directory))
        self.records = {
            name: Record(name, start, size, stored, checksum, method)
            for (name, _, _, method, checksum, stored, size, _), start in zip(entries, starts, strict=True)
            if name[-1] != "/"
        }
        self.has_checksums = any(record.checksum for record in self.records.values() if record.size)

    def read(self, name: str, most: int) -> bytes:
        """Return a record's content, its CRC-32 checked; more than `most` bytes of it are a `FormatError`."""
        record = self.records[name]
        if record.size > most:
            raise FormatError(
                f"the record {name} has {record.size} bytes, more than the {most} it may have", where=self._at(record)
            )
        if record.method not in (STORED, DEFLATED):
            how = f"{_METHODS.get(record.method, 'method')} ({record.method})"
            raise FormatError(
                f"the record {name} is compressed with {how}, which torch does not read",
                where=self._at(record),
                hint="something packed the archive again; unpack it, and pack it with zip -0",
            )
        content = self._source.read(record.start, record.stored)
        if record.method == DEFLATED:
            content = self._inflate(record, content)
        if self.has_checksums and crc32(content) != record.checksum:
            raise FormatError(
                f"the record {name} is damaged: its CRC-32 is {crc32(content):08x}, the directory says {record.checksum:08x}",
                where=self._at(record),
                hint="fetch the file again",
            )
        return content

    def _inflate(self, record: Record, content: bytes) -> bytes:
        import zlib

        if record.size > max(_SMALL, _RATIO * record.stored):
            raise FormatError(
                f"the record {record.name} would grow from {record.stored} to {record.size} bytes, which no honest record does",
                where=self._at(record),
                hint="the file was made to fill the memory of whoever reads it",
            )
        machine = zlib.decompressobj(-15)
        try:
            unpacked = machine.decompress(content, record.size + 1)
        except zlib.error as error:
            raise FormatError(
                f"the compressed record {record.name} is damaged: {error}", where=self._at(record)
            ) from error
        if len(unpacked) != record.size or not machine.eof or machine.unused_data:
            raise FormatError(
                f"the compressed record {record.name} does not give the {record.size} bytes that the directory says",
                where=self._at(record),
            )
        return unpacked

    def _at(self, record: Record) -> str:
        return f"{self._source.name}: byte {record.start}"


class _Entry(NamedTuple):
    name: str
    encoded: bytes
    flags: int
    method: int
    checksum: int
    stored: int
    size: int
    header: int


class _Window:
    """Serves small ascending reads from what is in memory already, or from blocks over headers that lie together."""

    def __init__(self, source: ByteSource, directory: Directory) -> None:
        self._source = source
        self._directory = directory
        self._start, self._block = 0, b""

    def read(self, offset: int, length: int, near: int) -> bytes:
        """Return `length` bytes; `near` is how far it pays to read on from `offset` for the reads to come."""
        at = offset - self._start
        if at + length > len(self._block):
            if offset >= self._directory.tail_start:
                self._start, self._block = self._directory.tail_start, self._directory.tail
            else:
                self._start, self._block = offset, self._source.read(offset, max(length, near))
            at = offset - self._start
        return self._block[at : at + length]


def _entries(directory: Directory) -> Iterator[_Entry]:
    content, at, most = directory.content, 0, len(directory.content)
    for number in range(directory.entries):
        if at + _ENTRY.size > most:
            raise damaged(f"the central directory ends after {number} of {directory.entries} entries", directory.at(at))
        signature, flags, method, checksum, stored, size, name, extra, comment, header = _ENTRY.unpack_from(content, at)
        name_end = at + _ENTRY.size + name
        extra_end = name_end + extra
        end = extra_end + comment
        if signature != b"PK\1\2" or end > most:
            raise damaged(
                f"entry {number} of the central directory is not one, or reaches past its end", directory.at(at)
            )
        encoded = content[at + _ENTRY.size : name_end]
        text = _name(encoded, directory, at)
        if flags & _ENCRYPTED:
            raise FormatError(
                f"the record {text} is encrypted",
                where=directory.at(at),
                hint="decrypt the archive first",
                rule="CKC124",
            )
        if _FULL in (size, stored, header):
            size, stored, header = _wide((size, stored, header), content[name_end:extra_end], directory.at(at))
        yield _Entry(text, encoded, flags, method, checksum, stored, size, header)
        at = end
    if at != most:
        raise damaged(
            f"the central directory has {most - at} bytes more than its {directory.entries} entries", directory.at(at)
        )


def _name(encoded: bytes, directory: Directory, at: int) -> str:
    if not 0 < len(encoded) <= _LONGEST_NAME:
        message = f"a record has a name of {len(encoded)} bytes"
        raise FormatError(message, where=directory.at(at), hint="no writer of checkpoints makes such a file")
    try:
        name = encoded.decode()
    except UnicodeDecodeError as error:
        raise FormatError(f"the record name {encoded!r} is not UTF-8", where=directory.at(at)) from error
    if name[0] == "/" or "\\" in name or "\0" in name or (".." in name and ".." in name.split("/")):
        message = f"the record name {name!r} leads out of the archive"
        raise FormatError(message, where=directory.at(at), hint="do not unpack this file")
    return name


def _wide(short: tuple[int, int, int], extra: bytes, where: str) -> tuple[int, int, int]:
    """Size, stored size and header offset, from the zip64 extra where their 32 bits are full."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            wanted = short.count(_FULL)
            if length < 8 * wanted or at + 4 + length > len(extra):
                break
            wide = iter(struct.unpack_from(f"<{wanted}Q", extra, at + 4))
            size, stored, header = (next(wide) if value == _FULL else value for value in short)
            return size, stored, header
        at += 4 + length
    raise damaged("a record's zip64 field is missing or too short", where)


def _check_names(entries: list[_Entry], source: ByteSource) -> None:
    seen: dict[str, _Entry] = {}
    for entry in entries:
        other = seen.setdefault(entry.name.casefold(), entry)
        if other is not entry:
            how = "twice" if other.name == entry.name else f"and {other.name!r}, which differ in case only"
            raise FormatError(
                f"the archive has the record {entry.name!r} {how}",
                where=f"{source.name}: byte {entry.header}",
                hint="readers disagree about which of them counts, so neither is trusted; save the checkpoint again",
            )


def _payload_starts(entries: list[_Entry], directory: Directory, window: _Window) -> list[int]:
    """Offset of each payload, from the local headers, which must agree with the directory and not overlap."""
    starts = [0] * len(entries)
    order = sorted(range(len(entries)), key=lambda number: entries[number].header)
    nexts = [*(min(entries[number].header, directory.start) for number in order), directory.start][1:]
    reaches = _reaches([entries[number] for number in order])
    silent: set[tuple[bytes, int, int]] = set()  # beginnings of headers that agree with every entry of their kind
    for number, limit, reach in zip(order, nexts, reaches, strict=True):
        entry = entries[number]
        needed = _LOCAL.size + len(entry.encoded)
        at = entry.header
        if at + needed > limit:
            raise _overlap(entry, limit, directory)
        head = window.read(at, needed, reach - at)
        how = (head[:_LENGTHS], entry.flags, entry.method)
        if (
            how in silent
            and head[_LENGTHS] | head[_LENGTHS + 1] << 8 == needed - _LOCAL.size
            and head.endswith(entry.encoded)
        ):
            start = at + needed + (head[_LENGTHS + 2] | head[_LENGTHS + 3] << 8)
        else:
            start = at + needed + _check_local(entry, head, directory)
            if head[6] & _LATER and head[_SIZES:_LENGTHS] == _SAYS_NOTHING:
                silent.add(how)
        if start + entry.stored > limit:
            raise _overlap(entry, limit, directory)
        starts[number] = start
    return starts


def _reaches(entries: list[_Entry]) -> list[int]:
    """For each record in file order, where a read that also takes the headers close behind it should end."""
    reaches: list[int] = []
    following, end = 1 << 63, 0
    for entry in reversed(entries):
        own_end = entry.header + _LOCAL.size + len(entry.encoded)
        end = own_end if following - entry.header > _NEAR else max(end, own_end)
        reaches.append(min(end, entry.header + _BLOCK))
        following = entry.header
    reaches.reverse()
    return reaches


def _check_local(entry: _Entry, head: bytes, directory: Directory) -> int:
    """Length of the local header's extra field, once the header is known to agree with the directory."""
    signature, _, flags, method, _, _, checksum, stored, size, length, extra = _LOCAL.unpack_from(head)
    empty = 0 if flags & _LATER else _FULL
    if (
        signature == b"PK\3\4"
        and length == len(entry.encoded)
        and head.endswith(entry.encoded)
        and method == entry.method
        and not (flags ^ entry.flags) & _ENCRYPTED
        and checksum in (entry.checksum, empty)
        and stored in (entry.stored, _FULL, empty)
        and size in (entry.size, _FULL, empty)
    ):
        return int(extra)
    raise _disagreement(entry, head, directory)


def _disagreement(entry: _Entry, head: bytes, directory: Directory) -> FormatError:
    signature, _, flags, method, _, _, _, _, _, length, _ = _LOCAL.unpack_from(head)
    if signature != b"PK\3\4":
        message = f"no record starts where the directory puts {entry.name!r}"
    elif length != len(entry.encoded) or not head.endswith(entry.encoded):
        message = f"the directory calls a record {entry.name!r}, its own header gives it another name"
    elif method != entry.method or (flags ^ entry.flags) & _ENCRYPTED:
        message = f"the directory and the header of {entry.name!r} disagree about how it is compressed"
    else:
        message = f"the directory and the header of {entry.name!r} disagree about its size or CRC-32"
    return damaged(message, f"{directory.name}: byte {entry.header}")


def _overlap(entry: _Entry, limit: int, directory: Directory) -> FormatError:
    message = f"the record {entry.name!r} runs into what starts at byte {limit}"
    return damaged(message, f"{directory.name}: byte {entry.header}")
