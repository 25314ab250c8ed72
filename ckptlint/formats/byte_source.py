"""A file as ranges of bytes: one descriptor, positioned reads, no mapping.

A mapped file that another process cuts short kills the reader by signal; a positioned read just comes back short, and that is an error
with a place. One descriptor for header and data also means that a file replaced meanwhile is not half read from each.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Self

from ckptlint.errors import FormatError
from ckptlint.formats.leftovers import OLD, is_moving, leftovers
from ckptlint.formats.settled import check_settled

_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
_MANY_FILES = 1 << 16  # as many as a run of tens of thousands of ranks has
_LARGEST_READ = 1 << 30  # bytes; Linux gives at most 2 GiB a call


class FileSource:
    """A `ByteSource` over a regular file. It owns its descriptor until `close`."""

    __slots__ = ("_descriptor", "_stamp", "name", "size")

    def __init__(self, descriptor: int, name: str) -> None:
        status = os.fstat(descriptor)
        self._descriptor = descriptor
        self._stamp = _stamp(status)
        self.name = name
        self.size = status.st_size

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a regular file; anything else (missing, folder, pipe, device, no permission) is a `FormatError`."""
        name = str(path)
        check_settled(name)
        try:
            descriptor = _open(path)
        except (OSError, ValueError) as error:
            raise _unopened(error, path) from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise _not_a_file(path)
        return cls(descriptor, name)

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes from `offset` on."""
        if offset < 0 or length < 0 or offset + length > self.size:
            raise self._ends_early(offset, length, max(0, min(length, self.size - max(offset, 0))))
        try:
            block = self._read_once(offset, min(length, _LARGEST_READ))
            if len(block) == length:
                return block
            blocks = [block]
            got = len(block)
            while block and got < length:
                block = self._read_once(offset + got, min(length - got, _LARGEST_READ))
                blocks.append(block)
                got += len(block)
        except OSError as error:
            raise FormatError(f"cannot be read: {error.strerror}", where=f"{self.name}: byte {offset}") from error
        if got < length:
            raise self._ends_early(offset, length, got)
        return b"".join(blocks)

    def fileno(self) -> int | None:
        return self._descriptor

    @property
    def stamp(self) -> str:
        """What tells this content of the file from another: its size, time and number."""
        return " ".join(map(str, self._stamp))

    def check_unchanged(self) -> None:
        """`FormatError` where the file was written to since it was opened: what was read of it may not fit together."""
        if _stamp(os.fstat(self._descriptor)) != self._stamp:
            raise FormatError(
                "the file was changed while it was read", where=self.name, hint="run again when nobody writes to it"
            )

    def close(self) -> None:
        """Give the descriptor back; closing twice does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _read_once(self, offset: int, length: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._descriptor, length, offset)
        os.lseek(self._descriptor, offset, os.SEEK_SET)  # Windows: one thread at a time
        return os.read(self._descriptor, length)

    def _ends_early(self, offset: int, wanted: int, got: int) -> FormatError:
        return FormatError(
            f"ends early: {wanted} bytes should be there, {got} are",
            where=f"{self.name}: byte {offset}",
            hint="the file is cut off, or was made shorter while it was read; fetch or save it again",
            rule="CKC103",
        )


def _open(path: Path) -> int:
    """Open a file, not blocking: opening a pipe would wait for a writer forever.

    A run of many ranks has more files than a process may open at first.
    """
    try:
        return os.open(path, _FLAGS)
    except OSError as error:
        if error.errno != errno.EMFILE or not _allow_more():
            raise
    return os.open(path, _FLAGS)


def _allow_more() -> bool:
    """Raise the number of files that this process may have open as far as the system lets it; whether that was any further."""
    try:
        import resource
    except ImportError:  # Windows
        return False
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, _MANY_FILES) if hard != resource.RLIM_INFINITY else _MANY_FILES
    if wanted <= soft:
        return False
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return True


def _stamp(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ino


def _unopened(error: OSError | ValueError, path: Path) -> FormatError:
    where = str(path)
    if isinstance(error, FileNotFoundError):
        return FormatError("there is no such file", where=where, hint=_missing_hint(path))
    if isinstance(error, PermissionError):
        if path.is_dir():
            return _not_a_file(path)
        return FormatError("may not be read by this user", where=where, hint=f"chmod u+r {where}")
    if isinstance(error, IsADirectoryError):
        return _not_a_file(path)
    if isinstance(error, OSError) and error.errno == errno.EMFILE:
        hint = "the checkpoint has more files than one process may open; `ulimit -n 65536` allows more"
        return FormatError("cannot be opened: too many files are open", where=where, hint=hint)
    reason = error.strerror if isinstance(error, OSError) else str(error)  # ValueError: a NUL in the name
    return FormatError(f"cannot be opened: {reason}", where=where)


def _missing_hint(path: Path) -> str:
    if path.is_symlink():
        return "it is a symbolic link to a file that is not there"
    if any(each.endswith(OLD) or is_moving(each) for each in leftovers(str(path))):
        return f"a run was killed while it put its files in place: `ckptlint recover {path}` finishes it, with --undo takes it back"
    if not path.parent.is_dir():
        return f"there is no folder {str(path.parent)!r} either"
    return "check the name; a relative name starts at the current folder"


def _not_a_file(path: Path) -> FormatError:
    what = "a folder" if path.is_dir() else "not a regular file (a pipe, socket or device)"
    return FormatError(f"is {what}", where=str(path), hint="name a checkpoint file")
