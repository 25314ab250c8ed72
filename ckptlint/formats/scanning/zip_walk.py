"""The records of a ZIP archive, whatever is wrong with it: those of the directory, and those that no directory names.

What is scanned by one reading and loaded by another is how archives hide things. So both are searched, and every disagreement is found.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from ckptlint.core.survey import Odd
from ckptlint.formats.scanning.blobs import MOST_IN_MEMORY, Blob, Finds

_ENTRY = struct.Struct("<4sHHHHHHIIIHHHHHII")
_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_END = struct.Struct("<4sHHHHIIH")
_FULL = 0xFFFFFFFF
_TAIL = (1 << 16) + 22 + 76
_LARGEST_DIRECTORY = 256 << 20
_MOST_RECORDS = 2_000_000
_GAP = 1 << 20  # bytes of a gap that are searched for records
_DESCRIPTOR = 24
_PADDING = 4096  # the largest alignment of payloads in use
_RATIO = 200
_SMALL = 1 << 20
STORED, DEFLATED = 0, 8


class Record(NamedTuple):
    """One record as the directory, or where that is silent its own header, describes it. `start` is that of its payload."""

    name: str
    header: int
    start: int
    stored: int
    size: int
    method: int
    checksum: int
    encrypted: bool
    later: bool  # its sizes and checksum follow the payload
    hidden: bool = False


class _End(NamedTuple):
    base: int  # of the archive in the blob
    directory: int  # offset in the blob
    size: int
    entries: int
    end: int  # of the archive


def walk(blob: Blob, finds: Finds) -> Iterator[Record]:
    """Yield every record, and note what is odd. Payloads are read by `content` alone."""
    end = _find_end(blob, finds)
    if end is None:
        finds.odd(
            Odd.UNREADABLE,
            "is a ZIP archive without a directory: it is cut off, or meant to be read from its start",
            blob.place,
        )
        yield from _follow(blob, 0, blob.length)
        return
    _check_outside(blob, end, finds)
    records = list(_directory(blob, end, finds))
    _check_names(records, blob, finds)
    placed = [_placed(record, blob, end, finds) for record in records]
    yield from placed
    yield from _between(blob, end, placed, finds)


def content(blob: Blob, record: Record, most: int, finds: Finds) -> bytes:
    """Return at most `most` bytes of a record, unpacked; what cannot be unpacked is empty. A flag may lie about encryption."""
    if record.method == STORED:
        return blob.read(record.start, min(record.stored, most))
    if record.method != DEFLATED:
        finds.odd(
            Odd.NOT_SEARCHED,
            f"has the record {record.name!r} packed by method {record.method}, which is not unpacked",
            blob.place,
        )
        return b""
    machine = zlib.decompressobj(-15)
    try:
        return machine.decompress(blob.read(record.start, min(record.stored, MOST_IN_MEMORY)), most)
    except zlib.error:
        return b""


def check_content(record: Record, whole: bytes, blob: Blob, finds: Finds) -> None:
    """Compare a record's content with its checksum and size; archives that have none are fine."""
    if record.hidden or record.encrypted or not record.checksum:
        return
    if len(whole) != record.size or zlib.crc32(whole) != record.checksum:
        finds.odd(
            Odd.CHECKSUM,
            f"has the record {record.name!r}, whose size or CRC-32 is not what the directory says",
            blob.place,
        )


def is_bomb(record: Record) -> bool:
    return record.method != STORED and record.size > max(_SMALL, _RATIO * record.stored)


def ends_as_zip(blob: Blob, *, exactly: bool) -> bool:
    """Whether a ZIP archive ends here, as a polyglot's does; `exactly` at the last byte, as one inside of a tar does not."""
    end = _find_end(blob, Finds())
    return end is not None and (end.end == blob.length or not exactly)


def _find_end(blob: Blob, finds: Finds) -> _End | None:
    start = max(0, blob.length - _TAIL)
    tail = blob.read(start, blob.length - start)
    at = len(tail)
    while True:
        at = tail.rfind(b"PK\5\6", 0, at)
        if at < 0:
            return None
        if at + _END.size <= len(tail):
            found = _end_at(blob, start, tail, at, finds)
            if found is not None:
                return found


