"""The checksums of records that are read to be computed with: what is read once is summed then, while it is in the cache."""

from __future__ import annotations

from collections import defaultdict
from zlib import crc32

from ckptlint.core.checkpoint import Checkpoint
from ckptlint.core.tree import Storage
from ckptlint.formats.checksums import Runs

_CRUMB = 64 << 10  # bytes below which joining sums costs more than reading the record once more


class Summing:
    """Reads a checkpoint's storages as `Checkpoint.read` does, and knows the CRC-32 of those that were read whole."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._runs: defaultdict[tuple[int, int], Runs] = defaultdict(Runs)
        self._found: dict[tuple[int, int], int] = {}

    def read(self, storage: Storage, start: int, length: int) -> bytes:
        """Return bytes of a storage from `start` on."""
        block = self._checkpoint.read(storage, start, length)
        place = (storage.part, storage.start)
        if place in self._checkpoint.checksums and place not in self._found:
            if length == storage.nbytes:
                self._found[place] = crc32(block)
            elif length >= _CRUMB:
                self._runs[place].add(start, length, crc32(block))
                self._finish(place, storage.nbytes)
        return block

    def found(self, storage: Storage) -> int | None:
        """The checksum of a storage, None where not all of it was read, or only in crumbs."""
        return self._found.get((storage.part, storage.start))

    def _finish(self, place: tuple[int, int], nbytes: int) -> None:
        whole = self._runs[place].whole(0, nbytes)
        if whole is not None:
            self._found[place] = whole
            del self._runs[place]
