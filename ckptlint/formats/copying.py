"""Move the pieces of a storage into an output file, and know their CRC-32 afterwards.

Ranges go through a buffer when their checksum is wanted, since the bytes must be seen once; otherwise the system copies them
(`copy_file_range` on Linux) without passing them through Python.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from itertools import chain
from typing import BinaryIO
from zlib import crc32

from ckptlint.core.pieces import Piece, Range
from ckptlint.errors import FormatError, OutputError

BLOCK = (
    4 << 20
)  # bytes of a buffer: large enough that a call's cost is nothing, small enough to stay in the cache of most machines

Progress = Callable[[int], object]


class Copier:
    """Writes pieces at the end of `file`; `verify` compares ranges that have a stored checksum with it while they pass."""

    def __init__(self, file: BinaryIO, progress: Progress, *, verify: bool = True) -> None:
        self._file = file
        self._progress = progress
        self._verify = verify

    def copy(self, pieces: Iterable[Piece], expected: int, name: str) -> int:
        """Write the pieces; return their CRC-32. `expected` bytes must come, or it is an `OutputError` naming the tensor."""
        checksum = written = 0
        for piece in pieces:
            if isinstance(piece, Range):
                checksum = self._copy_range(piece, checksum, name)
                written += piece.length
            else:
                block = memoryview(piece).cast("B")
                checksum = crc32(block, checksum)
                self._file.write(block)
                self._progress(len(block))
                written += len(block)
        if written != expected:
            raise OutputError(f"{name} has {written} bytes where {expected} were planned")
        return checksum

    def store(self, pieces: Iterable[Piece], expected: int, name: str) -> int:
        """Like `copy`; a single range whose checksum is known and not to be verified is moved by the system instead."""
        iterator = iter(pieces)
        first = next(iterator, None)
        if first is None:
            return self.copy((), expected, name)
        if not self._verify and isinstance(first, Range) and first.checksum is not None and first.length == expected:
            self._move_range(first)
            return first.checksum
        return self.copy(chain((first,), iterator), expected, name)

    def move(self, pieces: Iterable[Piece], expected: int, name: str) -> None:
        """Write the pieces where no checksum is wanted of the whole; ranges are still verified where they have one."""
        written = 0
        for piece in pieces:
            if isinstance(piece, Range) and not (self._verify and piece.checksum is not None):
                self._move_range(piece)
                written += piece.length
            elif isinstance(piece, Range):
                self._copy_range(piece, 0, name)
                written += piece.length
            else:
                block = memoryview(piece).cast("B")
                self._file.write(block)
                self._progress(len(block))
                written += len(block)
        if written != expected:
            raise OutputError(f"{name} has {written} bytes where {expected} were planned")

    def _copy_range(self, piece: Range, checksum: int, name: str) -> int:
        own = 0
        follows = checksum == 0  # a piece that comes first has the checksum of the whole so far
        for start in range(0, piece.length, BLOCK):
            block = piece.source.read(piece.offset + start, min(BLOCK, piece.length - start))
            checksum = crc32(block, checksum)
            if self._verify and piece.checksum is not None:
                own = checksum if follows else crc32(block, own)
            self._file.write(block)
            self._progress(len(block))
        if self._verify and piece.checksum is not None and own != piece.checksum:
            raise FormatError(
                f"the data of {name} is damaged: its CRC-32 is {own:08x}, the file says {piece.checksum:08x}",
                where=f"{piece.source.name}: byte {piece.offset}",
                hint="fetch the file again; --no-verify migrates it as it is",
            )
        return checksum

    def _move_range(self, piece: Range) -> None:
        descriptor = piece.source.fileno()
        if descriptor is None or not hasattr(os, "copy_file_range"):
            for start in range(0, piece.length, BLOCK):
                block = piece.source.read(piece.offset + start, min(BLOCK, piece.length - start))
                self._file.write(block)
                self._progress(len(block))
            return
        self._file.flush()
        start = 0
        while start < piece.length:
            length = min(64 << 20, piece.length - start)
            moved = os.copy_file_range(descriptor, self._file.fileno(), length, piece.offset + start)
            if moved == 0:
                raise FormatError("the file became shorter while it was read", where=piece.source.name)
            start += moved
            self._progress(moved)
