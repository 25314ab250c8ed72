"""Files that lie beside an index: a name in it is a place below its folder, and nothing else.

An index is a text or pickle that anyone can edit. So no absolute path, no drive, no `..`, in the spelling of any system, and no symbolic
link that leads elsewhere. One exception: the cache of huggingface_hub keeps a snapshot as links into the `blobs` folder beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PureWindowsPath

from ckptlint.errors import FormatError


def beside(folder: Path, name: str, index: str, what: str = "shard") -> Path:
    """Return the path of the file that `index` calls `name`; `FormatError` where it lies elsewhere or is missing."""
    path, real = _place(folder, name, index, what)
    if not real.is_file():
        kind = "a folder" if real.is_dir() else "no regular file (a pipe, socket or device)"
        raise FormatError(f"the {what} {name!r} is {kind}", where=index, hint="do not trust the index", rule="CKC604")
    return path


def inside(folder: Path, name: str, index: str) -> Path:
    """Return the path of the folder that `index` calls `name`; `FormatError` where it lies elsewhere or is missing."""
    path, real = _place(folder, name, index, "folder")
    if not real.is_dir():
        raise FormatError(f"the folder {name!r} is a file", where=index, hint="fetch the whole checkpoint again")
    return path


def _place(folder: Path, name: str, index: str, what: str) -> tuple[Path, Path]:
    """Return a path, and what it is when all links are followed."""
    spelled = PureWindowsPath(name)  # on every system: an index made for one is read on another
    if (
        not spelled.name
        or spelled.is_absolute()
        or spelled.drive
        or spelled.root
        or ".." in spelled.parts
        or not name.isprintable()
        or ":" in name
    ):
        raise FormatError(
            f"names the {what} {name!r}, which is not a {'folder' if what == 'folder' else 'file'} below its folder",
            where=index,
            hint="the index was edited; do not trust it",
            rule="CKC601",
        )
    path = folder.joinpath(*spelled.parts)
    if not _exists(path):
        raise _missing(folder, path, name, index, what)
    real = path.resolve()
    if not any(real.is_relative_to(allowed) for allowed in _allowed(folder)):
        raise FormatError(
            f"the {what} {name!r} is a symbolic link to {str(real)!r}, outside its folder",
            where=index,
            hint="copy it into the folder if you trust it",
            rule="CKC601",
        )
    return path, real


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name longer than names can be
        return False


def _missing(folder: Path, path: Path, name: str, index: str, what: str) -> FormatError:
    other = _same_but_case(path)
    if other:
        hint = f"{other!r} is there, which differs in case only: rename it, or mend the index"
        return FormatError(f"the {what} {name!r} is missing", where=index, hint=hint, rule="CKC603")
    if path.is_symlink():
        hint = "it is a symbolic link to a file that is not there; fetch it again"
        return FormatError(f"the {what} {name!r} is missing", where=index, hint=hint, rule="CKC603")
    return FormatError(
        f"the {what} {name!r} is missing", where=index, hint=f"fetch it into {str(folder)!r}", rule="CKC603"
    )


def _same_but_case(path: Path) -> str:
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return ""
    return next((name for name in names if name.casefold() == path.name.casefold() and name != path.name), "")


def _allowed(folder: Path) -> Iterator[Path]:
    real = folder.resolve()
    yield real
    for snapshot in (real, *real.parents):
        if snapshot.parent.name == "snapshots":
            yield snapshot.parent.parent / "blobs"
