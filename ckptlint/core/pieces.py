"""What a writer is fed: the bytes of one storage, in pieces, each either still in a source or already in memory.

A piece that is a range of a source can be copied by the system without passing through Python; a block was computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeAlias

from ckptlint.core.checkpoint import ByteSource
from ckptlint.core.tree import Storage


class Range(NamedTuple):
    """`length` bytes of `source` from `offset` on; `checksum` is their stored CRC-32 where the source has one for just this range."""

    source: ByteSource
    offset: int
    length: int
    checksum: int | None = None


Piece: TypeAlias = "Range | bytes | memoryview"
Supply: TypeAlias = Callable[[Storage], Iterable[Piece]]
"""Gives the pieces of one output storage, in order, exactly `storage.nbytes` bytes together. A writer calls it once a storage."""
