"""What befalls a binary file on its way: written as text, its line ends changed, put behind something else.

Told from a file that merely broke, since the cure is another one, and some of it can be undone.
"""

from __future__ import annotations

import binascii
import re
import struct
from collections.abc import Callable
from typing import NamedTuple

from ckptlint.core.checkpoint import ByteSource
from ckptlint.errors import FormatError

RULE = "CKC108"
_KNOWN = (b"PK\3\4", b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46", b"\x1f\x8b\x08")  # torch's two formats, and gzip
_BINARY = (
    b"PK\3\4",
    b"\x80",
    b"\xc2\x80",
    b"\x1f",
)  # of whose bytes most are no text; `\xc2\x80` is a pickle's first one as UTF-8
_SAMPLE = 1 << 20  # bytes that are looked at for what befell all of a file
_FEW = 3  # line ends, each of which would be alike in one of 256 cases by chance
_LETTERS = 8  # characters beyond ASCII, which no other bytes spell by chance
_TAIL = (1 << 16) + 22
_END = struct.Struct("<4sHHHHIIH")
_LOST = b"\xef\xbf\xbd"  # U+FFFD, which stands for bytes that are no text


class _Spelling(NamedTuple):
    name: str
    undo: Callable[[bytes], bytes]
    command: str


def refuse_spelled(head: bytes, source: ByteSource) -> None:
    """`FormatError` where the beginning of a file is that of a checkpoint, spelled in another way."""
    for spelling in _SPELLINGS:
        if spelling.undo(head).startswith(_KNOWN):
            message = f"is a checkpoint written as {spelling.name}"
            raise FormatError(message, where=source.name, hint=f"undo it: {spelling.command}", rule=RULE)


def refuse_behind(head: bytes, source: ByteSource) -> None:
    """`FormatError` where a whole ZIP archive stands behind a few other bytes, such as the header of a server's answer."""
    at = head.find(b"PK\3\4")
    if at <= 0:
        return
    tail = source.read(max(0, source.size - _TAIL), min(_TAIL, source.size))
    end = tail.rfind(b"PK\5\6")
    if end < 0 or end + _END.size > len(tail):
        return
    start = _END.unpack_from(tail, end)[6]
    places = [place for place in (at + start, start) if place + 4 <= source.size and source.read(place, 4) == b"PK\1\2"]
    if places:
        what = "the header of a server's answer" if head.startswith(b"HTTP/") else f"{at} other bytes"
        cure = (
            f"take them off: tail -c +{at + 1} FILE > whole.pt"
            if places[0] != start
            else "unpack it, and pack it with zip -0"
        )
        raise FormatError(f"is a ZIP archive behind {what}", where=source.name, hint=cure, rule=RULE)


def changed_on_the_way(source: ByteSource, error: FormatError) -> FormatError:
    """Return a better error for a file that begins as a checkpoint and cannot be read, where it is clear what befell it; else the same."""
    if error.rule not in ("", "CKC103") or not error.where.startswith(source.name):
        return error  # of another file, such as a shard that this one names
    sample = source.read(0, min(source.size, _SAMPLE))
    if not sample.startswith(_BINARY):
        return error
    if _is_text(sample):
        lost = _LOST in sample
        message = "was read as text and written as UTF-8: " + (
            "bytes of it are lost" if lost else "every byte from 128 on became two"
        )
        hint = "fetch it again, as binary" if lost else _SPELLINGS[-1].command
        return FormatError(message, where=source.name, hint=hint, rule=RULE)
    ends = sample.count(b"\n")
    if ends >= _FEW and ends == sample.count(b"\r\n"):
        message = "had its line ends changed: before every byte 10 there is a byte 13"
        hint = "fetch it again, as binary (git: `*.pt binary` in .gitattributes; FTP: binary mode)"
        return FormatError(message, where=source.name, hint=hint, rule=RULE)
    return error


def _is_text(sample: bytes) -> bool:
    try:
        text = (sample if len(sample) < _SAMPLE else sample[: -_cut(sample)]).decode()
    except UnicodeDecodeError:
        return False
    return sum(letter > "\x7f" for letter in text) >= _LETTERS


def _cut(sample: bytes) -> int:
    """How many bytes at the end may be a part of a character."""
    return next((back for back in range(1, 5) if sample[-back] & 0xC0 != 0x80), 4)


def _base64(head: bytes) -> bytes:
    found = re.match(rb"[A-Za-z0-9+/]{16,64}", head)
    if found is None:
        return b""
    whole = found[0][: len(found[0]) // 4 * 4]
    return binascii.a2b_base64(whole)


def _hexadecimal(head: bytes) -> bytes:
    found = re.match(rb"(?:[0-9a-fA-F]{2}){8,32}", head)
    return binascii.unhexlify(found[0]) if found else b""


def _text(head: bytes) -> bytes:
    """Undo UTF-8 over the bytes of a pickle; those of a ZIP archive begin alike in both."""
    if not head.startswith(b"\xc2"):
        return b""
    return head[:64].decode("utf-8", "ignore").encode("latin1", "replace")


_SPELLINGS = (
    _Spelling("base64", _base64, "base64 -d FILE > whole.pt"),
    _Spelling("hexadecimal digits", _hexadecimal, "xxd -r -p FILE > whole.pt"),
    _Spelling("UTF-8", _text, "iconv -f UTF-8 -t ISO-8859-1 FILE > whole.pt"),
)
