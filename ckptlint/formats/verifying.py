"""Compare the data of a checkpoint with the checksums that its file stores: a flipped bit loads as another value, and nobody else looks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple
from zlib import crc32

from ckptlint.core.checkpoint import Checkpoint
from ckptlint.core.pieces import Composed, Range
from ckptlint.core.tree import Storage

_BLOCK = 4 << 20  # bytes


class Damage(NamedTuple):
    """A storage whose bytes are not those that were written: its CRC-32 now, and the one that the file stores for it."""

    storage: Storage
    found: int
    stored: int
    where: str

    def __str__(self) -> str:
        return f"the CRC-32 of storage {self.storage.key} is {self.found:08x}, the file says {self.stored:08x}"


def damages(checkpoint: Checkpoint, progress: Callable[[int], object] = lambda _: None) -> Iterator[Damage]:
    """Yield each damaged storage, in file order; `progress` is told how many bytes were read.

    Pickles and small records were compared when the checkpoint was opened. Storages without a stored checksum cannot be judged:
    `unchecked` names them.
    """
    met: set[tuple[int, int]] = set()  # records that several storages are in
    for storage in sorted(checkpoint.storages, key=lambda storage: (storage.part, storage.start)):
        for record in _records(checkpoint, storage):
            place = (id(record.source), record.offset)
            if record.checksum is None or place in met:
                continue
            met.add(place)
            found = _sum(record, progress)
            if found != record.checksum:
                yield Damage(storage, found, record.checksum, f"{record.source.name}: byte {record.offset}")


def unchecked(checkpoint: Checkpoint) -> list[Storage]:
    """The storages that have data and no checksum: all of a legacy file or a safetensors file, none of most torch zips."""
    return [
        storage
        for storage in checkpoint.storages
        if storage.nbytes and sum(record.length for record in _records(checkpoint, storage)) < storage.nbytes
    ]


def _records(checkpoint: Checkpoint, storage: Storage) -> Iterable[Range]:
    """The runs of bytes with a checksum that a storage is in, or is put together from."""
    source = checkpoint.parts[storage.part]
    if isinstance(source, Composed):
        return source.records(storage.start, storage.nbytes)
    checksum = checkpoint.checksums.get((storage.part, storage.start))
    known = checksum is not None and storage.nbytes
    return [Range(source, storage.start, storage.nbytes, checksum)] if known else []


def _sum(record: Range, progress: Callable[[int], object]) -> int:
    found = 0
    for start in range(0, record.length, _BLOCK):
        block = record.source.read(record.offset + start, min(_BLOCK, record.length - start))
        found = crc32(block, found)
        progress(len(block))
    return found
