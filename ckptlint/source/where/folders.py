"""Folders of the work tree as places of modules."""

from __future__ import annotations

import os
from collections.abc import Callable

from ckptlint.source.where.library import Root


def folder_root(folder: str) -> Root:
    """A folder of the project's own modules."""
    return Root(reader(folder), f"{os.path.relpath(folder)}/".removeprefix("./"))


def reader(folder: str | os.PathLike[str]) -> Callable[[str], bytes | None]:
    """What reads the files below a folder."""

    def read(path: str) -> bytes | None:
        try:
            with open(os.path.join(folder, path), "rb") as file:
                return file.read()
        except OSError:
            return None

    return read
