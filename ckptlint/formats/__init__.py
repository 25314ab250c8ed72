"""Bytes to checkpoint and back, one file a format. Which one reads a file is told by its content, never by its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ckptlint.core.checkpoint import ByteSource, Checkpoint
from ckptlint.core.collection import no_collection
from ckptlint.engine.find_sections import find_sections
from ckptlint.errors import FormatError
from ckptlint.formats.byte_source import FileSource
from ckptlint.formats.triage import recognise

_WRAPPERS = frozenset({"gzip", "bzip2", "zstd"})


def open_checkpoint(path: Path, *, max_unpacked: int | None = None) -> Checkpoint:
    """Read a checkpoint's tree and where its tensors' bytes are; no tensor is read, nothing in the file is executed.

    `path` is a file, a shard index, or a folder with one checkpoint. `max_unpacked` bounds, in bytes, what a compressed file may
    unpack to. Call the result's `close` when its bytes are no longer needed. Whatever is wrong with the file is a `FormatError`.
    """
    if path.name == ".metadata" and path.is_file():
        path = path.parent
    if path.is_dir():
        from ckptlint.formats.folders import find_checkpoint

        kind, path = find_checkpoint(path)
        if kind in FOLDERS:
            with no_collection():
                checkpoint = FOLDERS[kind](path)
                return replace(checkpoint, sections=find_sections(checkpoint.root))
    source = FileSource.open(path)
    try:
        with no_collection():
            return _read(source, max_unpacked)
    except BaseException:
        source.close()
        raise


def _read(source: FileSource, max_unpacked: int | None) -> Checkpoint:
    kind = recognise(source)
    if kind not in _WRAPPERS:
        return _with_sections(_whole(READERS[kind](source)), source)
    from ckptlint.formats.wrapped import unpack

    unpacked = unpack(source, kind, most=max_unpacked)
    source.close()
    try:
        read = _single(recognise(unpacked), "compressed file", source)
        checkpoint = _with_sections(read(unpacked, 0), unpacked)
        return replace(checkpoint, notes={**checkpoint.notes, "unpacked": kind})
    except BaseException:
        unpacked.close()
        raise


def _whole(checkpoint: Checkpoint) -> Checkpoint:
    """Sharded tensors of a run with one rank are whole tensors."""
    if "ShardedTensor" not in checkpoint.notes.get("globals", ""):
        return checkpoint
    from ckptlint.formats.rank_files import gather

    return gather([checkpoint], checkpoint.origin)


def _with_sections(checkpoint: Checkpoint, source: FileSource) -> Checkpoint:
    def close() -> None:
        checkpoint.close()
        source.close()

    return replace(checkpoint, sections=find_sections(checkpoint.root), close=close)


def _torch_zip(source: ByteSource, part: int = 0) -> Checkpoint:
    from ckptlint.formats import torch_zip

    return torch_zip.read(source, part=part)


def _npy(source: ByteSource, part: int = 0) -> Checkpoint:
    from ckptlint.formats import npy

    return npy.read(source, part=part)


def _gguf(source: ByteSource, part: int = 0) -> Checkpoint:
    from ckptlint.formats import gguf

    return gguf.read(source, part=part)


def _safetensors(source: ByteSource, part: int = 0) -> Checkpoint:
    from ckptlint.formats import safetensors

    return safetensors.read(source, part=part)


def _legacy(source: ByteSource, part: int = 0) -> Checkpoint:
    from ckptlint.formats import legacy_pickle

    return legacy_pickle.read(source, part=part)


def _tar(source: ByteSource, part: int = 0) -> Checkpoint:
    from ckptlint.formats import torch_tar

    return torch_tar.read(source, part=part)


def _sharded(source: ByteSource) -> Checkpoint:
    from ckptlint.formats import sharded

    return sharded.read(source, _shard)


def _dcp(folder: Path) -> Checkpoint:
    from ckptlint.formats import dcp

    return dcp.read(folder, _shard)


def _deepspeed(folder: Path) -> Checkpoint:
    from ckptlint.formats import deepspeed

    return deepspeed.read(folder, _shard)


def _ranks(folder: Path) -> Checkpoint:
    from ckptlint.formats import rank_files

    return rank_files.read(folder, _shard)


def _shard(source: ByteSource, part: int) -> Checkpoint:
    return _single(recognise(source), "shard", source)(source, part)


def _single(kind: str, place: str, source: ByteSource) -> Callable[[ByteSource, int], Checkpoint]:
    """The reader of one whole file; an index or a compressed file inside another file would go on for ever."""
    reader = _SINGLE.get(kind)
    if reader is None:
        message = f"holds {kind} data where a {place} holds a checkpoint"
        raise FormatError(message, where=source.name, hint="unpack it by hand")
    return reader


READERS: dict[str, Callable[[ByteSource], Checkpoint]] = {
    "torch-zip": _torch_zip,
    "torch-legacy": _legacy,
    "torch-tar": _tar,
    "safetensors": _safetensors,
    "gguf": _gguf,
    "npy": _npy,
    "index": _sharded,
}
FOLDERS: dict[str, Callable[[Path], Checkpoint]] = {"dcp": _dcp, "deepspeed": _deepspeed, "ranks": _ranks}
_SINGLE: dict[str, Callable[[ByteSource, int], Checkpoint]] = {
    "torch-zip": _torch_zip,
    "torch-legacy": _legacy,
    "torch-tar": _tar,
    "safetensors": _safetensors,
    "gguf": _gguf,
    "npy": _npy,
}
