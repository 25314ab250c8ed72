"""Where a ZIP archive ends: its end records, and through them the central directory, checked against each other exactly."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from ckptlint.core.checkpoint import ByteSource
from ckptlint.errors import FormatError
from ckptlint.formats.cut_off import cut_off, cut_off_zip

_END = struct.Struct("<4sHHHHIIH")
_END64 = struct.Struct("<4sQHHIIQQQQ")
_LOCATOR = struct.Struct("<4sIQI")
_TAIL = 128 << 10  # bytes read at once: the longest comment, and the directory of some thousand records
_LARGEST = 512 << 20  # bytes of a directory; five million records
_SMALLEST_ENTRY = 46
_LONGEST_COMMENT = 0xFFFF


class Directory(NamedTuple):
    """The central directory's bytes, its number of entries, and the tail of the file that was read to find it."""

    name: str
    start: int
    entries: int
    content: bytes
    tail_start: int
    tail: bytes

    def at(self, place: int) -> str:
        """Name the place of a byte of `content` in the file, for messages."""
        return f"{self.name}: byte {self.start + place}"


class _Ends(NamedTuple):
    entries: int
    size: int
    start: int


def damaged(message: str, where: str) -> FormatError:
    return FormatError(
        message,
        where=where,
        hint="the archive contradicts itself: it is damaged or was tampered with; fetch or save it again",
    )


def find_directory(source: ByteSource) -> Directory:
    """Read the end of a file that starts like a ZIP; `FormatError` where it does not end like one."""
    tail_start = max(0, source.size - _TAIL)
    tail = source.read(tail_start, source.size - tail_start)
    at = _end_record(tail, source)
    end = _END.unpack_from(tail, at)
    where = f"{source.name}: byte {tail_start + at}"
    limit, ends = _wide_ends(tail, tail_start, at, end, source)
    if end[1] or end[2] or end[3] != end[4]:
        raise damaged("the archive says it is one of several volumes", where)
    if ends.start + ends.size != limit:
        raise damaged(
            f"the central directory should end at byte {limit}, but is said to end at {ends.start + ends.size}", where
        )
    if ends.size > _LARGEST or ends.entries * _SMALLEST_ENTRY > ends.size:
        raise damaged(f"the central directory is said to hold {ends.entries} records in {ends.size} bytes", where)
    in_tail = ends.start >= tail_start
    content = tail[ends.start - tail_start : limit - tail_start] if in_tail else source.read(ends.start, ends.size)
    return Directory(source.name, ends.start, ends.entries, content, tail_start, tail)


def _end_record(tail: bytes, source: ByteSource) -> int:
    """Place of the end record in the tail: the last one, whose comment reaches exactly to the end of the file.

    Torch takes the last signature with room for a record behind it, whatever its comment says, others the one that fits: where that is not
    one and the same, they would read two archives.
    """
    last = tail.rfind(b"PK\5\6")
    if last < 0:
        raise cut_off_zip(source)
    places = list(_places(tail))
    found = [at for at in places if at + _END.size + _END.unpack_from(tail, at)[7] == len(tail)]
    if found and found != places[:1]:
        raise damaged("the archive has two end records", f"{source.name}: byte {source.size - len(tail) + found[-1]}")
    if found:
        return found[0]
    if last + _END.size > len(tail):
        raise cut_off(source, source.size - len(tail) + last + _END.size)
    over = len(tail) - (last + _END.size + _END.unpack_from(tail, last)[7])
    if over < 0:
        raise cut_off(source, source.size - over)
    raise FormatError(
        f"{over} bytes follow the end of the ZIP archive",
        where=f"{source.name}: byte {source.size - over}",
        hint="something was appended to the file; fetch it again",
    )


def _places(tail: bytes) -> Iterator[int]:
    """Yield where an end record could begin, the last first."""
    last = len(tail) - _END.size
    first = max(0, last - _LONGEST_COMMENT)
    at = tail.rfind(b"PK\5\6", 0, last + 4) if last >= 0 else -1
    while at >= first:
        yield at
        at = tail.rfind(b"PK\5\6", first, at + 3)


def _wide_ends(tail: bytes, tail_start: int, at: int, end: tuple[int, ...], source: ByteSource) -> tuple[int, _Ends]:
    """Return where the directory must end, and what the zip64 end record (or the plain one) says of it."""
    short = _Ends(end[4], end[5], end[6])
    where = f"{source.name}: byte {tail_start + at}"
    locator = at - _LOCATOR.size
    if locator < 0 or tail[locator : locator + 4] != b"PK\6\7":
        if short.entries == 0xFFFF or 0xFFFFFFFF in short:
            raise damaged("the zip64 end record that the end record points to is missing", where)
        return tail_start + at, short
    wide_start = _LOCATOR.unpack_from(tail, locator)[2]
    ends = _wide_end(tail, tail_start, locator, where)
    limits = (0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
    if any(few not in (many, most) for few, many, most in zip(short, ends, limits, strict=True)):
        raise damaged("the two end records of the archive disagree", where)
    return wide_start, ends


def _wide_end(tail: bytes, tail_start: int, locator: int, where: str) -> _Ends:
    """Read the zip64 end record, which must lie right before its locator."""
    _, disk, wide_start, disks = _LOCATOR.unpack_from(tail, locator)
    wide_at = wide_start - tail_start
    if disk or disks > 1 or wide_at < 0 or wide_at + _END64.size > locator or tail[wide_at : wide_at + 4] != b"PK\6\6":
        raise damaged("the zip64 end record is not where its locator says", where)
    wide = _END64.unpack_from(tail, wide_at)
    if wide_at + 12 + wide[1] != locator or wide[4] or wide[5] or wide[6] != wide[7]:
        raise damaged("the zip64 end record has a wrong length or volume", where)
    return _Ends(wide[7], wide[8], wide[9])
