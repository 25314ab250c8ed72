"""Half-precision floats read as fp32: every one of them has an equal there."""

from __future__ import annotations

from collections.abc import Iterator

from ckptlint.core.dtype import DType
from ckptlint.core.pieces import Range

_BLOCK = 4 << 20


class Widened:
    """The elements of `dtype`, f16 or bf16, that lie in a record, as a source of fp32."""

    __slots__ = ("_dtype", "_record", "name", "size")

    def __init__(self, record: Range, dtype: DType) -> None:
        self.name = record.source.name
        self.size = 2 * record.length
        self._record = record
        self._dtype = dtype

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes from `offset` on."""
        import numpy as np

        first, last = offset // 4, -(-(offset + length) // 4)
        content = self._record.source.read(self._record.offset + 2 * first, 2 * (last - first))
        if self._dtype.torch == "bfloat16":
            wide = (np.frombuffer(content, "<u2").astype("<u4") << 16).tobytes()
        else:
            wide = np.frombuffer(content, "<f2").astype("<f4").tobytes()
        return wide[offset - 4 * first : offset - 4 * first + length]

    def ranges(self, offset: int, length: int) -> Iterator[Range | bytes]:
        """Return the bytes in order, block by block."""
        for start in range(offset, offset + length, _BLOCK):
            yield self.read(start, min(_BLOCK, offset + length - start))

    def records(self, offset: int, length: int) -> Iterator[Range]:
        """Return the record that they are made of."""
        del offset, length
        yield self._record

    def fileno(self) -> int | None:
        return None

    def check_unchanged(self) -> None:
        self._record.source.check_unchanged()
