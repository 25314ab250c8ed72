"""Move the pieces of a storage into an output file, and know their CRC-32 afterwards.

Ranges of a source are copied by the system (`copy_file_range` on Linux) without passing through Python; their bytes are seen once more,
beside the copying, where a checksum is wanted of them or must be compared. Small ones are simply read and written.
What is written is sent to the disk while the rest is still being copied, so that the sync at the end finds little left to wait for.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import BinaryIO
from zlib import crc32

from ckptlint.core.pieces import Check, Piece, Range
from ckptlint.errors import FormatError, OutputError
from ckptlint.formats.checking import Aside
from ckptlint.formats.checksums import combine

BLOCK = (
    256 << 10
)  # bytes of a buffer: large enough that a call's cost is nothing, small enough to stay in a core's own cache
_PART = 8 << 20  # bytes that the system copies at once, and that are sent to the disk at once
_SMALL = 256 << 10  # bytes up to which a thread costs more than it saves
_FATAL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})  # writing by hand would fail as well

Progress = Callable[[int], object]


class Sum:
    """A CRC-32 that grows with what is added; whole when the copier has finished."""

    __slots__ = ("length", "value")

    def __init__(self, value: int = 0, length: int = 0) -> None:
        self.value = value
        self.length = length

    def add(self, block: bytes | memoryview) -> None:
        """Add bytes."""
        self.value = crc32(block, self.value)
        self.length += len(block)

    def join(self, other: Sum) -> None:
        """Add bytes that were summed by themselves."""
        self.value = combine(self.value, other.value, other.length) if self.length else other.value
        self.length += other.length


class Copier:
    """Writes pieces at the end of `file`; `verify` compares what has a stored checksum with it. `finish` comes before the end."""

    def __init__(self, file: BinaryIO, progress: Progress, aside: Aside, *, verify: bool = True) -> None:
        self._file = file
        self._progress = progress
        self._aside = aside
        self._verify = verify
        self._by_system = hasattr(os, "copy_file_range")
        self._behind = WriteBehind(file)
        self._later: list[Check] = []

    def store(self, pieces: Iterable[Piece | Check], expected: int, name: str) -> Sum:
        """Write the pieces; return their checksum. `expected` bytes must come, or it is an `OutputError` naming the tensor."""
        total = Sum()
        self._copy(pieces, expected, name, total)
        return total

    def move(self, pieces: Iterable[Piece | Check], expected: int, name: str) -> None:
        """Write the pieces where no checksum is wanted of the whole; ranges are still verified where they have one."""
        self._copy(pieces, expected, name, None)

    def finish(self) -> None:
        """Wait for the checksums; `FormatError` where data is damaged."""
        self._aside.finish()
        for check in self._later:
            found = check.sums.whole(check.offset, check.length) if check.sums is not None else None
            if found is None:  # parts of it were left out, or met twice
                self._read_and_compare(check)
            else:
                _confirm(found, Range(*check[:4]), check.name)
        self._later.clear()
        self._aside.finish()

    def _copy(self, pieces: Iterable[Piece | Check], expected: int, name: str, total: Sum | None) -> None:
        written = 0
        tail = Sum()  # of the blocks since the last range: they are summed while they are in the cache
        for piece in pieces:
            if isinstance(piece, Check):
                self._compare(piece)
            elif isinstance(piece, Range):
                tail = self._joined(tail, total, expected)
                self._range(piece, expected, name, total)
                written += piece.length
            else:
                block = memoryview(piece).cast("B")
                self._block(block, None if total is None else tail)
                written += len(block)
        self._joined(tail, total, expected)
        if written != expected:
            raise OutputError(f"{name} has {written} bytes where {expected} were planned")

    def _joined(self, tail: Sum, total: Sum | None, expected: int) -> Sum:
        """Add a sum to the total, after what is being summed beside the copying; return the next one."""
        if total is None or not tail.length:
            return tail
        self._in_turn(partial(total.join, tail), expected)
        return Sum()

    def _block(self, block: memoryview, tail: Sum | None) -> None:
        """Write a block in parts: of much at once Linux makes huge pages, which take it longer to find."""
        for start in range(0, len(block), BLOCK):
            part = block[start : start + BLOCK]
            if tail is not None:
                tail.add(part)
            self._file.write(part)
            self._moved(len(part))

    def _range(self, piece: Range, expected: int, name: str, total: Sum | None) -> None:
        """Copy a range; its own checksum, computed once, serves all who want to know."""
        in_parts = self._verify and piece.sums is not None
        trusted = None if self._verify else piece.checksum
        checked = self._verify and piece.checksum is not None
        own = Sum() if trusted is None and (total is not None or in_parts or checked) else None
        if piece.length <= _SMALL:
            self._read(piece, own)
        else:
            self._move_and_sum(piece, own)
        if trusted is not None:
            own = Sum(trusted, piece.length)
        if own is not None:
            then = partial(_summed, own, piece, total, name)
            self._in_turn(then, max(piece.length, expected))

    def _in_turn(self, task: Callable[[], None], nbytes: int) -> None:
        """Do something after what is being summed beside the copying, where there is enough of it to be so."""
        if nbytes > _SMALL:
            self._aside.add(task)
        else:
            task()

    def _move_and_sum(self, piece: Range, own: Sum | None) -> None:
        for part in _parts(piece, _PART):
            if own is not None:
                self._aside.add(partial(_sum, part, own))
            self._move(part)

    def _compare(self, check: Check) -> None:
        if not self._verify:
            return
        if check.sums is not None:
            self._later.append(check)  # its parts are summed as they are copied and read
        else:
            self._read_and_compare(check)

    def _read_and_compare(self, check: Check) -> None:
        whole = Range(*check[:4])
        own = Sum()
        if whole.length <= _SMALL:
            _sum(whole, own)
            _confirm(own.value, whole, check.name)
            return
        for part in _parts(whole, _PART):
            self._aside.add(partial(_sum, part, own))
        self._aside.add(lambda: _confirm(own.value, whole, check.name))

    def _read(self, piece: Range, own: Sum | None) -> None:
        for part in _parts(piece, BLOCK):
            block = part.source.read(part.offset, part.length)
            if own is not None:
                own.add(block)
            self._file.write(block)
            self._moved(len(block))

    def _move(self, piece: Range) -> None:
        descriptor = piece.source.fileno()
        if descriptor is None or not self._by_system:
            self._read(piece, None)
            return
        self._file.flush()
        start = 0
        while start < piece.length:
            try:
                moved = os.copy_file_range(descriptor, self._file.fileno(), piece.length - start, piece.offset + start)
            except OSError as error:
                if error.errno in _FATAL:
                    raise
                self._by_system = False  # not between these file systems, or not on this kernel
                self._read(Range(piece.source, piece.offset + start, piece.length - start), None)
                return
            if moved == 0:
                raise FormatError("the file became shorter while it was read", where=piece.source.name)
            start += moved
            self._moved(moved)

    def _moved(self, nbytes: int) -> None:
        self._progress(nbytes)
        self._behind.add(nbytes)


class WriteBehind:
    """Starts the writing of a file's pages to the disk as the file grows, without waiting for it.

    Linux writes a range back when told that its pages are not needed; those that are being written stay in memory. Where the call is
    missing, or the file system knows nothing of it, the sync at the end does all.
    """

    __slots__ = ("_file", "_pending", "_start")

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._pending = 0
        self._start = 0

    def add(self, nbytes: int) -> None:
        """Note that so many bytes were added to the file."""
        self._pending += nbytes
        if self._pending >= _PART and hasattr(os, "posix_fadvise"):
            self._file.flush()
            descriptor = self._file.fileno()
            end = os.lseek(descriptor, 0, os.SEEK_CUR)
            os.posix_fadvise(descriptor, self._start, end - self._start, os.POSIX_FADV_DONTNEED)
            self._start, self._pending = end, 0


def _parts(piece: Range, most: int) -> Iterator[Range]:
    for start in range(0, piece.length, most):
        yield Range(piece.source, piece.offset + start, min(most, piece.length - start))


def _sum(piece: Range, own: Sum) -> None:
    for part in _parts(piece, BLOCK):
        own.add(part.source.read(part.offset, part.length))


def _summed(own: Sum, piece: Range, total: Sum | None, name: str) -> None:
    if piece.checksum is not None:
        _confirm(own.value, piece, name)
    if total is not None:
        total.join(own)
    if piece.sums is not None:
        piece.sums.add(piece.offset, piece.length, own.value)


def _confirm(found: int, piece: Range, name: str) -> None:
    if found != piece.checksum:
        raise FormatError(
            f"the data of {name} is damaged: its CRC-32 is {found:08x}, the file says {piece.checksum:08x}",
            where=f"{piece.source.name}: byte {piece.offset}",
            hint="fetch the file again; --no-verify migrates it as it is",
        )
