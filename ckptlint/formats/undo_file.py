"""An undo file: a torch zip of the tensors that were kept, with the old tree and a record of how to put it together beside them.

`torch.load` gives the kept tensors by their names. `.ckptlint/undo-tree.pkl` is the pickle of the old tree, its storages numbered, and
`.ckptlint/undo` the record, as JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ckptlint.core.checkpoint import Checkpoint
from ckptlint.core.tree import Dict, Storage, Tensor, Value
from ckptlint.errors import FormatError
from ckptlint.formats import pickles, torch_zip
from ckptlint.formats.byte_source import FileSource
from ckptlint.formats.torch_records import TorchArchive
from ckptlint.formats.torch_zip_writer import TorchZipWriter
from ckptlint.formats.zip_container import Archive
from ckptlint.formats.zip_kinds import find_root

_TREE = ".ckptlint/undo-tree.pkl"
_RECORD = ".ckptlint/undo"
_MOST = 256 << 20  # bytes of the tree, and of the record


@dataclass(frozen=True, slots=True)
class UndoFile:
    """`kept` holds the kept tensors by name; `root` is the old tree, `storages` those in it, by number, without a place."""

    checkpoint: Checkpoint
    kept: Mapping[str, Tensor]
    root: Value
    storages: tuple[Storage, ...]
    record: bytes
    where: str
    close: Callable[[], None]


def undo_writer(path: str, kept: Mapping[str, Tensor], tree: bytes, record: bytes) -> TorchZipWriter:
    """Lay out an undo file."""
    names = {id(tensor.storage): name for name, tensor in kept.items()}
    return TorchZipWriter(Dict(list(kept.items())), path, records={_TREE: tree, _RECORD: record}, names=names)


def read_undo_file(path: str) -> UndoFile:
    """Open an undo file; `FormatError` where it is none, or damaged. Call `close` at the end."""
    source = FileSource.open(Path(path))
    try:
        archive = Archive(source)
        records = TorchArchive(archive, find_root(archive.records, source.name), source)
        _check_kind(records, path)
        checkpoint = torch_zip.read(source, archive=archive)
        tree = pickles.read(records.content(_TREE, _MOST), records.where(_TREE))
        return UndoFile(
            checkpoint,
            _tensors(checkpoint.root),
            tree.root,
            _numbered(tree.storages, records.where(_TREE)),
            records.content(_RECORD, _MOST),
            records.where(_RECORD),
            source.close,
        )
    except BaseException:
        source.close()
        raise


def _check_kind(records: TorchArchive, path: str) -> None:
    if not (records.has(_TREE) and records.has(_RECORD)):
        hint = "`ckptlint migrate --undo-file` writes one beside its output"
        raise FormatError("is no undo file", where=path, hint=hint)


def _tensors(root: Value) -> dict[str, Tensor]:
    items = root.items if isinstance(root, Dict) else []
    return {key: tensor for key, tensor in items if isinstance(key, str) and isinstance(tensor, Tensor)}


def _numbered(storages: tuple[Storage, ...], where: str) -> tuple[Storage, ...]:
    by_key = {storage.key: storage for storage in storages}
    numbers = [str(number) for number in range(len(storages))]
    if sorted(by_key) != sorted(numbers):
        raise FormatError("the storages are not numbered as an undo file numbers them", where=where)
    return tuple(by_key[number] for number in numbers)
