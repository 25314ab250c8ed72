"""Compressed data, unpacked in memory as far as a search needs it."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Protocol

from ckptlint.core.survey import Odd
from ckptlint.formats.scanning.blobs import MOST_IN_MEMORY, Blob, Finds

_BLOCK = 1 << 20


class _Machine(Protocol):
    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


def unpack(kind: str, blob: Blob, finds: Finds) -> bytes:
    """Return what a blob unpacks to, the first part of it where that is much; nothing where it is no such data."""
    machine = UNPACKERS[kind][1]()
    if machine is None:
        finds.odd(
            Odd.NOT_SEARCHED, f"is compressed with {kind}, which needs a package that is not installed", blob.place
        )
        return b""
    unpacked: list[bytes] = []
    size = at = 0
    try:
        while at < blob.length and size < MOST_IN_MEMORY:
            block = machine.decompress(blob.read(at, _BLOCK), MOST_IN_MEMORY - size)
            unpacked.append(block)
            size += len(block)
            at += _BLOCK
    except (zlib.error, OSError, EOFError, lzma.LZMAError, ValueError):
        if kind != "zlib" and blob.depth == 0:
            finds.odd(Odd.UNREADABLE, f"is compressed with {kind}, and damaged", blob.place)
    if size >= MOST_IN_MEMORY:
        finds.odd(
            Odd.NOT_SEARCHED, f"unpacks to more than {MOST_IN_MEMORY} bytes, which is all that is searched", blob.place
        )
    return b"".join(unpacked)


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
    "bzip2": (tuple(b"BZh%d1AY&SY" % level for level in range(1, 10)), bz2.BZ2Decompressor),
    "xz": ((b"\xfd7zXZ\0", b"\x5d\0\0\x80\0"), lzma.LZMADecompressor),
    "zlib": ((b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda", b"ZF0x"), zlib.decompressobj),
    "zstd": ((b"\x28\xb5\x2f\xfd",), _zstd),
    "lz4": ((b"\x04\x22\x4d\x18",), _lz4),
}
