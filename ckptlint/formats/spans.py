"""A part of a source as a source of its own: a member of an archive that is stored as it is."""

from __future__ import annotations

from ckptlint.core.checkpoint import ByteSource
from ckptlint.errors import FormatError


class Span:
    """A `ByteSource` over `size` bytes of another one, from `start` on. It has no descriptor: offsets would not be its own."""

    __slots__ = ("_source", "_start", "name", "size")

    def __init__(self, source: ByteSource, start: int, size: int, name: str) -> None:
        if start < 0 or size < 0 or start + size > source.size:
            raise FormatError(f"{size} bytes should lie at byte {start}, the file has {source.size}", where=source.name)
        self._source = source
        self._start = start
        self.name = name
        self.size = size

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes from `offset` on."""
        if offset < 0 or length < 0 or offset + length > self.size:
            message = f"ends early: {length} bytes should be there, {max(0, self.size - offset)} are"
            raise FormatError(message, where=f"{self.name}: byte {offset}", rule="CKC103")
        return self._source.read(self._start + offset, length)

    def fileno(self) -> int | None:
        return None

    def check_unchanged(self) -> None:
        self._source.check_unchanged()
