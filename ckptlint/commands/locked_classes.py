"""What changed in a file's classes since the lock: the file is parsed, and others only where a new name is of a class of theirs."""

from __future__ import annotations

import ast
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ckptlint.engine.syntax import Spot
from ckptlint.source.where.changes import changes
from ckptlint.source.where.fingerprints import Fingerprint
from ckptlint.source.where.folders import folder_root
from ckptlint.source.where.library import Library
from ckptlint.source.where.modules import ModuleCode


@dataclass(frozen=True, slots=True)
class Locked:
    """The fingerprints of a module's classes by their names in it, the module's own name, and where others are found."""

    module: str
    classes: Mapping[str, Fingerprint]
    library: Library

    @classmethod
    def of(cls, module: str, classes: Mapping[str, str], folders: Sequence[str]) -> Locked:
        """Read the fingerprints as a lock has them."""
        library = Library([folder_root(folder) for folder in folders])
        return cls(module, {name: Fingerprint.parse(text) for name, text in classes.items()}, library)


def changed(text: str, tree: ast.Module, path: str, locked: Locked) -> list[Spot]:
    """Where the classes of a module are otherwise than the lock knows them."""
    module = ModuleCode(locked.module, path, text, tree, package=os.path.basename(path) == "__init__.py")
    locked.library.parsed[locked.module] = module
    return [Spot(each.check, each.node, each.what) for each in changes(module, locked.classes, locked.library)]
