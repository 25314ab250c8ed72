"""Output files that appear together or not at all.

They are written into a folder with a temporary name beside their place (`.NAME.ckptlint-PID-RANDOM`, recognisable like that of a single
file), each synced. A whole folder then takes its place by one rename. Files of a set are moved one by one, the one that makes the others
count, their index, last: before it is there, nobody reads them. What they replace is set aside first, its own index before all else, and
comes back where anything fails; so at no moment does an index stand beside files that are not its own.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import BinaryIO, Self

from ckptlint.errors import OutputError, UsageError
from ckptlint.formats.atomic import allocate, move_in, sync_folder

_LONGEST_STEM = 200  # bytes of a name that the temporary one repeats


class StagedFolder:
    """A folder of files being written for `path`, the file that is to appear last, or the folder itself; a context manager.

    Inside it, `reserve` all files, `open` and `seal` each, and commit one way or the other; without that nothing is left behind.
    """

    def __init__(self, path: str, *, replace: bool = False) -> None:
        self.path = os.path.realpath(path.rstrip("/") or path)
        self._folder, name = os.path.split(self.path)
        stem = os.fsdecode(os.fsencode(name)[:_LONGEST_STEM])
        self._marked = os.path.join(self._folder, f".{stem}.ckptlint-{os.getpid()}-{secrets.token_hex(4)}")
        self.temporary = self._marked
        self._replace = replace
        self._names: list[str] = []
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        try:
            os.mkdir(self.temporary)
        except OSError as error:
            raise self._failed(error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del kind, trace
        if self._file is not None:
            self._file.close()
        _remove(self.temporary)
        if isinstance(error, OSError):
            raise self._failed(error) from error

    def reserve(self, name: str, nbytes: int) -> None:
        """Make a file with room for `nbytes`: a full disk is better met before an hour of copying."""
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_CLOEXEC", 0)
        descriptor = os.open(os.path.join(self.temporary, name), flags, 0o666)
        self._names.append(name)
        try:
            allocate(descriptor, nbytes)
        finally:
            os.close(descriptor)

    def open(self, name: str) -> BinaryIO:
        """Open a reserved file for writing."""
        self._file = open(os.path.join(self.temporary, name), "r+b")  # noqa: SIM115  `seal` or the end closes it
        return self._file

    def seal(self) -> None:
        """Make the open file durable, and close it."""
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def commit_folder(self) -> None:
        """Put the folder in place, of another one where that was allowed."""
        aside = f"{self._marked}-old"
        try:
            sync_folder(self.temporary)
            if os.path.isdir(self.path) and os.listdir(self.path):
                if not self._replace:
                    raise UsageError("appeared while it was being written", where=self.path, hint="--force replaces it")
                os.rename(self.path, aside)
            self._swap(aside)
        except OSError as error:
            raise self._failed(error) from error
        _remove(aside)

    def _swap(self, aside: str) -> None:
        """Give the folder its name; where that fails, or cannot be made durable, what was there comes back."""
        moved = False
        try:
            os.rename(self.temporary, self.path)
            moved = True
            sync_folder(self._folder)
        except BaseException:
            if moved:
                os.rename(self.path, self.temporary)
            if os.path.isdir(aside):
                os.rename(aside, self.path)
            raise

    def commit_files(self, last: str, *, replaced: Iterable[str] = ()) -> None:
        """Put the files in place, `last` after all others are durable; `replaced` are files beside them that go away with it."""
        names = [name for name in self._names if name != last]
        old = [name for name in dict.fromkeys([last, *names, *replaced]) if os.path.lexists(self._place(name))]
        if old and not self._replace:
            raise UsageError("exists already", where=self._place(old[0]), hint="--force replaces it")
        moved = _Moves()
        try:
            sync_folder(self.temporary)
            aside = self._set_aside(old, moved)
            for name in names:
                moved.move(os.path.join(self.temporary, name), self._place(name))
            sync_folder(self._folder)
            moved.move(os.path.join(self.temporary, last), self._place(last))
            sync_folder(self._folder)
        except BaseException as error:
            moved.undo()
            with suppress(OSError):
                os.rmdir(f"{self._marked}-old")
            if isinstance(error, OSError):
                raise self._failed(error) from error
            raise
        if aside:
            _remove(aside)

    def _set_aside(self, old: Sequence[str], moved: _Moves) -> str:
        """Move what is replaced away, and give its modes to what takes its place."""
        if not old:
            return ""
        aside = f"{self._marked}-old"
        os.mkdir(aside)
        for name in old:
            moved.move(self._place(name), os.path.join(aside, name))
            new = os.path.join(self.temporary, name)
            if os.path.exists(new):
                os.chmod(new, stat.S_IMODE(os.stat(os.path.join(aside, name)).st_mode))
        return aside

    def _place(self, name: str) -> str:
        return os.path.join(self._folder, name)

    def _failed(self, error: OSError) -> OutputError:
        return OutputError(f"cannot be written: {error.strerror or error}", where=self.path)


class _Moves:
    """Renames that can be taken back."""

    def __init__(self) -> None:
        self._done: list[tuple[str, str]] = []

    def move(self, source: str, target: str) -> None:
        move_in(source, target, replace=False)
        self._done.append((source, target))

    def undo(self) -> None:
        while self._done:
            source, target = self._done.pop()
            os.rename(target, source)


def _remove(folder: str) -> None:
    """Remove a folder of files; what is in it was made here, or moved here."""
    if os.path.isdir(folder):
        for name in os.listdir(folder):
            os.unlink(os.path.join(folder, name))
        os.rmdir(folder)
