"""What a writer is fed: the bytes of one storage, in pieces, each either still in a source or already in memory.

A piece that is a range of a source can be copied by the system without passing through Python; a block was computed. A check between
them is a wish: nothing is written for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

from ckptlint.core.checkpoint import ByteSource, Checkpoint
from ckptlint.core.tree import Storage


class Sums(Protocol):
    """The checksums of the parts of a record that were met, in any order."""

    def add(self, start: int, length: int, checksum: int) -> None:
        """Note a part by its first byte, its length in bytes and its CRC-32."""
        ...

    def whole(self, start: int, length: int) -> int | None:
        """Return the CRC-32 of this stretch where its parts were all met, each once."""
        ...


class Range(NamedTuple):
    """`length` bytes of `source` from `offset` on; `checksum` is their stored CRC-32 where the source has one for just this range.

    `record` is the offset and length of the record that they are only a part of, where that has a stored CRC-32; `sums` wants theirs.
    """

    source: ByteSource
    offset: int
    length: int
    checksum: int | None = None
    record: tuple[int, int] | None = None
    sums: Sums | None = None


class Check(NamedTuple):
    """Nothing to write: bytes of a source that others were made of, to be compared with their stored CRC-32.

    Whoever cuts, casts or reorders the data of a record never reads it in one piece, so nobody would meet what is damaged in it.
    `name` says whose data it is. `sums` may know the checksum already, when everything before the check has been copied.
    """

    source: ByteSource
    offset: int
    length: int
    checksum: int
    name: str
    sums: Sums | None = None


Piece: TypeAlias = Range | bytes | memoryview
Supply: TypeAlias = Callable[[Storage], Iterable[Piece | Check]]
"""Gives the pieces of one output storage, in order, exactly `storage.nbytes` bytes together. A writer calls it once a storage."""


@runtime_checkable
class Composed(Protocol):
    """A byte source that is made of parts of others."""

    def ranges(self, offset: int, length: int) -> Iterator[Range | bytes]:
        """Return its bytes in order: ranges of other sources where they lie there as they should, else put together."""
        ...

    def records(self, offset: int, length: int) -> Iterator[Range]:
        """Return the runs of bytes with a checksum of all that these bytes are made of."""
        ...


def stored(checkpoint: Checkpoint, storage: Storage, start: int, length: int) -> Range:
    """Return bytes of a storage as they are in the file; the stored checksum goes with a whole record."""
    checksum = checkpoint.checksums.get((storage.part, storage.start))
    source, offset = checkpoint.parts[storage.part], storage.start + start
    if checksum is None or (start == 0 and length == storage.nbytes):
        return Range(source, offset, length, checksum)
    return Range(source, offset, length, record=(storage.start, storage.nbytes))
