"""Bytes to checkpoint and back, one file a format. Which one reads a file is told by its content, never by its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

from ckptlint.core.checkpoint import ByteSource, Checkpoint
from ckptlint.core.collection import no_collection
from ckptlint.engine.find_sections import find_sections
from ckptlint.errors import FormatError
from ckptlint.formats.byte_source import FileSource
from ckptlint.formats.triage import recognise


@runtime_checkable
class Closing(Protocol):
    """A source that holds something until it is closed."""

    def close(self) -> None: ...


_WRAPPERS = frozenset({"gzip", "bzip2", "xz", "lzma", "zlib", "zstd"})


def open_checkpoint(path: Path, *, max_unpacked: int | None = None) -> Checkpoint:
    """Read a checkpoint's tree and where its tensors' bytes are; no tensor is read, nothing in the file is executed.

    `path` is a file, a shard index, a folder or archive with one checkpoint, or `archive.tar::member`. `max_unpacked` bounds, in bytes,
    what a compressed file may unpack to. Call the result's `close` when its bytes are no longer needed. Whatever is wrong with the file
    is a `FormatError`.
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
    outer, separator, member = str(path).partition("::")
    inside = bool(separator) and not path.exists()
    source = FileSource.open(Path(outer) if inside else path)
    try:
        _check_whole(path)
        with no_collection():
            return _read_member(source, member, max_unpacked) if inside else _read(source, max_unpacked)
    except FormatError as error:
        better = error if inside else _better(path, error)
        source.close()
        if better is error:
            raise
        raise better from error
    except BaseException:
        source.close()
        raise


def _better(path: Path, error: FormatError) -> FormatError:
    from ckptlint.formats.mangled import changed_on_the_way

    source = FileSource.open(path)  # the first one may be closed, where the file is a compressed one
    try:
        return changed_on_the_way(source, error)
    finally:
        source.close()


def _check_whole(path: Path) -> None:
    """Refuse a row of archives: what is in it, and where, only the .metadata beside it says."""
    if path.suffix == ".distcp":
        message = "is a data file of a distributed checkpoint (DCP), and no checkpoint by itself"
        raise FormatError(message, where=str(path), hint=f"name its folder: {path.parent}", rule="CKC107")


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


def _read_member(source: FileSource, name: str, max_unpacked: int | None) -> Checkpoint:
    """Read a member of an archive, which may be compressed as a whole."""
    from ckptlint.formats.wrapped import unpack

    kind = recognise(source)
    if kind in _WRAPPERS:
        source, packed = unpack(source, kind, most=max_unpacked), source
        packed.close()
        kind = recognise(source)
    try:
        return _with_sections(_whole(_inside(source, kind, name, 0)), source)
    except BaseException:
        source.close()
        raise


def _with_sections(checkpoint: Checkpoint, source: FileSource) -> Checkpoint:
    def close() -> None:
        checkpoint.close()
        source.close()

    return replace(checkpoint, sections=find_sections(checkpoint.root), close=close)


def _torch_zip(source: ByteSource, part: int = 0) -> Checkpoint:
    from ckptlint.formats import torch_zip
    from ckptlint.formats.zip_container import Archive
    from ckptlint.formats.zip_kinds import PACKED, kind_of

    archive = Archive(source)
    if kind_of(archive.records) == PACKED:
        from ckptlint.formats.archives import only_checkpoint

        return _inside(source, "torch-zip", only_checkpoint(list(archive.records), source), part)
    return torch_zip.read(source, part=part, archive=archive)


def _packed(source: ByteSource, part: int = 0) -> Checkpoint:
    """Read the only checkpoint in a tar."""
    from ckptlint.formats.archives import only_checkpoint, tar_members

    return _inside(source, "tar", only_checkpoint([name for name, _ in tar_members(source)], source), part)


def _inside(source: ByteSource, kind: str, name: str, part: int) -> Checkpoint:
    """Read a member of an archive; one that is an archive of checkpoints itself is refused."""
    from ckptlint.formats.archives import member_of

    inside = member_of(source, kind, name)
    reader = _single(recognise(inside), "archive", inside)
    if reader is _packed:
        raise FormatError("is a tar archive in an archive", where=inside.name, hint="unpack it by hand", rule="CKC123")
    try:
        checkpoint = reader(inside, part)
    except BaseException:
        if isinstance(inside, Closing):
            inside.close()
        raise
    if not isinstance(inside, Closing):
        return checkpoint
    return replace(checkpoint, close=partial(_close_both, checkpoint, inside))


def _close_both(checkpoint: Checkpoint, inside: Closing) -> None:
    checkpoint.close()
    inside.close()


def _pickle(source: ByteSource, part: int = 0) -> Checkpoint:
    from ckptlint.formats import bare_pickle

    return bare_pickle.read(source, part=part)


def _npy(source: ByteSource, part: int = 0) -> Checkpoint:
    from ckptlint.formats import npy

    return npy.read(source, part=part)


def _flax(source: ByteSource, part: int = 0) -> Checkpoint:
    from ckptlint.formats import flax

    return flax.read(source, part=part)


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
    "flax": _flax,
    "npy": _npy,
    "bare-pickle": _pickle,
    "index": _sharded,
    "tar": _packed,
}
FOLDERS: dict[str, Callable[[Path], Checkpoint]] = {"dcp": _dcp, "deepspeed": _deepspeed, "ranks": _ranks}
_SINGLE: dict[str, Callable[[ByteSource, int], Checkpoint]] = {
    "torch-zip": _torch_zip,
    "torch-legacy": _legacy,
    "torch-tar": _tar,
    "safetensors": _safetensors,
    "gguf": _gguf,
    "flax": _flax,
    "npy": _npy,
    "bare-pickle": _pickle,
    "tar": _packed,
}
