"""How files of many kinds begin: what each is, the rule that explains it, what would do, and who reads it where somebody does."""

from __future__ import annotations

import re
from typing import NamedTuple

_LEGACY_MAGIC = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."  # LONG1 0x1950A86A20F9469CFC6C STOP


class Sign(NamedTuple):
    """A form that a file can have. `reader` names who reads it; where nobody does, `rule`, `what` and `hint` say what it is."""

    pattern: re.Pattern[bytes]
    reader: str = ""
    rule: str = ""
    what: str = ""
    hint: str = ""


def _read(pattern: bytes, reader: str) -> Sign:
    return Sign(re.compile(pattern, re.DOTALL), reader)


def _refused(rule: str, pattern: bytes, what: str, hint: str) -> Sign:
    return Sign(re.compile(pattern, re.DOTALL), "", rule, what, hint)


FOREIGN_PICKLE = "CKC145"

_RESAVE = "load it where it was made, and torch.save its state dict"
_NAME = "check that it is the right file"
_UNPACK = "unpack it, and name the checkpoint that is in it"
_SOURCE = "use the PyTorch checkpoint it was converted from"

_CONTAINERS = (
    _read(rb"PK\x03\x04", "torch-zip"),
    _refused("CKC101", rb"PK\x05\x06", "is an empty ZIP archive", "nothing was saved; save the checkpoint again"),
    _refused(
        "CKC123",
        rb"PK\x07\x08",
        "is one volume of a split ZIP archive",
        "join the volumes first: zip -s 0 FILE -O WHOLE",
    ),
    _read(rb"\x1f\x8b", "gzip"),
    _read(rb"BZh[1-9]", "bzip2"),
    _read(rb"\x28\xb5\x2f\xfd", "zstd"),
    _read(rb"\xfd7zXZ\0", "xz"),
    _refused("CKC122", rb"\x04\x22\x4d\x18", "is compressed with lz4", "unpack it with `lz4 -d`"),
    _refused("CKC123", rb"7z\xbc\xaf\x27\x1c", "is a 7-Zip archive", _UNPACK),
    _refused("CKC123", rb"Rar!\x1a\x07", "is a RAR archive", _UNPACK),
    _refused(
        "CKC124",
        rb"Salted__|age-encryption\.org/|-----BEGIN (PGP|AGE)|\x8c\x0d\x04|gocryptfs|LUKS\xba\xbe",
        "is encrypted",
        "decrypt it first",
    ),
)
_OTHER_MODELS = (
    _read(rb"GGUF", "gguf"),
    _refused("CKC144", rb"lmgg|tjgg|fmgg", "is a GGML model, of llama.cpp before GGUF", _SOURCE),
    _refused(
        "CKC142",
        rb"\x89HDF\r\n\x1a\n",
        "is an HDF5 file, as Keras saves weights; it is no PyTorch checkpoint",
        "convert its weights with Keras itself",
    ),
    _read(rb"\x93NUMPY", "npy"),
    _refused("CKC143", rb"....TFL3", "is a TensorFlow Lite model, not a PyTorch checkpoint", _SOURCE),
    _refused(
        "CKC143",
        rb"\x08\x01\x12.*serve",
        "is a TensorFlow SavedModel, not a PyTorch checkpoint",
        "convert its weights first",
    ),
    _refused(
        "CKC141",
        rb"\x08[\x01-\x14][\x12\x1a\x22\x3a\x42]",
        "is an ONNX model, not a PyTorch checkpoint",
        "use the checkpoint it was exported from",
    ),
    _refused("CKC144", rb"....(ET[0-9]{2}|PTMF)", "is a program for ExecuTorch or torch mobile", _SOURCE),
    _refused("CKC144", rb"[fp]trt", "is a TensorRT engine, made for one GPU", _SOURCE),
    _refused("CKC144", rb"\x12\x01\0{6}", "is an MXNet parameter file", "convert its weights with MXNet itself"),
    _refused(
        "CKC144",
        rb"\0{4}[\x01\x02]\0{3}[\0\x05]\0{3}",
        "is a Darknet weights file, which has no names",
        "convert it with the code of the PyTorch model that reads it",
    ),
)
_STRANGERS = (
    _refused(
        "CKC131",
        rb"\x89PNG|\xff\xd8\xff|GIF8|RIFF....WEBP|BM....\0\0\0\0|II\*\0|MM\0\*",
        "is an image, not a checkpoint",
        _NAME,
    ),
    _refused("CKC131", rb"RIFF....WAVE|OggS|fLaC|ID3|....ftyp", "is audio or video, not a checkpoint", _NAME),
    _refused("CKC132", rb"%PDF", "is a PDF document, not a checkpoint", _NAME),
    _refused(
        "CKC133",
        rb"\x7fELF|MZ.{58}|\xcf\xfa\xed\xfe|\xca\xfe\xba\xbe",
        "is a program or library, not a checkpoint",
        _NAME,
    ),
    _refused("CKC134", rb"SQLite format 3\0", "is an SQLite database, not a checkpoint", _NAME),
    _refused("CKC134", rb"PAR1|ARROW1", "is a Parquet or Arrow table, not a checkpoint", _NAME),
)
_TORCH = (
    _refused("CKC146", rb"PYTORCH1", "is in the preview format of torch 1.0", _RESAVE),
    _read(rb"(sys_info|pickle|storages|tensors)\0.{100,256}ustar", "torch-tar"),
    _read(rb".{257}ustar", "tar"),
    _read(rb"\x80[\x02-\x05](\x95.{8})?" + re.escape(_LEGACY_MAGIC), "torch-legacy"),
    _read(
        rb"\x80[\x02-\x05][\x80-\xff]*[(\]}){cC\x8a\x8c\x95X\x58\x4b\x4a]|(\(dp|\(lp|ccopy_reg\n|ccollections\n|cnumpy[\w.]*\n)"
        rb"|[}\]]q\0[(XUK]",
        "bare-pickle",
    ),
    _read(rb"x[\x01\x5e\x9c\xda]", "zlib"),
    _read(rb"\x5d\0\0.\0\xff{8}", "lzma"),
)
_MSGPACK = (
    _read(rb"([\x81-\x8f]|\xde..|\xdf....)([\xa1-\xbf]|[\xd9].|\xda..)[\w./-]", "flax"),
)  # last: it says little
SIGNS = (*_CONTAINERS, *_OTHER_MODELS, *_STRANGERS, *_TORCH, *_MSGPACK)
