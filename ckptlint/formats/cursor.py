"""Reading a header whose length nobody says beforehand: forwards, in portions, every length checked against the file before it is read."""

from __future__ import annotations

import struct
from functools import lru_cache

from ckptlint.core.checkpoint import ByteSource
from ckptlint.errors import FormatError
from ckptlint.formats.cut_off import cut_off

_PORTION = 64 << 10  # bytes of the first read; the next ones double
_LARGEST_PORTION = 4 << 20


class Cursor:
    """A place in a source that moves forward. At most `most` bytes may be taken in all, so that no header fills the memory."""

    def __init__(self, source: ByteSource, *, most: int, order: str = "<", portion: int = _PORTION) -> None:
        self.source = source
        self.order = order
        self._most = most
        self._start = 0  # of the portion in the source
        self._portion = b""
        self._at = 0  # in the portion
        self._first = self._next = portion

    @property
    def position(self) -> int:
        return self._start + self._at

    @property
    def left(self) -> int:
        """Bytes from here to the end of the source."""
        return self.source.size - self.position

    def take(self, length: int) -> bytes:
        """Return the next bytes; `FormatError` where the source ends before."""
        end = self._at + length
        if end > len(self._portion):
            self._refill(length)
            end = length
        taken = self._portion[self._at : end]
        self._at = end
        return taken

    def skip(self, length: int) -> None:
        """Move on without reading, also over what is longer than a header may be."""
        if length > self.left:
            raise cut_off(self.source, self.position + length, at_least=True)
        at = self._at + length
        if at <= len(self._portion):
            self._at = at
        else:
            self._most += length
            self._start, self._portion, self._at = self.position + length, b"", 0
            self._next = self._first  # what is skipped tells that little is to be read

    def line(self, most: int) -> bytes:
        """Return the bytes up to the next newline, and it; `FormatError` where there is none within `most` bytes."""
        found = bytearray()
        while len(found) < most:
            if self._at == len(self._portion):
                self._refill(1)
            newline = self._portion.find(b"\n", self._at)
            end = newline + 1 or len(self._portion)
            found += self._portion[self._at : end]
            self._at = end
            if newline >= 0:
                return bytes(found)
        raise self.fail(f"has a line of more than {most} bytes")

    def number(self, code: str) -> int:
        """Return the next integer, of a `struct` code."""
        form = _form(self.order + code)
        return int(form.unpack(self.take(form.size))[0])

    def numbers(self, code: str, count: int) -> tuple[int | float | bool, ...]:
        """Return the next `count` numbers of a `struct` code."""
        width = struct.calcsize(self.order + code)
        self.check(count, width)
        return struct.unpack(f"{self.order}{count}{code}", self.take(count * width))

    def check(self, count: int, width: int) -> None:
        """`FormatError` where `count` things of at least `width` bytes each cannot be in what is left."""
        if count * width > self.left:
            raise cut_off(self.source, self.position + count * width, at_least=True)

    def fail(self, message: str, hint: str = "the file is damaged or was tampered with; fetch it again") -> FormatError:
        """Return the error of a header that is wrong around here."""
        return FormatError(message, where=f"{self.source.name}: byte {self.position}", hint=hint)

    def _refill(self, length: int) -> None:
        position = self.position
        if position + length > self.source.size:
            raise cut_off(self.source, position + length, at_least=True)
        if position + length > self._most:
            raise self.fail(f"the header takes more than {self._most} bytes", "no writer makes such a file")
        size = min(max(length, self._next), self.source.size - position)
        self._next = min(2 * self._next, _LARGEST_PORTION)
        self._portion, self._start, self._at = self.source.read(position, size), position, 0


@lru_cache(64)
def _form(code: str) -> struct.Struct:
    return struct.Struct(code)
