"""A checkpoint that is a member of a tar or ZIP archive, named `archive.tar::member`. Nothing is extracted to a place of its name.

A member that is stored as it is is read where it lies; one that ZIP has deflated, or a tar that is itself compressed, is unpacked to a
nameless file. Links, devices and the like are passed over: they lead elsewhere. Source: POSIX.1-2001 ustar and pax, GNU tar's long names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ckptlint.core.checkpoint import ByteSource
from ckptlint.errors import FormatError
from ckptlint.formats.cut_off import cut_off
from ckptlint.formats.deflated import Deflated
from ckptlint.formats.window import Window
from ckptlint.formats.zip_container import DEFLATED, STORED, Archive
from ckptlint.formats.zip_kinds import CHECKPOINTS

SEPARATOR = "::"
_BLOCK = 512
_PLAIN = b"0\x007"
_PAX, _LONG_NAME = ord("x"), ord("L")
_MOST_MEMBERS = 100_000
_LONGEST_NOTE = 1 << 20  # bytes of a pax header or a long name
_LISTED = 6


class _Place(NamedTuple):
    start: int
    size: int


def member_of(source: ByteSource, kind: str, name: str) -> ByteSource:
    """Return a member of an archive (kind `tar` or `torch-zip`) as a source of its own; `FormatError` where there is none of this name."""
    if kind == "tar":
        places = dict(tar_members(source))
        _check_named(name, places, source)
        return Window(source, *places[name], f"{source.name}{SEPARATOR}{name}")
    if kind != "torch-zip":
        raise FormatError(f"is no archive, so that it has no member {name!r}", where=source.name, hint="name the file")
    records = Archive(source).records
    _check_named(name, records, source)
    record = records[name]
    if record.method == STORED:
        return Window(source, record.start, record.size, f"{source.name}{SEPARATOR}{name}")
    if record.method == DEFLATED:
        return Deflated(source, record)
    message = f"the member {name} is compressed by the method {record.method}, which is not read"
    raise FormatError(message, where=f"{source.name}: byte {record.start}", hint="unpack the archive", rule="CKC122")


def only_checkpoint(names: Sequence[str], source: ByteSource) -> str:
    """Return the only member that is named as a checkpoint; `FormatError` that lists them where there is another number of them."""
    packed = [name for name in names if name.endswith(CHECKPOINTS)]
    if len(packed) == 1:
        return packed[0]
    what = f"{len(packed)} checkpoints" if packed else "no file that is named as a checkpoint"
    listed = ", ".join((packed or list(names))[:_LISTED]) or "nothing"
    raise FormatError(
        f"is an archive with {what} in it: {listed}{' ...' if len(packed or names) > _LISTED else ''}",
        where=source.name,
        hint=f"name one: {source.name}{SEPARATOR}{packed[0] if packed else 'MEMBER'}",
        rule="CKC123",
    )


def tar_members(source: ByteSource) -> Iterator[tuple[str, _Place]]:
    """Yield the plain files of a tar with their places. A damaged header, or a file that ends early, is a `FormatError`."""
    at, number = 0, 0
    notes: dict[str, str] = {}
    while at + _BLOCK <= source.size:
        head = source.read(at, _BLOCK)
        if not head.strip(b"\0"):
            return
        where = f"{source.name}: byte {at}"
        size = int(notes["size"]) if notes.get("size", "").isdecimal() else _number(head[124:136], where)
        _check_sum(head, where)
        start, kind = at + _BLOCK, head[156]
        if start + size > source.size:
            raise cut_off(source, start + size, at_least=True)
        if kind in (_PAX, _LONG_NAME):
            notes |= _note(source, start, size, kind)
        else:
            if kind in _PLAIN:
                yield notes.get("path") or _name(head), _Place(start, size)
            notes = {}
        at = start + -(-size // _BLOCK) * _BLOCK
        number += 1
        if number > _MOST_MEMBERS:
            raise FormatError(f"has more than {_MOST_MEMBERS} members", where=where, hint="unpack it by hand")


def _check_named(name: str, members: Mapping[str, object], source: ByteSource) -> None:
    if name not in members:
        listed = [each for each in members if each.endswith(CHECKPOINTS)] or list(members)
        more = " ..." if len(listed) > _LISTED else ""
        raise FormatError(
            f"has no member {name!r}", where=source.name, hint=f"it has {', '.join(listed[:_LISTED])}{more}"
        )


def _check_sum(head: bytes, where: str) -> None:
    summed = sum(head) - sum(head[148:156]) + 8 * ord(" ")
    if _number(head[148:156], where) != summed:
        raise FormatError("a member's header does not have the sum that it says", where=where, hint="fetch it again")


def _number(field: bytes, where: str) -> int:
    """Read an octal number, or GNU's binary one for sizes from 8 GiB on."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if len(digits) == 0 or digits.strip(b"01234567"):
        raise FormatError("a member's header has a number that is none", where=where, hint="fetch the file again")
    return int(digits, 8)


def _name(head: bytes) -> str:
    name = head[:100].partition(b"\0")[0].decode(errors="surrogateescape")
    prefix = head[345:500].partition(b"\0")[0].decode(errors="surrogateescape")
    return f"{prefix}/{name}" if prefix and head[257:263] == b"ustar\0" else name


def _note(source: ByteSource, start: int, size: int, kind: int) -> dict[str, str]:
    """What a pax header or GNU's long name says of the member that follows: its path, its size."""
    if size > _LONGEST_NOTE:
        raise FormatError(f"a member's description has {size} bytes", where=f"{source.name}: byte {start}")
    content = source.read(start, size)
    if kind == _LONG_NAME:
        return {"path": content.rstrip(b"\0").decode(errors="surrogateescape")}
    found: dict[str, str] = {}
    while content:
        digits, _, rest = content.partition(b" ")
        length = int(digits) if digits.isdigit() and len(digits) < 8 else 0
        if not len(digits) < length <= len(content):
            raise FormatError("a member's description is damaged", where=f"{source.name}: byte {start}")
        key, _, value = rest[: length - len(digits) - 2].partition(b"=")
        if key in (b"path", b"size"):
            found[key.decode()] = value.decode(errors="surrogateescape")
        content = content[length:]
    return found
