"""Change a few ranges of a file where it lies, so that a kill at any moment loses nothing.

Before the file is touched, a journal beside it (`.NAME.ckptlint-journal`) holds the old and the new bytes of every range, whole and
durable: it appears by a rename after its sync. Then the ranges are written and synced, and the journal goes away. While there is one, the
file is refused by every reader; `recover` writes the new bytes once more, or the old ones, as often as it takes.
That the journal is about this very file is seen by the bytes beside the ranges, which no step changes.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import pairwise
from typing import NamedTuple

from ckptlint.core.checkpoint import ByteSource
from ckptlint.errors import FormatError, OutputError, UsageError
from ckptlint.formats.atomic import AtomicFile, sync_folder
from ckptlint.formats.leftovers import leftovers, remove, taken
from ckptlint.formats.settled import journal_of

_MAGIC = b"ckptlint-journal 1\n"
_WITNESS = 64 << 10  # bytes at either end of an unchanged stretch
_FLAGS = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class Patch(NamedTuple):
    """At byte `at` of a file `old` becomes `new`; only at the end of the file may their lengths differ."""

    at: int
    old: bytes
    new: bytes


class Patched:
    """A `ByteSource` that reads as another one will when it is patched. Nothing is written."""

    def __init__(self, source: ByteSource, patches: Sequence[Patch]) -> None:
        self._source = source
        self._patches = patches
        self.name = source.name
        self.size = max(source.size - len(patches[-1].old) + len(patches[-1].new), 0)

    def read(self, offset: int, length: int) -> bytes:
        if offset + length > self.size:
            raise FormatError(f"has no bytes {offset} to {offset + length}", where=self.name)
        start, end = offset, min(offset + length, self._source.size)
        content = bytearray(self._source.read(start, max(end - start, 0)) if end > start else b"")
        content.extend(bytes(length - len(content)))
        for patch in self._patches:
            first, last = max(start, patch.at), min(offset + length, patch.at + len(patch.new))
            if first < last:
                content[first - start : last - start] = patch.new[first - patch.at : last - patch.at]
        return bytes(content)

    def fileno(self) -> int | None:
        return None

    def check_unchanged(self) -> None:
        self._source.check_unchanged()


def change(path: str, patches: Sequence[Patch]) -> None:
    """Patch a file: done and durable, or, on an error, as it was."""
    real = os.path.realpath(path)
    try:
        descriptor = os.open(real, _FLAGS)
    except OSError as error:
        raise _failed(error, path) from error
    try:
        _alone(descriptor, path)
        status = os.fstat(descriptor)
        if status.st_nlink > 1:
            raise UsageError(f"the file has {status.st_nlink} names (hard links), and all would change", where=path)
        if any(os.pread(descriptor, len(patch.old), patch.at) != patch.old for patch in patches):
            raise FormatError("the file was changed while it was read", where=path)
        journal = _Journal.made(descriptor, patches, status)
        journal.keep(path, stat.S_IMODE(status.st_mode))
        try:
            journal.write(descriptor, undo=False)
        except BaseException:
            journal.write(descriptor, undo=True)
            journal.forget(path)
            raise
        journal.forget(path)
    except OSError as error:
        raise _failed(error, path) from error
    finally:
        os.close(descriptor)


def recover(path: str, *, undo: bool) -> bool:
    """Finish an interrupted change, or take it back; False where there is none. Journals that never were whole are removed."""
    place = journal_of(path)
    for left in list(leftovers(place)):
        remove(left)
    if not os.path.lexists(place):
        return False
    try:
        descriptor = os.open(os.path.realpath(path), _FLAGS)
    except OSError as error:
        raise _failed(error, path) from error
    try:
        _alone(descriptor, path)
        with open(place, "rb") as file:
            journal = _Journal.read(file.read(), place)
        if journal.witness != _witness(descriptor, journal.patches):
            hint = f"the file was replaced since; if it is good, remove {place}"
            raise FormatError("is not the file that the journal beside it is about", where=path, hint=hint)
        journal.write(descriptor, undo=undo)
        journal.forget(path)
    except OSError as error:
        raise _failed(error, path) from error
    finally:
        os.close(descriptor)
    return True


def _alone(descriptor: int, path: str) -> None:
    """Take the file for this process until it is closed."""
    if taken(descriptor):
        raise UsageError("another process is changing it", where=path)


class _Journal(NamedTuple):
    patches: tuple[Patch, ...]
    old_size: int
    witness: str

    @classmethod
    def made(cls, descriptor: int, patches: Sequence[Patch], status: os.stat_result) -> _Journal:
        return cls(tuple(patches), status.st_size, _witness(descriptor, patches))

    @classmethod
    def read(cls, content: bytes, place: str) -> _Journal:
        """Take a journal apart; it is checked whole by its digest."""
        head, body, digest = content[: len(_MAGIC)], content[len(_MAGIC) : -32], content[-32:]
        if head != _MAGIC or sha256(body).digest() != digest:
            raise FormatError("is no whole journal of ckptlint", where=place, hint="the file beside it was not changed")
        line, _, blobs = body.partition(b"\n")
        try:
            said = json.loads(line)
            patches: list[Patch] = []
            at = 0
            for start, old, new in said["patches"]:
                patches.append(Patch(int(start), blobs[at : at + old], blobs[at + old : at + old + new]))
                at += old + new
            patches[-1]  # of none there is no journal
            return cls(tuple(patches), int(said["size"]), str(said["witness"]))
        except (ValueError, LookupError, TypeError, RecursionError) as error:  # whole, and no journal: somebody made it
            raise FormatError("is no journal of ckptlint", where=place, hint="remove it") from error

    def keep(self, path: str, mode: int) -> None:
        """Write the journal, whole or not at all; one that is there is somebody else's change under way."""
        spans = [(patch.at, len(patch.old), len(patch.new)) for patch in self.patches]
        line = json.dumps({"patches": spans, "size": self.old_size, "witness": self.witness})
        body = b"".join([line.encode(), b"\n", *(part for patch in self.patches for part in patch[1:])])
        content = _MAGIC + body + sha256(body).digest()
        with AtomicFile(journal_of(path), nbytes=len(content), replace=False) as out:
            os.fchmod(out.file.fileno(), mode)  # it holds what the file holds
            out.file.write(content)
            out.commit()

    def write(self, descriptor: int, *, undo: bool) -> None:
        """Make the file's ranges the new ones or the old ones, durably."""
        last = self.patches[-1]
        for patch in self.patches:
            _write_all(descriptor, patch.old if undo else patch.new, patch.at)
        os.ftruncate(descriptor, self.old_size if undo else self.old_size - len(last.old) + len(last.new))
        os.fsync(descriptor)

    def forget(self, path: str) -> None:
        os.unlink(journal_of(path))
        sync_folder(os.path.dirname(journal_of(path)))


def _write_all(descriptor: int, content: bytes, at: int) -> None:
    view = memoryview(content)
    while view:
        written = os.pwrite(descriptor, view, at)
        view, at = view[written:], at + written


def _witness(descriptor: int, patches: Sequence[Patch]) -> str:
    """The digest of both ends of all stretches that no patch touches."""
    digest = sha256()
    for start, end in _untouched(patches):
        for at in sorted({start, max(start, end - _WITNESS)}):
            digest.update(os.pread(descriptor, min(_WITNESS, end - at), at))
    return digest.hexdigest()


def _untouched(patches: Sequence[Patch]) -> Iterator[tuple[int, int]]:
    yield 0, patches[0].at
    yield from ((before.at + len(before.old), after.at) for before, after in pairwise(patches))
    last = patches[-1]
    if len(last.old) == len(last.new):
        end = last.at + len(last.old)
        yield end, end + _WITNESS


def _failed(error: OSError, path: str) -> OutputError:
    return OutputError(f"cannot be changed in place: {error.strerror or error}", where=path)
