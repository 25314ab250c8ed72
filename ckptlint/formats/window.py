"""A part of a source as a source of its own: a checkpoint that lies inside another file."""

from __future__ import annotations

from ckptlint.core.checkpoint import ByteSource
from ckptlint.errors import FormatError


class Window:
    """`size` bytes of `source`, from byte `start` on. It has no descriptor: offsets in it are not those of the file."""

    __slots__ = ("name", "size", "source", "start")

    def __init__(self, source: ByteSource, start: int, size: int, name: str) -> None:
        self.source = source
        self.start = start
        self.size = size
        self.name = name

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes; `FormatError` beyond the end of the part, whatever follows it in the file."""
        if offset < 0 or length < 0 or offset + length > self.size:
            raise FormatError(
                f"ends early: {length} bytes should be there, {max(0, self.size - offset)} are",
                where=f"{self.name}: byte {offset}",
                hint="the file is damaged; fetch or save it again",
            )
        return self.source.read(self.start + offset, length)

    def fileno(self) -> int | None:
        return None

    def check_unchanged(self) -> None:
        self.source.check_unchanged()
