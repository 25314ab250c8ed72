"""Compressed data, unpacked in memory as far as a search needs it."""

from __future__ import annotations

import bz2
import lzma
import re
import zlib
from collections.abc import Callable
from typing import Protocol

from ckptlint.core.survey import Odd
from ckptlint.formats.scanning.blobs import MOST_IN_MEMORY, Blob, Finds

_BLOCK = 1 << 16
_BZIP2 = (b"1AY&SY", b"\x17\x72\x45\x38\x50\x90")  # a block, or the end of a stream without one
_MOST_STREAMS = 10_000
_FREELY, _RATIO = (
    64 << 20,
    100,
)  # what the reader unpacks without being told to: these bytes, or so often the packed size
_JOBLIB = re.compile(rb"ZF0x[0-9a-fA-F]+L? *")


class _Machine(Protocol):
    @property
    def unused_data(self) -> bytes: ...

    @property
    def eof(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


def unpack(kind: str, blob: Blob, finds: Finds) -> bytes:
    """Return what a blob unpacks to, the first part of it where that is much; nothing where it is no such data."""
    if UNPACKERS[kind][1]() is None:
        finds.odd(
            Odd.NOT_SEARCHED, f"is compressed with {kind}, which needs a package that is not installed", blob.place
        )
        return b""
    try:
        unpacked = _streams(kind, blob)
    except DamagedError as error:
        unpacked = error.unpacked
        if kind != "zlib" and blob.depth == 0:
            finds.odd(Odd.UNREADABLE, f"is compressed with {kind}, and damaged", blob.place)
    if len(unpacked) >= _most(blob):
        finds.odd(
            Odd.NOT_SEARCHED, f"unpacks to more than {_most(blob)} bytes, which is all that is searched", blob.place
        )
    return unpacked


def _most(blob: Blob) -> int:
    return min(MOST_IN_MEMORY, max(_FREELY, _RATIO * blob.length))


class DamagedError(Exception):
    """Compressed data break off; `unpacked` is what came before."""

    def __init__(self, unpacked: bytes) -> None:
        super().__init__()
        self.unpacked = unpacked


def _streams(kind: str, blob: Blob) -> bytes:
    """Unpack one compressed stream behind the other, as gzip.open and its like do; a first one may well hold nothing."""
    unpacked = bytearray()
    most = _most(blob)
    streams = 0
    machine = _machine(kind)
    at = _first(kind, blob)
    rest = b""
    try:
        while (rest or at < blob.length) and len(unpacked) < most:
            block = rest or blob.read(at, _BLOCK)
            at += 0 if rest else _BLOCK
            unpacked += machine.decompress(block, most - len(unpacked))
            rest = machine.unused_data
            if not machine.eof:
                continue
            streams += 1
            if kind == "zlib" or not (rest or blob.read(at, 1)).strip(b"\0"):
                break  # padding
            if streams > _MOST_STREAMS:
                raise DamagedError(bytes(unpacked))
            machine = _machine(kind)
    except (zlib.error, OSError, EOFError, lzma.LZMAError, ValueError):
        raise DamagedError(bytes(unpacked)) from None
    return bytes(unpacked)


def _machine(kind: str) -> _Machine:
    machine = UNPACKERS[kind][1]()
    assert machine is not None, kind  # noqa: S101  the caller has looked
    return machine


def _first(kind: str, blob: Blob) -> int:
    """Where the data begin: joblib writes their length before them."""
    head = _JOBLIB.match(blob.read(0, 64)) if kind == "zlib" else None
    return head.end() if head else 0


def _zstd() -> _Machine | None:
    try:
        import zstandard  # type: ignore[import-not-found]  # optional
    except ImportError:
        return None
    machine: _Machine = zstandard.ZstdDecompressor().decompressobj()
    return machine


def _lz4() -> _Machine | None:
    return None


UNPACKERS: dict[str, tuple[tuple[bytes, ...], Callable[[], _Machine | None]]] = {
    "gzip": ((b"\x1f\x8b",), lambda: zlib.decompressobj(31)),
    "bzip2": (tuple(b"BZh%d%b" % (level, mark) for level in range(1, 10) for mark in _BZIP2), bz2.BZ2Decompressor),
    "xz": ((b"\xfd7zXZ\0", b"\x5d\0\0"), lzma.LZMADecompressor),
    "zlib": ((b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda", b"ZF0x"), zlib.decompressobj),
    "zstd": ((b"\x28\xb5\x2f\xfd",), _zstd),
    "lz4": ((b"\x04\x22\x4d\x18",), _lz4),
}
