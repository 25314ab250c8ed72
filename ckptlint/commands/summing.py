"""The checksums of records that are read to be computed with: what is read once is summed then, while it is in the cache."""

from __future__ import annotations

from collections import defaultdict
from zlib import crc32

from ckptlint.core.checkpoint import ByteSource, Checkpoint
from ckptlint.core.pieces import Range
from ckptlint.core.tree import Storage
from ckptlint.formats.checksums import RecordSums

_CRUMB = 64 << 10  # bytes below which joining sums costs more than reading the record once more


class Summing:
    """Reads a checkpoint's storages as `Checkpoint.read` does, and keeps the CRC-32 of what is read or copied of records that have one."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._records: defaultdict[tuple[ByteSource, int], RecordSums] = defaultdict(RecordSums)

    def read(self, storage: Storage, start: int, length: int) -> bytes:
        """Return bytes of a storage from `start` on."""
        block = self._checkpoint.read(storage, start, length)
        if (storage.part, storage.start) in self._checkpoint.checksums and length >= min(_CRUMB, storage.nbytes):
            place = (self._checkpoint.parts[storage.part], storage.start)
            self._records[place].read.add(storage.start + start, length, crc32(block))
        return block

    def noting(self, piece: Range) -> Range:
        """Return a range that tells its checksum when it is copied, where it is only a part of a record."""
        if piece.record is None:
            return piece
        return piece._replace(sums=self._records[piece.source, piece.record[0]])

    def taken(self, source: ByteSource, start: int) -> RecordSums | None:
        """The checksums that are known of the parts of the record that starts there, None for none; they are kept no longer."""
        return self._records.pop((source, start), None)
