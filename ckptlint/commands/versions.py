"""The source of a lock's classes, as a revision of git has it and as the work tree does: read as text, never imported."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from ckptlint.commands import blobs
from ckptlint.core.schema import Schema
from ckptlint.engine.registrations import Registered, registered
from ckptlint.engine.source_renames import SourceRenames, source_renames

_OTHERS = ("torch.", "builtins.")


def renames_since(ref: str, folder: Path, old: Schema, new: Schema) -> SourceRenames:
    """What the source says of keys that went and came since a revision of git; nothing where there is no repository."""
    top = blobs.top(folder)
    if top is None or not old.modules:
        return SourceRenames()
    blobs.known(ref, top)
    files = sorted(name for name in blobs.names(ref, top) if name.endswith(".py"))

    @cache
    def both(name: str) -> tuple[Mapping[str, Registered], Mapping[str, Registered]] | None:
        now = top / name
        before = blobs.blob(ref, now) if now.is_file() else None
        return None if before is None else (_classes(before), _classes(now.read_bytes()))

    def versions(name: str) -> tuple[str, Mapping[str, Registered], Mapping[str, Registered]] | None:
        for file, own in _places(name, files):
            found = both(file)
            if found is not None and own in found[0]:
                return own, *found
        return None

    return source_renames(old, new, versions)


def _places(name: str, files: list[str]) -> Iterator[tuple[str, str]]:
    """The files in which a class may be, and its name there: `det.vit.Net.Block` in det/vit.py; the shortest path first."""
    if name.startswith(_OTHERS):
        return
    parts = name.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        stem = "/".join(parts[:cut])
        wanted = (f"{stem}.py", f"{stem}/__init__.py")
        found = [file for file in files if file in wanted or file.endswith(tuple(f"/{each}" for each in wanted))]
        yield from ((file, ".".join(parts[cut:])) for file in sorted(found, key=lambda each: (len(each), each)))


def _classes(content: bytes) -> Mapping[str, Registered]:
    """The classes of a module; none where it is no Python that this version reads."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about escapes and the like, which are no concern of ours
            return registered(ast.parse(content))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
