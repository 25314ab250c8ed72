"""Which classes of a project its locks know: read from the locks' own sections of classes alone, and only those that a file is about."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ckptlint.documents.config import Config

if TYPE_CHECKING:
    from ckptlint.commands.locked_classes import Locked
    from ckptlint.core.schema import Schema

_NAME = "schema.lock"
_FOLDER = "ckpt"  # where locks are, unless the settings say otherwise
_SOURCES = ("", "src")
_FACTORY = "factory "  # how the line of a lock begins that says what builds the model
_MARK = b"ckptlint:"


@dataclass
class Locks:
    """The locks of a project: `paths` where they are, `folders` where modules are found, both absolute."""

    paths: tuple[str, ...]
    folders: tuple[str, ...]
    _classes: dict[str, str] | None = field(default=None)

    @classmethod
    def of(cls, config: Config) -> Locks:
        """Those of the configured models; where none is configured, all below `ckpt/`."""
        folder = str(config.folder.absolute())
        named = [os.path.join(folder, each.lock or f"{_FOLDER}/{name}/{_NAME}") for name, each in config.models.items()]
        files = [each.factory.rpartition(":")[0] for each in config.models.values()]
        beside = [os.path.dirname(each) for each in files if each.endswith(".py")]
        folders = dict.fromkeys(os.path.normpath(os.path.join(folder, each)) for each in (*beside, *_SOURCES))
        return cls(tuple(named or _found(os.path.join(folder, _FOLDER))), tuple(folders))

    def about(self, path: str) -> Locked | None:
        """The fingerprints of the classes in a file; None where no lock knows one."""
        if not path.endswith(".py"):
            return None
        if self._classes is None:
            self._classes = {name: text for lock in self.paths for name, text in _read(lock).items()}
        for name in self._modules(path) if self._classes else ():
            inside = {
                each[len(name) + 1 :]: text
                for each, text in self._classes.items()
                if each.startswith(f"{name}.") and not _of_another_module(path, each[len(name) + 1 :])
            }
            if inside:
                from ckptlint.commands.locked_classes import Locked

                return Locked.of(name, inside, self.folders)
        return None

    def knowing(self, path: str) -> int:
        """How many of the locks know a class in a file."""
        names = tuple(f"{name}." for name in self._modules(path))
        return sum(any(each.startswith(names) for each in _read(lock)) for lock in self.paths) if names else 0

    def files(self) -> list[str]:
        """The files of the classes that the locks know, where they are there."""
        return files_of({name for lock in self.paths for name in _read(lock)}, self.folders)

    def _modules(self, path: str) -> list[str]:
        """The dotted names that a file has as a module, seen from each folder."""
        whole = os.path.abspath(path)
        found = []
        for folder in self.folders:
            relative = os.path.relpath(whole, folder)
            if not relative.startswith(".."):
                steps = relative.removesuffix(".py").split(os.sep)
                found.append(".".join(steps[:-1] if steps[-1] == "__init__" else steps))
        return [each for each in dict.fromkeys(found) if each]


def _of_another_module(path: str, name: str) -> bool:
    """Whether a class whose name begins with a package's is of a module in it: `net.Net` of `pkg.net.Net`, seen from `pkg/__init__.py`."""
    first, inner, _ = name.partition(".")
    folder = os.path.dirname(path)
    if not inner or os.path.basename(path) != "__init__.py":
        return False
    return os.path.isfile(os.path.join(folder, f"{first}.py")) or os.path.isdir(os.path.join(folder, first))


def files_of(names: Iterable[str], folders: Iterable[str]) -> list[str]:
    """The files in some folders that classes of these dotted names can be in."""
    modules = {name[:end] for name in names for end, letter in enumerate(name) if letter == "."}
    steps = [each.replace(".", os.sep) for each in sorted(modules)]
    places = [
        os.path.join(folder, each + end)
        for folder in folders
        for each in steps
        for end in (".py", f"{os.sep}__init__.py")
    ]
    return [each for each in dict.fromkeys(places) if os.path.isfile(each)]


def factory_of(reference: str) -> str:
    """The factory that a lock names, or the reference itself."""
    if ":" in os.path.basename(reference) or not os.path.isfile(reference):
        return reference
    with open(reference, "rb") as file:
        lines = file.read(4096).decode("utf-8", "replace").splitlines()
    return next((line.removeprefix(_FACTORY).strip() for line in lines if line.startswith(_FACTORY)), "")


def own_classes(schema: Schema) -> list[str]:
    """The dotted names of the classes that a schema knows and that are not torch's."""
    names = dict.fromkeys((*schema.classes, *schema.modules.values()))
    return [name for name in names if not name.startswith("torch.")]


def commented(schema: Schema, reference: str, config: Config) -> bool:
    """Whether a file with one of a model's own classes has comments for ckptlint; nothing is parsed."""
    place = factory_of(reference).rpartition(":")[0]
    beside = [os.path.join(config.folder, os.path.dirname(place))] if place.endswith(".py") else []
    folders = dict.fromkeys(map(os.path.normpath, (*beside, *Locks.of(config).folders)))
    return any(_has_mark(path) for path in files_of(own_classes(schema), folders))


def _has_mark(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return _MARK in file.read()
    except OSError:
        return False  # what cannot be read has no line to show


def _found(folder: str) -> list[str]:
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    places = [os.path.join(folder, _NAME), *(os.path.join(folder, name, _NAME) for name in names)]
    return [each for each in places if os.path.isfile(each)]


def _read(lock: str) -> dict[str, str]:
    from ckptlint.documents.lock_classes import read_classes

    try:
        with open(lock, encoding="utf-8", errors="replace") as file:
            return read_classes(file.read())
    except OSError:
        return {}  # there is no lock yet; what is wrong with one, its own commands say