def _end_at(blob: Blob, start: int, tail: bytes, at: int, finds: Finds) -> _End | None:
    """Read the end record at a place of the tail; None where no directory lies before it."""
    _, _, _, here, entries, size, offset, comment = _END.unpack_from(tail, at)
    wide = _wide_end(blob, start, tail, at)
    limit = start + at
    if wide is not None:
        if size not in (wide[1], _FULL, wide[1] & _FULL) or offset not in (wide[2], _FULL, wide[2] & _FULL):
            finds.odd(Odd.HEADER_DISAGREES, "has two end records that disagree about its directory", blob.place)
        entries, size, offset = wide
        limit -= 20 + 56
    elif here != entries:
        finds.odd(Odd.HEADER_DISAGREES, "counts its records in two ways", blob.place)
    if size > min(limit, _LARGEST_DIRECTORY):
        return None
    end = min(start + at + _END.size + comment, blob.length)
    if not size or blob.read(limit - size, 4) == b"PK\1\2":
        return _End(max(0, limit - size - offset), limit - size, size, entries, end)
    if offset + size > limit or blob.read(offset, 4) != b"PK\1\2":
        return None
    finds.odd(Odd.HEADER_DISAGREES, "has its directory elsewhere than before its end record", blob.place)
    return _End(0, offset, size, entries, end)


def _wide_end(blob: Blob, start: int, tail: bytes, at: int) -> tuple[int, int, int] | None:
    """Return entries, size and offset of the zip64 end record, where there is one before the end record at `at`."""
    if at < 20 or tail[at - 20 : at - 16] != b"PK\6\7" or start + at < 20 + 56:
        return None
    wide = blob.read(start + at - 20 - 56, 56)
    if wide[:4] != b"PK\6\6":
        return None
    entries, size, offset = struct.unpack_from("<QQQ", wide, 32)
    return entries, size, offset


def _check_outside(blob: Blob, end: _End, finds: Finds) -> None:
    if end.end < blob.length:
        finds.odd(Odd.OUTSIDE, f"has {blob.length - end.end} bytes behind the archive", f"{blob.place}: byte {end.end}")
    if end.base and not blob.name.endswith(".distcp"):
        finds.odd(Odd.OUTSIDE, f"has {end.base} bytes before the archive", blob.place)


def _directory(blob: Blob, end: _End, finds: Finds) -> Iterator[Record]:
    directory = blob.read(end.directory, end.size)
    at = number = 0
    while at + _ENTRY.size <= len(directory) and directory[at : at + 4] == b"PK\1\2" and number < _MOST_RECORDS:
        fields = _ENTRY.unpack_from(directory, at)
        name_end = at + _ENTRY.size + fields[10]
        extra = directory[name_end : name_end + fields[11]]
        size, stored, header = _wide((fields[9], fields[8], fields[16]), extra)
        name = directory[at + _ENTRY.size : name_end].decode("utf-8", "backslashreplace")
        flags = fields[3]
        yield Record(
            name, end.base + header, -1, stored, size, fields[4], fields[7], bool(flags & 0x2041), bool(flags & 8)
        )
        at, number = name_end + fields[11] + fields[12], number + 1
    if number != end.entries or at != len(directory):
        finds.odd(
            Odd.HEADER_DISAGREES, f"says that its directory has {end.entries} records, and it has {number}", blob.place
        )


def _wide(short: tuple[int, int, int], extra: bytes) -> tuple[int, int, int]:
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            values = iter(struct.unpack_from(f"<{min(length, len(extra) - at - 4) // 8}Q", extra, at + 4))
            size, stored, header = (next(values, value) if value == _FULL else value for value in short)
            return size, stored, header
        at += 4 + length
    return short


def _check_names(records: list[Record], blob: Blob, finds: Finds) -> None:
    seen: dict[str, str] = {}
    for record in records:
        folded = record.name.casefold()
        other = seen.setdefault(folded, record.name)
        place = f"{blob.place}: byte {record.header}"
        if other is not record.name:
            if other == record.name:
                finds.odd(
                    Odd.REPEATED_RECORD,
                    f"has the record {record.name!r} more than once: loaders differ in which they take",
                    place,
                )
            else:
                finds.odd(
                    Odd.CASE_COLLISION,
                    f"has the records {other!r} and {record.name!r}, which torch cannot tell apart",
                    place,
                )
        elif folded.endswith("/data.pkl") and not record.name.endswith("/data.pkl"):
            finds.odd(
                Odd.CASE_COLLISION, f"has the record {record.name!r}, which torch loads and scanners overlook", place
            )
        _check_name(record, place, finds)


def _check_name(record: Record, place: str, finds: Finds) -> None:
    parts = record.name.replace("\\", "/").split("/")
    if ".." in parts or record.name.startswith(("/", "\\")) or "\0" in record.name or (record.name[1:2] == ":"):
        finds.odd(
            Odd.LEADS_OUT,
            f"has the record {record.name!r}, whose name leads out of the folder it is unpacked to",
            place,
        )
    if record.encrypted:
        finds.odd(Odd.ENCRYPTED, f"has the record {record.name!r} encrypted, so that nobody can look into it", place)


