"""The SHA-256 of a checkpoint's files and tensors: it vouches for what formats without checksums cannot, wherever it is kept."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from ckptlint.core.checkpoint import Checkpoint
from ckptlint.core.paths import walk
from ckptlint.core.tree import Composite, Storage, Tensor, Value
from ckptlint.errors import FormatError
from ckptlint.formats.tensor_bytes import tensor_sha256

_BLOCK = 4 << 20  # bytes


def held(root: Value) -> Iterator[tuple[str, Tensor | Storage]]:
    """Every place of the tree with stored elements: tensors, the dense parts of composite ones (`/path#part`), bare storages."""
    inside: str | None = None  # a composite's parts are what it stores
    for path, value in walk(root):
        if inside is not None and path.startswith(inside):
            continue
        inside = None
        if isinstance(value, Composite):
            inside = path
            yield from ((f"{path}#{name}", part) for name, part in value.parts)
        elif isinstance(value, Tensor | Storage):
            yield path, value


def digest_tensors(checkpoint: Checkpoint) -> dict[str, tuple[str, str]]:
    """Map each tensor's path to its form (`float32[2,3]`) and SHA-256; what several names share is read once."""
    known: dict[tuple[object, ...], str] = {}
    digests: dict[str, tuple[str, str]] = {}
    for path, value in held(checkpoint.root):
        if isinstance(value, Tensor):
            if value.identity not in known:
                known[value.identity] = tensor_sha256(checkpoint, value)
            shape = ",".join(map(str, value.shape))
            digests[path] = (f"{value.dtype.long}[{shape}]", known[value.identity])
    return digests


def digest_files(path: str, checkpoint: Checkpoint, progress: Callable[[int], object], *, apart: str) -> dict[str, str]:
    """Map the name of each file of a checkpoint, in its folder, to its SHA-256: the file itself, an index and its shards, all of a folder.

    `apart` is a file that is none of the checkpoint's, wherever it lies.
    """
    place = Path(path.partition("::")[0] if not os.path.exists(path) else path)
    own = Path(apart).resolve()
    folder = place if place.is_dir() else place.parent
    parts = {Path(part.name) for part in checkpoint.parts}
    files = sorted(_below(folder)) if place.is_dir() else [place, *sorted(parts - {place})]
    return {
        Path(os.path.relpath(file, folder)).as_posix(): _sha256(file, progress)
        for file in files
        if file.is_file() and file.resolve() != own
    }


def _below(folder: Path) -> Iterator[Path]:
    """The files of a folder at any depth; what a tool keeps in a hidden folder (`.git`, `.cache`) is none of them."""
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(place, name) for name in names)


def _sha256(path: Path, progress: Callable[[int], object]) -> str:
    from hashlib import sha256

    digest = sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                progress(len(block))
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", where=str(path)) from error
    return digest.hexdigest()
