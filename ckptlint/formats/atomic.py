"""An output file that appears whole or not at all.

It is written under a temporary name in the folder it will live in, synced, and renamed over its place; the folder is synced after that.
Whatever stood there before stays byte for byte until the rename, and stays for good where anything fails.
The temporary name is recognisable, so that a killed run's leftover can be told from anything else (`leftovers.py`).
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from types import TracebackType
from typing import BinaryIO, Self

from ckptlint.errors import OutputError, UsageError
from ckptlint.formats.leftovers import hold, is_there, leftovers, temporary_name

_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES})
_FORCE = "--force replaces it"


def check_output(path: str, sources: tuple[str, ...], *, force: bool) -> None:
    """Refuse, before any work, a place that cannot or should not be written: `OutputError` or `UsageError`."""
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise OutputError(f"the folder {folder!r} does not exist", where=path)
    if os.path.isdir(path):
        raise OutputError("is a directory", where=path, hint="give the name of a file")
    if not os.path.exists(path):
        return
    if any(os.path.exists(source) and os.path.samefile(source, path) for source in sources):
        raise UsageError(
            "the output is the input", where=path, hint="write to another file, and move it when you trust it"
        )
    if not force:
        raise UsageError("exists already", where=path, hint=_FORCE)
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OutputError("is not a regular file", where=path)


class AtomicFile:
    """A file being written for `path`; use as a context manager, then call `commit()` inside it to keep the result.

    Without `replace`, a file that has appeared at `path` meanwhile is left alone, and `commit` is a `UsageError`.
    """

    def __init__(self, path: str, *, nbytes: int = 0, replace: bool = True) -> None:
        self.path = os.path.realpath(path)  # a symbolic link stays one: its target is replaced
        self._folder = os.path.dirname(self.path)
        self.temporary = temporary_name(self.path)
        self._nbytes = nbytes
        self._replace = replace
        self._committed = False
        self.file: BinaryIO

    def __enter__(self) -> Self:
        try:
            self._clear()
            descriptor = self._opened()
        except OSError as error:
            raise self._failed(error) from error
        self.file = os.fdopen(descriptor, "r+b")
        try:
            self._prepare(descriptor)
        except OSError as error:
            self._discard()
            raise self._failed(error) from error
        return self

    def _clear(self) -> None:
        """Remove the files that killed runs began for this very place; folders are `settling`'s."""
        for place in list(leftovers(self.path)):
            if not os.path.isdir(place):
                with suppress(FileNotFoundError):  # another run removed it
                    os.unlink(place)

    def _opened(self) -> int:
        # O_EXCL: never follow or truncate what somebody put there; 0o666 so that the umask decides, as for any new file
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_CLOEXEC", 0)
        descriptor = os.open(self.temporary, flags, 0o666)
        while hold(descriptor) and not is_there(descriptor, self.temporary):  # cleared by another run in between
            os.close(descriptor)
            descriptor = os.open(self.temporary, flags, 0o666)
        return descriptor

    def commit(self) -> None:
        """Make the content durable and put it in place."""
        try:
            self.file.flush()
            os.fsync(self.file.fileno())
            if os.name != "posix":
                self.file.close()  # elsewhere what is open cannot be renamed
            move_in(self.temporary, self.path, replace=self._replace)
            self._committed = True
            self.file.close()  # only now: until it has its name, it is ours
            sync_folder(self._folder)
        except OSError as error:
            raise self._failed(error) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del kind, trace
        if not self._committed:
            self._discard()
        if isinstance(error, OSError):
            raise self._failed(error) from error

    def _prepare(self, descriptor: int) -> None:
        if os.path.exists(self.path):
            keep_owner(descriptor, os.stat(self.path))
        allocate(descriptor, self._nbytes)

    def _discard(self) -> None:
        self.file.close()
        if os.path.exists(self.temporary):
            os.unlink(self.temporary)

    def _failed(self, error: OSError) -> OutputError:
        return OutputError(f"cannot be written: {error.strerror or error}", where=self.path)


def keep_owner(descriptor: int, status: os.stat_result) -> None:
    """Give a file that replaces another its owner, as far as this user may, and its mode."""
    if hasattr(os, "fchown"):
        for owner in ((status.st_uid, status.st_gid), (-1, status.st_gid)):
            try:
                os.fchown(descriptor, *owner)
            except PermissionError:
                continue
            break
    os.fchmod(descriptor, stat.S_IMODE(status.st_mode))  # after the owner, whose change takes bits away


def allocate(descriptor: int, nbytes: int) -> None:
    """Take room for a file on the disk, where the system can."""
    if nbytes and hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, 0, nbytes)  # a full disk is better met before an hour of copying
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise


def move_in(temporary: str, path: str, *, replace: bool) -> None:
    """Give a file its name; without `replace`, one that has appeared under it meanwhile is left alone: `UsageError`."""
    if not replace:
        try:
            os.link(temporary, path)  # unlike a rename, fails where something is there
        except FileExistsError as error:
            raise UsageError("appeared while it was being written", where=path, hint=_FORCE) from error
        except OSError as error:
            if error.errno not in _NO_LINKS or os.path.exists(path):
                raise
        else:
            os.unlink(temporary)
            return
    os.replace(temporary, path)


def also_name(path: str, other: str) -> None:
    """Give a file a second name, or, where files can have but one, that name instead."""
    try:
        os.link(path, other)
    except OSError as error:
        if error.errno not in _NO_LINKS or os.path.exists(other):
            raise
        os.replace(path, other)


def sync_folder(folder: str) -> None:
    """Make the names in a folder durable."""
    if os.name != "posix":
        return  # no other system lets a folder be opened and synced
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
