"""Survey a file: what the search finds, what the strict reader refuses, and where in the tree the names stand."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ckptlint.checks.nodes import nodes
from ckptlint.checks.trust.weights_only import ALLOWED
from ckptlint.core.checkpoint import Checkpoint
from ckptlint.core.survey import Import, Odd, Survey
from ckptlint.core.tree import Dict, Global, Opaque, Tensor, Value
from ckptlint.errors import FormatError
from ckptlint.formats import open_checkpoint
from ckptlint.formats.byte_source import FileSource
from ckptlint.formats.scanning.blobs import Blob, Finds
from ckptlint.formats.scanning.search import search
from ckptlint.formats.scanning.unpacking import UNPACKERS

_DATA_SUFFIXES = (
    ".safetensors",
    ".gguf",
    ".onnx",
    ".h5",
    ".hdf5",
    ".json",
    ".txt",
    ".md",
    ".yaml",
    ".yml",
    ".csv",
    ".npy",
)
_EXPANDED = 1 << 28  # bytes that a tensor of repeated elements comes to, from which it fills a disk when it is copied
_NOT_TORCH = "it is no file of torch.save: torch.load runs it and fails then"
_STRANGE_KINDS = {
    "torchscript": "it takes no TorchScript archives; torch.jit.load does",
    "oldest": "it takes no files in the format before 0.1.10",
    "bare": _NOT_TORCH,
    "npy": "it takes no NumPy arrays; numpy.load does",
    **dict.fromkeys(UNPACKERS, "it takes no compressed files; unpack it"),
}
_ARCHIVE = "it takes no archives of other files; unpack it"


def survey(path: Path) -> tuple[Survey, Checkpoint]:
    """Search a file for danger, and read it as far as it is a checkpoint; `FormatError` where there is no such file.

    The checkpoint has no parts to read from any more: the file is closed.
    """
    source = FileSource.open(path)
    finds = Finds()
    try:
        search(Blob(source, 0, source.size, "", main=True, name=path.name), finds)
    finally:
        source.close()
    checkpoint = _read(path, finds)
    root = checkpoint.root
    places = _places(root) if any(each.full not in ALLOWED for each in finds.imports.values()) else {}
    imports = [_placed(each, places) for each in finds.imports.values()]
    refusals = dict(finds.refusals)
    refusals |= {_STRANGE_KINDS[kind]: None for kind in finds.kinds if kind in _STRANGE_KINDS}
    if finds.pickles and finds.kinds[-1:] in (["zip"], ["tar"]):
        refusals[_ARCHIVE] = None
    if finds.pickles and path.name.endswith(_DATA_SUFFIXES) and finds.kinds[:1] != ["npy"]:
        finds.odd(Odd.DISGUISED, f"holds a pickle, though its name says that it is {path.suffix}, which has none", "")
    found = Survey(
        str(path),
        checkpoint.format,
        finds.pickles,
        tuple(imports),
        tuple(replace(each, place=each.place.removeprefix(": ")) for each in finds.oddities),
        tuple(finds.missing),
        tuple(refusals),
    )
    return found, replace(checkpoint, survey=found)


def files(path: Path) -> Iterator[Path]:
    """Yield the regular files of a folder and those below it, by name; links to folders are not followed."""
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            if (Path(folder) / name).is_file():
                yield Path(folder) / name


def _read(path: Path, finds: Finds) -> Checkpoint:
    """Read it strictly. What it is refused for is found, unless the search has said so already."""
    try:
        checkpoint = open_checkpoint(path)
    except FormatError as error:
        place = error.where.removeprefix(str(path)).lstrip(": ")
        known = error.rule.startswith("CKC1") and error.rule not in ("CKC103", "CKC108")
        objects = finds.kinds == ["npy"] and finds.pickles  # an array of objects: whole, and nothing that is read
        if known or objects or (finds.kinds[:1] == ["zip"] and "torch" not in finds.kinds):
            finds.odd(Odd.NO_CHECKPOINT, error.message, place)
        elif not finds.oddities:
            finds.odd(Odd.UNREADABLE, error.message, place)
        return Checkpoint(Dict([]), (), "", str(path), ())
    checkpoint.close()
    _look_over(checkpoint, finds)
    return checkpoint


def _look_over(checkpoint: Checkpoint, finds: Finds) -> None:
    """Note what the reader takes, and a person should know of."""
    unreferenced = checkpoint.notes.get("unreferenced", "")
    if unreferenced:
        finds.odd(Odd.STRAY, f"holds records that nothing refers to: {unreferenced[:200]}", "")
    for section in checkpoint.sections:
        for key, tensor in section.tensors.items():
            if isinstance(tensor, Tensor):
                _check_expansion(key, tensor, finds)


def _check_expansion(key: str, tensor: Tensor, finds: Finds) -> None:
    if 0 in tensor.stride:
        seen = tensor.dtype.nbytes(tensor.spec.numel)
        if seen > _EXPANDED and seen > 2 * tensor.storage.nbytes:
            finds.odd(
                Odd.EXPANSION, f"has the tensor {key!r}, which repeats {tensor.storage.nbytes} bytes to {seen}", ""
            )


def _places(root: Value) -> dict[tuple[str, str], str]:
    """Return the first tree path at which each global stands, as a class, a function that is called, or a value."""
    found: dict[tuple[str, str], str] = {}
    for path, node in nodes(root):
        named = node.call.function if isinstance(node, Opaque) else node
        if isinstance(named, Global):
            found.setdefault((named.module, named.name), path)
    return found


def _placed(each: Import, places: dict[tuple[str, str], str]) -> Import:
    return replace(each, path=places.get((each.module, each.name), ""), place=each.place.removeprefix(": "))
