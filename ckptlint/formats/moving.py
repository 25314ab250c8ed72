"""Put files of a set in their places, one by one, so that a kill at any moment can be finished or taken back.

The files lie complete in a folder beside their places. What is going to be moved is written there before the first move (`.moving`); then
what they replace is set aside, the old index before all else, and they are moved, the new index last. So at no moment does an index stand
beside files that are not its own, and what is where can always be told from the list and the names. A whole folder needs no list: it takes
the place of the old one, which is set aside, by one rename.
"""

from __future__ import annotations

import json
import os
from typing import NamedTuple

from ckptlint.formats.atomic import also_name, keep_owner, move_in, sync_folder
from ckptlint.formats.leftovers import MOVING, OLD, remove


class Moving(NamedTuple):
    """New files `names`, of which `last` makes the others count, go from `work` into `folder`; `old` are set aside first, in this order."""

    work: str
    folder: str
    names: tuple[str, ...]
    last: str
    old: tuple[str, ...]

    @property
    def aside(self) -> str:
        return self.work + OLD

    def announce(self) -> None:
        """Write down what will be moved, durably."""
        place = os.path.join(self.work, MOVING)
        with open(place, "x", encoding="utf-8") as file:
            json.dump({"names": self.names, "last": self.last, "old": self.old}, file)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(self.work)

    def finish(self) -> None:
        """Do what is still to be done."""
        if self.old:
            self._set_aside()
        for name in self.names:
            _move(self._new(name), self._place(name))
        sync_folder(self.folder)
        _move(self._new(self.last), self._place(self.last))
        sync_folder(self.folder)

    def _set_aside(self) -> None:
        """Take the old files away once they can be had from elsewhere for sure: a power cut may undo one half of a move alone."""
        if not os.path.isdir(self.aside):
            os.mkdir(self.aside)
        pairs = [(self._place(name), os.path.join(self.aside, name)) for name in self.old]
        for place, aside in pairs:
            if os.path.lexists(place) and not os.path.lexists(aside):
                also_name(place, aside)
        sync_folder(self.aside)
        sync_folder(self.folder)
        for name, (place, aside) in zip(self.old, pairs, strict=True):
            if _one(place, aside):
                os.unlink(place)
            if os.path.exists(self._new(name)) and os.path.exists(aside):
                _keep_owner(self._new(name), os.stat(aside))

    def forget(self) -> None:
        """All is in place: what was set aside is of no use from here on."""
        os.unlink(self._new(MOVING))
        sync_folder(self.work)
        if os.path.isdir(self.aside):
            remove(self.aside)

    def undo(self) -> None:
        """Take back what was done, last things first."""
        for name in (self.last, *reversed(self.names)):
            new, place, aside = self._new(name), self._place(name), os.path.join(self.aside, name)
            if _one(new, place):
                os.unlink(place)
            elif (
                not os.path.lexists(new)
                and os.path.lexists(place)
                and (name not in self.old or os.path.lexists(aside))
                and not _one(place, aside)
            ):
                os.rename(place, new)
        for name in reversed(self.old):
            _move(os.path.join(self.aside, name), self._place(name))
        if os.path.isdir(self.aside):
            os.rmdir(self.aside)
        sync_folder(self.folder)
        if os.path.exists(self._new(MOVING)):
            os.unlink(self._new(MOVING))

    def _new(self, name: str) -> str:
        return os.path.join(self.work, name)

    def _place(self, name: str) -> str:
        return os.path.join(self.folder, name)


def under_way(work: str) -> Moving | None:
    """Read what a killed run was moving out of its folder, None where it had not begun."""
    try:
        with open(os.path.join(work, MOVING), encoding="utf-8") as file:
            said = json.load(file)
        lists = (tuple(map(str, said["names"])), str(said["last"]), tuple(map(str, said["old"])))
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None  # torn: nothing was moved before it was whole
    if any(name != os.path.basename(name) or not name for name in (*lists[0], lists[1], *lists[2])):
        return None
    return Moving(work, os.path.dirname(work), *lists)


def finish_folder(work: str, path: str) -> None:
    """Finish the replacing of a whole folder, or only the clearing away after it."""
    if _is_whole(work) and not os.path.lexists(path):
        os.rename(work, path)
        sync_folder(os.path.dirname(path))
    if os.path.isdir(work + OLD) and os.path.lexists(path):
        remove(work + OLD)


def undo_folder(work: str, path: str) -> None:
    """Bring the old folder back."""
    if _is_whole(work + OLD) and not os.path.lexists(path):
        os.rename(work + OLD, path)
        sync_folder(os.path.dirname(path))


def _is_whole(folder: str) -> bool:
    """Whether a folder is a distributed checkpoint: its metadata is written last."""
    return os.path.isfile(os.path.join(folder, ".metadata"))


def _move(source: str, target: str) -> None:
    """Move a file, unless that was done already; `UsageError` where somebody has put another in its place."""
    if not os.path.lexists(source):
        return
    if _one(source, target):  # killed between the two halves of a move
        os.unlink(source)
        return
    move_in(source, target, replace=False)


def _one(source: str, target: str) -> bool:
    """Whether two names are one file."""
    if not os.path.lexists(source) or not os.path.lexists(target):
        return False
    return os.path.samestat(os.lstat(source), os.lstat(target))


def _keep_owner(path: str, status: os.stat_result) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        keep_owner(descriptor, status)
    finally:
        os.close(descriptor)
