"""What a disk may hold after a power cut: the calls of a run are recorded, and every state is built that they allow.

A file's bytes are sure once it was synced, a name once its folder was synced after it was given. Of what came later the bytes may be lost,
whole or in part, and the names from any moment on.
"""

import itertools
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ckptlint.formats.copying import Copier

CALLS = ("open", "pwrite", "ftruncate", "link", "unlink", "replace", "rename", "mkdir", "rmdir", "copy_file_range")
Entry = tuple[int, str]  # a folder, and a name in it
Tree = dict[str, tuple[int, bytes]]  # a number for each file, which may have several names; folders end with /


class Change(NamedTuple):
    """Names that a call gave (what they name) or took away (None)."""

    entries: dict[Entry, int | None]


class Recorder:
    """Records what happens below a folder; `moments` are the states that a cut may leave, in order."""

    def __init__(self, folder: Path, patch, *, blind_to=()) -> None:
        self.folder, self.states = folder, {}
        self.numbers: dict[int, int] = {}  # of what is there now, by inode; these are used again, so each gets a number
        self.count = itertools.count()
        self.root = self._number(os.stat(folder).st_ino)
        self.lock = threading.RLock()
        self.blind_to = blind_to
        self.folders: set[int] = {self.root}
        self.names, self.bytes = self._seen()
        self.sure_names, self.sure_bytes = dict(self.names), dict(self.bytes)
        self.changes: list[Change] = []  # that no sync has made sure
        for name in CALLS:
            patch.setattr(os, name, self._watched(getattr(os, name)))
        patch.setattr(os, "fsync", self._synced(os.fsync))
        moved = Copier._moved

        def written(copier, nbytes):
            moved(copier, nbytes)
            copier._file.flush()
            self._look()

        patch.setattr(Copier, "_moved", written)

    def _number(self, inode: int) -> int:
        return self.numbers.setdefault(inode, next(self.count))

    def _seen(self) -> tuple[dict[Entry, int], dict[int, bytes]]:
        names, contents, there = {}, {}, {os.stat(self.folder).st_ino}
        waiting = [(self.root, self.folder)]
        while waiting:
            number, folder = waiting.pop()
            with os.scandir(folder) as entries:
                found = sorted(entries, key=lambda each: each.name)
            for each in found:
                inode = each.inode()
                there.add(inode)
                own = names[number, each.name] = self._number(inode)
                if each.is_dir(follow_symlinks=False):
                    self.folders.add(own)
                    waiting.append((own, Path(each.path)))
                else:
                    contents[own] = Path(each.path).read_bytes()
        for inode in self.numbers.keys() - there:
            del self.numbers[inode]
        return names, contents

    def _look(self) -> None:
        with self.lock:
            names, contents = self._seen()
            entries = {entry: names.get(entry) for entry in names.keys() | self.names.keys()}
            changed = {entry: new for entry, new in entries.items() if new != self.names.get(entry)}
            if changed:
                self.changes.append(Change(changed))
            self.names, self.bytes = names, contents
            self._note()

    def _watched(self, real):
        def call(*given, **more):
            with self.lock:
                try:
                    return real(*given, **more)
                finally:
                    self._look()

        return call

    def _synced(self, real):
        def call(descriptor):
            with self.lock:
                real(descriptor)
                self._look()
                status = os.fstat(descriptor)
                number = self.numbers.get(status.st_ino)
                kind = "folder" if stat.S_ISDIR(status.st_mode) else "file"
                if number is None or kind in self.blind_to:
                    return
                if kind == "file":
                    self.sure_bytes[number] = self.bytes[number]
                else:
                    self._make_sure(number)
                self._note()

        return call

    def _make_sure(self, folder: int) -> None:
        later = []
        for change in self.changes:
            if any(entry[0] == folder for entry in change.entries):
                self.sure_names.update(change.entries)
            else:
                later.append(change)
        self.changes = later

    def _note(self) -> None:
        for kept in range(len(self.changes) + 1):
            names = dict(self.sure_names)
            for change in self.changes[:kept]:
                names.update(change.entries)
            for tear in (_lost, _kept, _first_half, _second_half):
                tree = dict(self._built(names, tear, self.root, ""))
                self.states.setdefault(tuple(sorted(tree.items())), tree)

    def _built(self, names, tear, folder: int, above: str) -> Iterator[tuple[str, tuple[int, bytes]]]:
        for (owner, name), number in names.items():
            if owner != folder or number is None:
                continue
            if number in self.folders:
                yield f"{above}{name}/", (number, b"")
                yield from self._built(names, tear, number, f"{above}{name}/")
            else:
                sure = self.sure_bytes.get(number, b"")
                yield above + name, (number, tear(sure, self.bytes.get(number, sure)))


def _lost(sure: bytes, new: bytes) -> bytes:
    return sure


def _kept(sure: bytes, new: bytes) -> bytes:
    return new


def _first_half(sure: bytes, new: bytes) -> bytes:
    middle = _middle(sure, new)
    return new[:middle] + sure[middle:].ljust(len(new) - middle, b"\0")[: len(new) - middle] if sure != new else new


def _second_half(sure: bytes, new: bytes) -> bytes:
    middle = _middle(sure, new)
    return sure[:middle].ljust(middle, b"\0") + new[middle:] if sure != new else new


def _middle(sure: bytes, new: bytes) -> int:
    """The middle of what differs."""
    differing = [at for at in range(len(new)) if sure[at : at + 1] != new[at : at + 1]]
    return differing[len(differing) // 2] if differing else len(new)


def put(tree: Tree, folder: Path) -> None:
    """Make a folder hold this."""
    first: dict[int, Path] = {}
    for name, (number, content) in sorted(tree.items()):
        path = folder / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
        elif number in first:
            os.link(first[number], path)
        else:
            path.write_bytes(content)
            first[number] = path
