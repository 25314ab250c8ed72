"""Byte sources for tests: bytes in memory that count what is asked of them."""

from ckptlint.errors import FormatError


class Counted:
    """A source over bytes, or over another source; `reads` counts calls, `taken` bytes."""

    def __init__(self, content, name="file"):
        self._content = content
        self.name = name
        self.size = len(content) if isinstance(content, bytes) else content.size
        self.reads = 0
        self.taken = 0

    def read(self, offset, length):
        self.reads += 1
        self.taken += length
        if not isinstance(self._content, bytes):
            return self._content.read(offset, length)
        if offset < 0 or length < 0 or offset + length > self.size:
            raise FormatError("ends early", where=self.name)
        return self._content[offset : offset + length]

    def fileno(self):
        return None

    def check_unchanged(self):
        pass
