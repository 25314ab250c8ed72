"""Output files that appear together or not at all.

They are written into a folder with a temporary name beside their place (`leftovers.py`), each synced. A whole folder then takes its place
by one rename; the files of a set are moved one by one (`moving.py`). What they replace is set aside first, and comes back where anything
fails. Where an output has a `job`, its files are noted as they are finished; an interrupted run leaves these, and the next run of the same
job begins with those that are still what they were.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from types import TracebackType
from typing import BinaryIO, Self

from ckptlint.errors import CkptlintError, OutputError, UsageError
from ckptlint.formats import finished
from ckptlint.formats.atomic import allocate, sync_folder
from ckptlint.formats.checking import Aside
from ckptlint.formats.leftovers import OLD, hold, is_there, leftovers, remove, temporary_name
from ckptlint.formats.moving import Moving, finish_folder, under_way, undo_folder


class StagedFolder:
    """A folder of files being written for `path`, the file that is to appear last, or the folder itself; a context manager.

    Inside it, `reserve` all files, `open` and `seal` each, and commit one way or the other; without that nothing is left behind but
    what the same `job` can begin with. `finished` are the files that an interrupted run left whole.
    """

    def __init__(self, path: str, *, replace: bool = False, job: str = "") -> None:
        self.path = os.path.realpath(path.rstrip("/") or path)
        self._folder = os.path.dirname(self.path)
        self.temporary = temporary_name(self.path)
        self._replace = replace
        self._job = job
        self._names: list[str] = []
        self._file: BinaryIO | None = None
        self._open = ""
        self._descriptor = -1
        self._unsettled = False
        self._aside = Aside()
        self._sealed = 0
        self.finished: frozenset[str] = frozenset()
        self.kept = 0  # how many finished files are left for the next run

    def __enter__(self) -> Self:
        try:
            if not (self._job and self._adopted()):
                self._make()
        except OSError as error:
            self._clear(error)
            if self._descriptor >= 0:
                os.close(self._descriptor)
            raise self._failed(error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._aside.__exit__(kind, error, trace)
        if self._file is not None:
            self._file.close()
        if not self._unsettled:
            self._clear(error)
        if self._descriptor >= 0:
            os.close(self._descriptor)
        if isinstance(error, OSError):
            raise self._failed(error) from error

    def _clear(self, error: BaseException | None) -> None:
        """Remove what is no use; a fault of the data would be the same another time, any other end is not."""
        useful = (
            self._job and error is not None and (isinstance(error, OutputError) or not isinstance(error, CkptlintError))
        )
        if useful and os.path.isdir(self.temporary):
            whole = {*self.finished, *finished.listed(self.temporary)}
            self.kept = len(whole)
            if whole:
                for name in set(os.listdir(self.temporary)) - whole - {finished.LIST}:
                    os.unlink(os.path.join(self.temporary, name))
                return
        if os.path.isdir(self.temporary):
            remove(self.temporary)

    def _make(self) -> None:
        os.mkdir(self.temporary)
        self._descriptor = os.open(self.temporary, os.O_RDONLY)
        if hold(self._descriptor) and not is_there(
            self._descriptor, self.temporary
        ):  # cleared by another run in between
            os.close(self._descriptor)
            self._make()
            return
        if self._job:
            finished.begin(self.temporary, self._job)

    def _adopted(self) -> bool:
        """Go on in the folder of an interrupted run of the same job."""
        for place in list(leftovers(self.path)):  # which holds each while it looks
            if place.endswith(OLD) or not finished.same_job(place, self._job):
                continue
            descriptor = os.open(place, os.O_RDONLY)
            if not hold(descriptor) or not is_there(descriptor, place):
                os.close(descriptor)
                continue
            self.temporary, self._descriptor = place, descriptor
            moving = under_way(place)
            if moving is not None:
                moving.undo()
            elif os.path.isdir(place + OLD):
                remove(place + OLD)  # all had been put in place
            self.finished = frozenset(finished.sound(place))
            for name in set(os.listdir(place)) - self.finished - {finished.LIST}:
                os.unlink(os.path.join(place, name))
            return True
        return False

    def reserve(self, name: str, nbytes: int) -> None:
        """Make a file with room for `nbytes`: a full disk is better met before an hour of copying. One that is finished stays."""
        self._names.append(name)
        if name in self.finished:
            return
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_CLOEXEC", 0)
        descriptor = os.open(os.path.join(self.temporary, name), flags, 0o666)
        try:
            allocate(descriptor, nbytes)
        finally:
            os.close(descriptor)

    def open(self, name: str) -> BinaryIO:
        """Open a reserved file for writing."""
        self._open = name
        self._file = open(os.path.join(self.temporary, name), "r+b")  # noqa: SIM115  `seal` or the end closes it
        return self._file

    def seal(self) -> None:
        """Make the open file durable, and close it; its digest is noted while the next one is written."""
        if self._file is None:
            return
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        if self._job:
            name = self._open
            self._aside.add(lambda: finished.note(self.temporary, name))

    def commit_folder(self) -> None:
        """Put the folder in place, of another one where that was allowed."""
        try:
            sync_folder(self.temporary)
            if os.path.isdir(self.path) and os.listdir(self.path):
                if not self._replace:
                    raise UsageError("appeared while it was being written", where=self.path, hint="--force replaces it")
                os.rename(self.path, self.temporary + OLD)
            self._swap()
        except OSError as error:
            raise self._failed(error) from error

    def _swap(self) -> None:
        """Give the folder its name; where that fails, or cannot be made durable, what was there comes back."""
        moved = False
        try:
            os.rename(self.temporary, self.path)
            moved = True
            sync_folder(self._folder)
        except BaseException:
            if moved:
                os.rename(self.path, self.temporary)
            undo_folder(self.temporary, self.path)
            raise
        finish_folder(self.temporary, self.path)

    def commit_files(self, last: str, *, replaced: Iterable[str] = ()) -> None:
        """Put the files in place, `last` after all others are durable; `replaced` are files beside them that go away with it."""
        names = tuple(name for name in self._names if name != last)
        places = dict.fromkeys([last, *names, *replaced])
        old = tuple(name for name in places if os.path.lexists(os.path.join(self._folder, name)))
        if old and not self._replace:
            raise UsageError("exists already", where=os.path.join(self._folder, old[0]), hint="--force replaces it")
        moving = Moving(self.temporary, self._folder, names, last, old)
        try:
            self._aside.finish()
            sync_folder(self.temporary)
            moving.announce()
            self._move(moving)
        except OSError as error:
            raise self._failed(error) from error
        try:
            moving.forget()
        except OSError:
            self._unsettled = True  # all is in place; the next run clears what is left

    def _move(self, moving: Moving) -> None:
        try:
            moving.finish()
        except BaseException:
            self._unsettled = True  # until it is undone: `recover` needs all there is
            moving.undo()
            self._unsettled = False
            raise

    def _failed(self, error: OSError) -> OutputError:
        return OutputError(f"cannot be written: {error.strerror or error}", where=self.path)
