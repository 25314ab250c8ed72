"""The members of a tar archive, read header by header and never extracted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from ckptlint.core.survey import Odd
from ckptlint.formats.scanning.blobs import Blob, Finds

BLOCK = 512
_MOST = 20_000
_LARGEST_NAME = 1 << 20  # bytes of a name or of pax records
_SPECIAL = {b"1": "a hard link", b"2": "a symbolic link", b"3": "a device", b"4": "a device", b"6": "a pipe"}
_NOT_FILES = (b"1", b"2", b"3", b"4", b"5", b"6")
_DESCRIPTIVE = (b"x", b"g", b"L", b"K")
_PAX = re.compile(rb"\d+ (path|size)=([^\n]*)\n")
_LINKS = (b"1", b"2")


class Member(NamedTuple):
    """A file in the archive; readers take members of unknown types for files, too."""

    name: str
    start: int
    size: int


def is_header(block: bytes) -> bool:
    """Whether 512 bytes are the header of a member: only the checksum tells, since old archives have no mark."""
    if len(block) < BLOCK or not block[0]:
        return False
    said = _number(block[148:156])
    rest = block[:148] + b" " * 8 + block[156:BLOCK]
    return said in (sum(rest), sum(rest) - 256 * sum(byte > 127 for byte in rest))  # some writers sum signed bytes


def walk(blob: Blob, finds: Finds) -> Iterator[Member]:
    """Yield the files, and note names that lead out and members that are no files."""
    at = 0
    told: dict[bytes, bytes] = {}
    for _ in range(_MOST):
        block = blob.read(at, BLOCK)
        place = f"{blob.place}: byte {at}"
        if not is_header(block):
            if block.strip(b"\0"):
                finds.odd(Odd.UNREADABLE, "is a tar archive that breaks off", place)
            return
        kind, size = block[156:157], max(0, _number(block[124:136]))
        start = at + BLOCK
        if kind in _DESCRIPTIVE:
            told |= _told(kind, blob.read(start, min(size, _LARGEST_NAME)))
            if kind == b"g" and b"size" in told:
                text = "gives all members one size in a pax header, which few readers follow"
                finds.odd(Odd.HEADER_DISAGREES, text, place)
        else:
            size = _decimal(told[b"size"]) if b"size" in told else size
            name = _text(told[b"path"]) if b"path" in told else _name(block)
            told = {}
            _check(name, size, block, place, finds)
            yield Member(name, start, min(size, max(0, blob.length - start)))
        at = start + (size + BLOCK - 1) // BLOCK * BLOCK
        if at > blob.length:
            finds.odd(Odd.UNREADABLE, "is a tar archive that is cut off", place)
            return
    finds.odd(
        Odd.NOT_SEARCHED, f"is a tar archive of more than {_MOST} members, and the others were not searched", blob.place
    )


def _told(kind: bytes, content: bytes) -> dict[bytes, bytes]:
    """What a descriptive member says of the next one: its name and size."""
    if kind == b"L":
        return {b"path": content}
    if kind == b"K":
        return {}
    return dict(_PAX.findall(content))


def _name(block: bytes) -> str:
    prefix = _text(block[345:500]) if block[257:262] == b"ustar" else ""
    return f"{prefix}/{_text(block[:100])}" if prefix else _text(block[:100])


def _check(name: str, size: int, block: bytes, place: str, finds: Finds) -> None:
    if _leads_out(name):
        text = f"has the member {name!r}, whose name leads out of the folder it is unpacked to"
        finds.odd(Odd.LEADS_OUT, text, place)
    kind = block[156:157]
    if size and kind in _NOT_FILES:
        text = f"gives the member {name!r} a size, though it is no file: readers differ in where the next begins"
        finds.odd(Odd.HEADER_DISAGREES, text, place)
    target = _text(block[157:257])
    if kind in _SPECIAL and (kind not in _LINKS or _leads_out(target)):
        finds.odd(Odd.LEADS_OUT, f"has the member {name!r}, which is {_SPECIAL[kind]} to {target!r}", place)


def _leads_out(name: str) -> bool:
    return name.startswith("/") or ".." in name.split("/")


def _number(field: bytes) -> int:
    """Read a number as leniently as Python's tarfile: base 256, or octal digits with signs, prefixes and underscores."""
    if field[:1] in (b"\x80", b"\xff"):
        return int.from_bytes(field[1:], "big") if field[:1] == b"\x80" else -1
    try:
        return int(field.split(b"\0", 1)[0].strip() or b"0", 8)
    except ValueError:
        return -1


def _decimal(field: bytes) -> int:
    return int(field) if field.isdigit() and len(field) < 20 else 0


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")
