"""What a file is, told by its first bytes and never by its name, and what to do about it where it is no checkpoint we read."""

from __future__ import annotations

import re
from typing import NamedTuple

from ckptlint.core.checkpoint import ByteSource
from ckptlint.errors import FormatError
from ckptlint.formats.triage_text import judge_text

HEAD = 4096  # bytes that are looked at

_LEGACY_MAGIC = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."  # LONG1 0x1950A86A20F9469CFC6C STOP


class _Sign(NamedTuple):
    """A form that a file can have: what it is and what would do. `reader` names who reads it, empty where nobody does."""

    pattern: re.Pattern[bytes]
    what: str
    hint: str = ""
    reader: str = ""


def _sign(pattern: bytes, what: str, hint: str = "", reader: str = "") -> _Sign:
    return _Sign(re.compile(pattern, re.DOTALL), what, hint, reader)


_RESAVE = "load it where it was made, and torch.save its state dict"
_NAME = "check that it is the right file"
_UNPACK = "unpack it, and name the checkpoint that is in it"
_SIGNS = (
    _sign(rb"PK\x03\x04", "a ZIP archive", reader="torch-zip"),
    _sign(rb"PK\x05\x06", "is an empty ZIP archive", "nothing was saved; save the checkpoint again"),
    _sign(rb"PK\x07\x08", "is one volume of a split ZIP archive", "join the volumes first: zip -s 0"),
    _sign(rb"\x1f\x8b", "gzip", reader="gzip"),
    _sign(rb"BZh[1-9]", "bzip2", reader="bzip2"),
    _sign(rb"\x28\xb5\x2f\xfd", "zstd", reader="zstd"),
    _sign(rb"\xfd7zXZ\0", "is compressed with xz", "unpack it with `xz -d`"),
    _sign(rb"7z\xbc\xaf\x27\x1c", "is a 7-Zip archive", _UNPACK),
    _sign(rb"Rar!\x1a\x07", "is a RAR archive", _UNPACK),
    _sign(rb"\x04\x22\x4d\x18", "is compressed with lz4", "unpack it with `lz4 -d`"),
    _sign(rb"Salted__|age-encryption\.org/|-----BEGIN (PGP|AGE)|\x8c\x0d\x04", "is encrypted", "decrypt it first"),
    _sign(
        rb"GGUF|lmgg|tjgg|fmgg",
        "is a GGUF (llama.cpp) model, which is not read yet",
        "use the PyTorch checkpoint it was converted from",
    ),
    _sign(
        rb"\x89HDF\r\n\x1a\n",
        "is an HDF5 file, as Keras saves weights; it is no PyTorch checkpoint",
        "convert its weights with Keras itself",
    ),
    _sign(rb"\x93NUMPY", "is a NumPy array (npy), which is not read yet", "save it with torch.save or safetensors"),
    _sign(
        rb"\x89PNG|\xff\xd8\xff|GIF8|RIFF....WEBP|BM....\0\0\0\0|II\*\0|MM\0\*", "is an image, not a checkpoint", _NAME
    ),
    _sign(rb"RIFF....WAVE|OggS|fLaC|ID3|....ftyp", "is audio or video, not a checkpoint", _NAME),
    _sign(rb"%PDF", "is a PDF document, not a checkpoint", _NAME),
    _sign(rb"\x7fELF|MZ.{58}|\xcf\xfa\xed\xfe|\xca\xfe\xba\xbe", "is a program or library, not a checkpoint", _NAME),
    _sign(rb"SQLite format 3\0", "is an SQLite database, not a checkpoint", _NAME),
    _sign(rb"PAR1|ARROW1", "is a Parquet or Arrow table, not a checkpoint", _NAME),
    _sign(
        rb"....TFL3", "is a TensorFlow Lite model, not a PyTorch checkpoint", "use the checkpoint it was converted from"
    ),
    _sign(rb"\x08\x01\x12.*serve", "is a TensorFlow SavedModel, not a PyTorch checkpoint", "convert its weights first"),
    _sign(
        rb"\x08[\x01-\x14][\x12\x1a\x22\x3a\x42]",
        "is an ONNX model, not a PyTorch checkpoint",
        "use the checkpoint it was exported from",
    ),
    _sign(
        rb"[\x81-\x8f\xde].{0,4}(params|model|target|step|opt_state)",
        "is a Flax (msgpack) checkpoint, not a PyTorch one",
        "convert it first",
    ),
    _sign(rb"PYTORCH1", "is in the preview format of torch 1.0", _RESAVE),
    _sign(
        rb"(sys_info|pickle|storages|tensors)\0.{100,256}ustar",
        "is in torch's format before 0.1.10, which is not read yet",
        _RESAVE,
    ),
    _sign(rb".{257}ustar", "is a tar archive", _UNPACK),
    _sign(rb"\x80[\x02-\x05](\x95.{8})?" + re.escape(_LEGACY_MAGIC), "torch before 1.6", reader="torch-legacy"),
    _sign(
        rb"\x80[\x02-\x05][\x80-\xff]*[(\]}){cC\x8a\x8c\x95X\x58\x4b\x4a]|(\(dp|\(lp|ccopy_reg\n|ccollections\n)",
        "is a bare pickle, which is not read yet",
        "save it again with torch.save",
    ),
    _sign(
        rb"x[\x01\x5e\x9c\xda]", "is zlib data, as joblib writes", "load it with joblib, and torch.save its state dict"
    ),
)
_TABLE_MAGIC = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"  # ends a LevelDB table


def recognise(source: ByteSource) -> str:
    """Name the reader for `source`: torch-zip, torch-legacy, safetensors, index, gzip, bzip2 or zstd.

    Everything else is a `FormatError` that says what the file is and what would do.
    """
    head = source.read(0, min(source.size, HEAD))
    if not head:
        raise FormatError(
            "is empty: it has 0 bytes",
            where=source.name,
            hint="a save or download was interrupted, or the disk was full; get it again",
        )
    if _is_safetensors(head):
        return "safetensors"
    sign = next((sign for sign in _SIGNS if sign.pattern.match(head)), None)
    if sign is not None and sign.reader:
        return sign.reader
    if sign is not None:
        raise FormatError(sign.what, where=source.name, hint=sign.hint)
    return judge_text(head, source) or _give_up(head, source)


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
        )
    if source.size >= 48 and source.read(source.size - 8, 8) == _TABLE_MAGIC:
        raise FormatError(
            "is the index of a TensorFlow checkpoint", where=source.name, hint="convert its weights to PyTorch first"
        )
    raise FormatError(
        f"is no checkpoint that is known; it starts with the bytes {head[:8].hex(' ')}",
        where=source.name,
        hint="check that it is the right file and that it is whole",
    )
