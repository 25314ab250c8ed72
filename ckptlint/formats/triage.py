"""What a file is, told by its first bytes and never by its name, and what to do about it where it is no checkpoint we read."""

from __future__ import annotations

import re

from ckptlint.core.checkpoint import ByteSource
from ckptlint.errors import FormatError
from ckptlint.formats.mangled import refuse_behind, refuse_spelled
from ckptlint.formats.triage_signs import SIGNS
from ckptlint.formats.triage_text import judge_text

HEAD = 4096  # bytes that are looked at

_TABLE_MAGIC = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"  # ends a LevelDB table
_TF_SHARD = re.compile(r"\.data-\d{5}-of-\d{5}\Z")


def recognise(source: ByteSource) -> str:
    """Name the reader for `source`, as `formats.READERS` does, or the compression that it is wrapped in.

    Everything else is a `FormatError` that says what the file is and what would do, with the id of the rule that explains it.
    """
    head = source.read(0, min(source.size, HEAD))
    if not head:
        hint = "a save or download was interrupted, or the disk was full; get it again"
        raise FormatError("is empty: it has 0 bytes", where=source.name, hint=hint, rule="CKC101")
    if _is_safetensors(head):
        return "safetensors"
    sign = next((sign for sign in SIGNS if sign.pattern.match(head)), None)
    if sign is None:
        refuse_spelled(head, source)
        refuse_behind(head, source)
        return judge_text(head, source) or _give_up(head, source)
    if not sign.reader:
        raise FormatError(sign.what, where=source.name, hint=sign.hint, rule=sign.rule)
    return sign.reader


def _is_safetensors(head: bytes) -> bool:
    """A length, then a JSON object: also where the length is a lie, so that the reader can say so."""
    if re.match(rb'\{\s*["}]', head[8:]) is None:
        return False
    return int.from_bytes(head[:8], "little") < 1 << 40 or not head[:8].isascii()


def _give_up(head: bytes, source: ByteSource) -> str:
    if not head.strip(b"\0"):
        raise FormatError(
            f"has nothing but zero bytes at its start (of {source.size} in all)",
            where=source.name,
            hint="space was reserved for it, but a download or copy never filled it; get it again",
            rule="CKC102",
        )
    if source.size >= 48 and source.read(source.size - 8, 8) == _TABLE_MAGIC:
        raise FormatError(
            "is the index of a TensorFlow checkpoint",
            where=source.name,
            hint="convert its weights to PyTorch first",
            rule="CKC143",
        )
    if _TF_SHARD.search(source.name):
        raise FormatError(
            "is named as the data of a TensorFlow checkpoint, which has no names or shapes in it",
            where=source.name,
            hint="convert the checkpoint to PyTorch first; its .index file has the names",
            rule="CKC143",
        )
    raise FormatError(
        f"is no checkpoint that is known; it starts with the bytes {head[:8].hex(' ')}",
        where=source.name,
        hint="check that it is the right file and that it is whole",
        rule="CKC191",
    )
