"""A compressed member of a ZIP as a source: its first bytes are unpacked at once, all of it into a nameless file when more is asked for."""

from __future__ import annotations

import os
import tempfile
import zlib
from collections.abc import Iterator
from threading import Lock

from ckptlint.core.checkpoint import ByteSource
from ckptlint.errors import FormatError
from ckptlint.formats.byte_source import FileSource
from ckptlint.formats.zip_container import Record

_HEAD = 16 << 10  # unpacked bytes that are kept at hand, enough for an array's header
_BLOCK = 1 << 20
_RATIO = 1030  # deflate can do no better
_MOST = 64 << 30  # bytes


class Deflated:
    """A `ByteSource` over what a deflated record unpacks to: as many bytes as its directory says, with its CRC-32, or a `FormatError`."""

    def __init__(self, source: ByteSource, record: Record) -> None:
        self.name = f"{source.name}::{record.name}"
        self.size = record.size
        self._source = source
        self._record = record
        self._file: FileSource | None = None
        self._lock = Lock()
        if record.size > min(_MOST, _RATIO * record.stored + 64):
            raise self._fail(f"would grow from {record.stored} to {record.size} bytes, which no record can")
        self._head = self._beginning()

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes from `offset` on."""
        if offset < 0 or length < 0 or offset + length > self.size:
            message = f"ends early: {length} bytes should be there, {max(0, self.size - offset)} are"
            raise FormatError(message, where=f"{self.name}: byte {offset}", rule="CKC103")
        if offset + length <= len(self._head):
            return self._head[offset : offset + length]
        with self._lock:
            if self._file is None:
                self._file = self._unpacked()
        return self._file.read(offset, length)

    def fileno(self) -> int | None:
        return None

    def check_unchanged(self) -> None:
        self._source.check_unchanged()

    def close(self) -> None:
        """Give the temporary file back."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _beginning(self) -> bytes:
        packed = self._source.read(self._record.start, min(self._record.stored, _HEAD))
        try:
            return zlib.decompressobj(-15).decompress(packed, min(_HEAD, self.size))
        except zlib.error as error:
            raise self._fail(f"is damaged: {error}") from error

    def _unpacked(self) -> FileSource:
        size = check = 0
        try:
            with tempfile.TemporaryFile(prefix="ckptlint-") as file:
                for block in self._blocks():
                    size += len(block)
                    check = zlib.crc32(block, check)
                    file.write(block)
                file.flush()
                if size != self.size or check != self._record.checksum:
                    raise self._fail("does not unpack to what its directory says: its length or its CRC-32 differs")
                return FileSource(os.dup(file.fileno()), self.name)
        except OSError as error:
            message = f"cannot be unpacked to {tempfile.gettempdir()}: {error.strerror or error}"
            raise FormatError(message, where=self.name, hint="TMPDIR chooses another folder") from error

    def _blocks(self) -> Iterator[bytes]:
        machine = zlib.decompressobj(-15)
        at, end, left = self._record.start, self._record.start + self._record.stored, self.size
        packed = b""
        try:
            while not machine.eof and left >= 0:
                if not packed:
                    if at == end:
                        raise self._fail("is cut off: its compressed data does not end")
                    packed = self._source.read(at, min(_BLOCK, end - at))
                    at += len(packed)
                block = machine.decompress(packed, _BLOCK)
                packed = machine.unconsumed_tail
                left -= len(block)
                yield block
        except zlib.error as error:
            raise self._fail(f"is damaged: {error}") from error

    def _fail(self, what: str) -> FormatError:
        return FormatError(
            f"the compressed record {self._record.name} {what}",
            where=f"{self._source.name}: byte {self._record.start}",
            hint="fetch the file again",
        )
