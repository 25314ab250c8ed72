"""Files that end too early: the one error for all formats, and how many bytes a torch.save archive without its end should have had."""

from __future__ import annotations

import struct

from ckptlint.core.checkpoint import ByteSource
from ckptlint.errors import FormatError

_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_MOST_PICKLE = 64 << 20  # bytes of the pickle that are looked at for an estimate
_HINT = "a download or a save was interrupted, or the disk was full; fetch or save it again"


def cut_off(source: ByteSource, needed: int, *, at_least: bool = False, what: str = "") -> FormatError:
    """Say how many of the needed bytes are there; `what` is said about the file beside it."""
    share = f" ({_percent(source.size, needed)})" if needed else ""
    least = "at least " if at_least else ""
    missing = f"{source.size:,} of {least}{needed:,} bytes are there{share}"
    return FormatError(
        f"is cut off: {missing}{what}", where=f"{source.name}: byte {source.size}", hint=_HINT, rule="CKC103"
    )


def cut_off_zip(source: ByteSource) -> FormatError:
    """Judge a ZIP without its directory. torch.save writes its pickle first, which says how large the storages are."""
    needed = _promised(source)
    if needed > source.size:
        return cut_off(source, needed, at_least=True)
    return FormatError(
        f"is cut off: it starts as a ZIP archive, but its {source.size} bytes do not hold the directory that ends one",
        where=f"{source.name}: byte {source.size}",
        hint=_HINT,
        rule="CKC103",
    )


def _promised(source: ByteSource) -> int:
    """The bytes up to the last storage's end that the pickle promises, 0 where that is not there to be read."""
    from ckptlint.formats import pickles

    head = source.read(0, min(source.size, _LOCAL.size))
    if len(head) < _LOCAL.size or head[:4] != b"PK\3\4":
        return 0
    fields = _LOCAL.unpack(head)
    start: int = _LOCAL.size + fields[9] + fields[10]
    method = fields[3]
    if start > source.size or method != 0 or not source.read(_LOCAL.size, fields[9]).endswith(b"/data.pkl"):
        return 0
    content = source.read(start, min(source.size - start, _MOST_PICKLE))
    try:
        pickle = pickles.read(content, source.name)
    except FormatError:
        return 0  # the file ends within the pickle, or is damaged beside
    return start + pickle.end + sum(storage.nbytes for storage in pickle.storages)


def _percent(part: int, whole: int) -> str:
    return f"{min(99.9, 100 * part / whole):.1f} %"
