"""The members of a tar archive, read header by header and never extracted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from ckptlint.core.survey import Odd
from ckptlint.formats.scanning.blobs import Blob, Finds

BLOCK = 512
_MOST = 20_000
_OCTAL = re.compile(rb"[ \0]*([0-7]*)[ \0]*")
_SPECIAL = {b"1": "a hard link", b"2": "a symbolic link", b"3": "a device", b"4": "a device", b"6": "a pipe"}


_REGULAR = (b"0", b"\0", b"7")
_LINKS = (b"1", b"2")


class Member(NamedTuple):
    """A regular file in the archive."""

    name: str
    start: int
    size: int


def is_header(block: bytes) -> bool:
    """Whether 512 bytes are the header of a member: only the checksum tells, since old archives have no mark."""
    if len(block) < BLOCK or not block[0]:
        return False
    said = _number(block[148:156])
    counted = sum(block[:148]) + 8 * 32 + sum(block[156:BLOCK])
    return said == counted


def walk(blob: Blob, finds: Finds) -> Iterator[Member]:
    """Yield the regular files, and note names that lead out and members that are no files."""
    at = 0
    for _ in range(_MOST):
        block = blob.read(at, BLOCK)
        if not is_header(block):
            if block.strip(b"\0"):
                finds.odd(Odd.UNREADABLE, "is a tar archive that breaks off", f"{blob.place}: byte {at}")
            return
        name, size = _name(block), _number(block[124:136])
        place = f"{blob.place}: byte {at}"
        _check(name, block, place, finds)
        if block[156:157] in _REGULAR:
            yield Member(name, at + BLOCK, min(size, max(0, blob.length - at - BLOCK)))
        at += BLOCK + (size + BLOCK - 1) // BLOCK * BLOCK
        if at > blob.length:
            finds.odd(Odd.UNREADABLE, "is a tar archive that is cut off", place)
            return


def _name(block: bytes) -> str:
    prefix = _text(block[345:500]) if block[257:262] == b"ustar" else ""
    return f"{prefix}/{_text(block[:100])}" if prefix else _text(block[:100])


def _check(name: str, block: bytes, place: str, finds: Finds) -> None:
    if _leads_out(name):
        text = f"has the member {name!r}, whose name leads out of the folder it is unpacked to"
        finds.odd(Odd.LEADS_OUT, text, place)
    kind = block[156:157]
    target = _text(block[157:257])
    if kind in _SPECIAL and (kind not in _LINKS or _leads_out(target)):
        finds.odd(Odd.LEADS_OUT, f"has the member {name!r}, which is {_SPECIAL[kind]} to {target!r}", place)


def _leads_out(name: str) -> bool:
    return name.startswith("/") or ".." in name.split("/")


def _number(field: bytes) -> int:
    if field[:1] == b"\x80":
        return int.from_bytes(field[1:], "big")
    found = _OCTAL.match(field)
    return int(found[1] or b"0", 8) if found else -1


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")