def _placed(record: Record, blob: Blob, end: _End, finds: Finds) -> Record:
    """Find the payload through the record's own header, and compare the two."""
    head = blob.read(record.header, _LOCAL.size + 1024)
    place = f"{blob.place}: byte {record.header}"
    if head[:4] != b"PK\3\4" or len(head) < _LOCAL.size:
        finds.odd(Odd.HEADER_DISAGREES, f"has no record where its directory puts {record.name!r}", place)
        return record._replace(start=record.header, encrypted=True)
    fields = _LOCAL.unpack_from(head)
    name = head[_LOCAL.size : _LOCAL.size + fields[9]].decode("utf-8", "backslashreplace")
    start = record.header + _LOCAL.size + fields[9] + fields[10]
    later = bool(fields[2] & 8)
    if name != record.name:
        finds.odd(Odd.HEADER_DISAGREES, f"calls a record {record.name!r} in its directory and {name!r} in place", place)
    elif not _agrees(record, fields, later=later):
        finds.odd(
            Odd.HEADER_DISAGREES, f"describes {record.name!r} in its directory and in place in different ways", place
        )
    elif start + record.stored > end.directory:
        finds.odd(Odd.OVERLAP, f"has the record {record.name!r}, which runs into the directory", place)
    return record._replace(start=start, later=later)


def _agrees(record: Record, fields: tuple[int, ...], *, later: bool) -> bool:
    """Whether a record's own header says what the directory says, or leaves it to the descriptor behind the payload."""
    told = zip(fields[6:9], (record.checksum, record.stored, record.size), (-1, _FULL, _FULL), strict=True)
    if fields[3] != record.method:
        return False
    return all(here in (there, wide) or (later and not here) for here, there, wide in told)


def _between(blob: Blob, end: _End, records: list[Record], finds: Finds) -> Iterator[Record]:
    """Search what lies between the records for others; records that overlap are found on the way."""
    reached = end.base
    last = ""
    for record in sorted(records, key=lambda each: each.header):
        if record.header < reached:
            finds.odd(
                Odd.OVERLAP,
                f"has the records {last!r} and {record.name!r} in the same bytes",
                f"{blob.place}: byte {record.header}",
            )
        else:
            yield from _gap(blob, reached, record.header, finds)
        reached = max(reached, record.start + record.stored + (0 if not record.later else _after(blob, record)))
        last = record.name
    yield from _gap(blob, reached, end.directory, finds)


def _after(blob: Blob, record: Record) -> int:
    """Length of the data descriptor behind a payload."""
    head = blob.read(record.start + record.stored, 4)
    if head == b"PK\7\x08":
        return 24 if record.stored >= _FULL or record.header >= _FULL else 16
    return 0


def _gap(blob: Blob, start: int, stop: int, finds: Finds) -> Iterator[Record]:
    if stop - start < _LOCAL.size:
        return
    gap = blob.read(start, min(stop - start, _GAP))
    at = gap.find(b"PK\3\4")
    if at >= 0:
        finds.odd(
            Odd.HIDDEN_RECORD, "holds a record that its directory does not name", f"{blob.place}: byte {start + at}"
        )
        yield from _follow(blob, start + at, stop)
    elif len(gap.strip(b"\0")) and stop - start > _PADDING + _DESCRIPTOR:
        finds.odd(Odd.OUTSIDE, f"has {stop - start} bytes between its records", f"{blob.place}: byte {start}")


def _follow(blob: Blob, at: int, stop: int) -> Iterator[Record]:
    """Yield records by their own headers, one behind the other."""
    for _ in range(10_000):
        head = blob.read(at, _LOCAL.size + 1024)
        if len(head) < _LOCAL.size or head[:4] != b"PK\3\4":
            return
        _, _, flags, method, _, _, checksum, stored, size, name_length, extra = _LOCAL.unpack_from(head)
        name = head[_LOCAL.size : _LOCAL.size + name_length].decode("utf-8", "backslashreplace")
        start = at + _LOCAL.size + name_length + extra
        if stored in (0, _FULL):
            stored = _next_signature(blob, start, stop) - start
        yield Record(
            name, at, start, stored, size, method, checksum, bool(flags & 0x2041), bool(flags & 8), hidden=True
        )
        at = _next_signature(blob, start + stored, stop)
        if at >= stop:
            return


def _next_signature(blob: Blob, start: int, stop: int) -> int:
    block = blob.read(start, max(0, min(stop - start, MOST_IN_MEMORY)))
    places = [place for place in (block.find(b"PK\3\4"), block.find(b"PK\7\x08"), block.find(b"PK\1\2")) if place >= 0]
    if not places:
        return stop
    first = min(places)
    if block[first : first + 4] == b"PK\7\x08":
        return (
            start
            + first
            + (block.find(b"PK\3\4", first) - first if block.find(b"PK\3\4", first) >= 0 else len(block) - first)
        )
    return start + first
