"""A compressed checkpoint, unpacked to a temporary file that has no name, so that nothing is left behind however the process ends.

The unpacked size is bounded: by the caller's limit, or by a multiple of the packed size that no trained checkpoint reaches.
"""

from __future__ import annotations

import io
import os
import tempfile
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, Protocol

from ckptlint.core.checkpoint import ByteSource
from ckptlint.errors import FormatError
from ckptlint.formats.byte_source import FileSource
from ckptlint.formats.zstd_frames import check_whole

_BLOCK = 1 << 20
_PACKED = 1 << 16  # bytes that are taken at once of what is packed
_MOST = 64 << 30  # bytes, where the caller does not say
_FREELY = 64 << 20  # bytes; so much may come of a file of any size
_RATIO = 100  # trained weights hardly shrink; files of zeros do, and need the caller's word


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


def unpack(source: ByteSource, kind: str, *, most: int | None = None) -> FileSource:
    """Unpack `source`, of kind gzip, bzip2, xz, lzma, zlib or zstd, into a source of its own; at most `most` bytes.

    A stream that is cut off, damaged or too large is a `FormatError`, as is a disk that is full.
    """
    limit = most if most is not None else min(_MOST, max(_FREELY, _RATIO * source.size))
    if kind == "zstd":
        check_whole(source)
    stream = _STREAMS[kind](io.BufferedReader(_Raw(source), _BLOCK), source.name)
    try:
        with tempfile.TemporaryFile(prefix="ckptlint-") as file:
            _copy(_blocks(stream, source), file, limit, source)
            file.flush()
            return FileSource(os.dup(file.fileno()), source.name)
    except OSError as error:
        message = f"cannot be unpacked to {tempfile.gettempdir()}: {error.strerror or error}"
        raise FormatError(message, where=source.name, hint="TMPDIR chooses another folder") from error


def _copy(blocks: Iterator[bytes], file: BinaryIO, limit: int, source: ByteSource) -> None:
    size = 0
    for block in blocks:
        size += len(block)
        if size > limit:
            raise FormatError(
                f"unpacks to more than {limit} bytes, from {source.size}",
                where=source.name,
                hint="allow it with --max-unpacked if you trust the file",
            )
        file.write(block)


def _blocks(stream: _Stream, source: ByteSource) -> Iterator[bytes]:
    while True:
        try:
            block = stream.read(_BLOCK)
        except EOFError as error:
            raise FormatError(
                "is cut off: its compressed data does not end",
                where=f"{source.name}: byte {source.size}",
                hint="a download or a save was interrupted; fetch it again",
                rule="CKC103",
            ) from error
        except (OSError, zlib.error) as error:  # what gzip and bz2 raise for bad data
            raise FormatError(
                f"the compressed data is damaged: {error}", where=source.name, hint="fetch it again"
            ) from error
        if not block:
            return
        yield block


class _Raw(io.RawIOBase):
    """A source as the file that the decompressors of the standard library want."""

    def __init__(self, source: ByteSource) -> None:
        super().__init__()
        self._source = source
        self._at = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # the base names its own buffer type
        block = self._source.read(self._at, min(len(buffer), self._source.size - self._at))
        buffer[: len(block)] = block
        self._at += len(block)
        return len(block)


def _gzip(raw: io.BufferedReader, _: str) -> _Stream:
    import gzip

    return gzip.GzipFile(fileobj=raw)


def _bzip2(raw: io.BufferedReader, _: str) -> _Stream:
    import bz2

    return bz2.BZ2File(raw)


def _xz(raw: io.BufferedReader, name: str) -> _Stream:
    try:
        import lzma
    except ImportError as error:  # a Python that was built without it
        hint = "unpack it with `xz -d`"
        raise FormatError("is compressed with xz", where=name, hint=hint, rule="CKC122") from error
    return _Foreign(lzma.LZMAFile(raw), lzma.LZMAError)


class _Zlib:
    """A zlib stream, as joblib writes it."""

    def __init__(self, raw: io.BufferedReader) -> None:
        self._raw = raw
        self._unpacking = zlib.decompressobj()

    def read(self, size: int, /) -> bytes:
        while not self._unpacking.eof:
            packed = self._unpacking.unconsumed_tail or self._raw.read(_PACKED)
            block = self._unpacking.decompress(packed, size)
            if block:
                return block
            if not packed:
                raise EOFError
        if self._unpacking.unused_data or self._raw.read(1):
            raise OSError("something follows its end")
        return b""


def _zlib(raw: io.BufferedReader, _: str) -> _Stream:
    return _Zlib(raw)


def _zstd(raw: io.BufferedReader, name: str) -> _Stream:
    try:
        import zstandard  # type: ignore[import-not-found]  # optional
    except ImportError as error:
        hint = "unpack it with `zstd -d`, or pip install zstandard"
        raise FormatError("is compressed with zstd", where=name, hint=hint, rule="CKC122") from error
    return _Foreign(zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True), zstandard.ZstdError)


class _Foreign:
    """A stream whose faults are its own, made to fail like those of gzip and bzip2."""

    def __init__(self, stream: _Stream, fault: type[Exception]) -> None:
        self._stream = stream
        self._fault = fault

    def read(self, size: int, /) -> bytes:
        try:
            return self._stream.read(size)
        except self._fault as error:
            raise OSError(str(error)) from error


_STREAMS: dict[str, Callable[[io.BufferedReader, str], _Stream]] = {
    "gzip": _gzip,
    "bzip2": _bzip2,
    "xz": _xz,
    "lzma": _xz,
    "zlib": _zlib,
    "zstd": _zstd,
}
