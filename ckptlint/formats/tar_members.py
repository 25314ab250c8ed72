"""The members of a tar archive: 512-byte headers, each with the size of what follows it. Nothing is ever extracted.

Only what the readers here need is accepted: plain files, each name once, the headers' sums right, and nothing hidden behind the end.
Source: POSIX.1-1988 ustar, and GNU tar's octal fields.
"""

from __future__ import annotations

from typing import NamedTuple

from ckptlint.core.checkpoint import ByteSource
from ckptlint.errors import FormatError

_BLOCK = 512
_PLAIN = b"0\0"
_DESCRIPTIVE = b"xg"  # pax headers: names and times once more
_MOST_MEMBERS = 1000
_PADDING = 1 << 20  # bytes of zeros behind the end; tar pads to ten kilobytes


class Member(NamedTuple):
    """A plain file in the archive: where its content starts, and its size in bytes."""

    start: int
    size: int


def members(source: ByteSource) -> dict[str, Member]:
    """Return the plain files by name; `FormatError` for anything else in the archive."""
    found: dict[str, Member] = {}
    at = 0
    while at + _BLOCK <= source.size:
        head = source.read(at, _BLOCK)
        if not head.strip(b"\0"):
            _check_end(source, at)
            return found
        where = f"{source.name}: byte {at}"
        name, size = _parse(head, where)
        if head[156] not in _DESCRIPTIVE:
            if name in found:
                raise FormatError(f"the archive has the member {name!r} twice", where=where, hint="neither is trusted")
            found[name] = Member(at + _BLOCK, size)
        at += _BLOCK + -(-size // _BLOCK) * _BLOCK
        if at > source.size or len(found) > _MOST_MEMBERS:
            raise FormatError(
                f"the member {name!r} reaches behind the end of the file", where=where, hint="it is cut off"
            )
    raise FormatError("the archive has no end", where=f"{source.name}: byte {at}", hint="the file is cut off")


def _parse(head: bytes, where: str) -> tuple[str, int]:
    """Name and size of a member, once its header is known to be one."""
    summed = sum(head) - sum(head[148:156]) + 8 * ord(" ")
    if _octal(head[148:156]) != summed:
        raise FormatError(
            "a member's header does not have the sum that it says", where=where, hint="the file is damaged"
        )
    name, size = head[:100].partition(b"\0")[0], _octal(head[124:136])
    if head[156] not in _PLAIN + _DESCRIPTIVE or size is None:
        raise FormatError(f"the member {name!r} is no plain file", where=where, hint="do not unpack this archive")
    try:
        return name.decode(), size
    except UnicodeDecodeError as error:
        raise FormatError(f"the member name {name!r} is not UTF-8", where=where) from error


def _octal(field: bytes) -> int | None:
    digits = field.strip(b" \0")
    return int(digits, 8) if digits and not digits.strip(b"01234567") else None


def _check_end(source: ByteSource, at: int) -> None:
    left = source.size - at
    if left < 2 * _BLOCK or left > _PADDING or source.read(at, left).strip(b"\0"):
        message = "the archive's end is followed by something else than zeros, or cut off"
        raise FormatError(message, where=f"{source.name}: byte {at}", hint="fetch the file again")
