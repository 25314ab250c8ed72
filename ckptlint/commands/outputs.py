"""Outputs while they are written: one file, shards with their index, a distributed checkpoint. Each appears whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import BinaryIO, Protocol, Self

from ckptlint.commands.containers import Container, Written
from ckptlint.commands.talk import talk
from ckptlint.commands.targets import Form, Target
from ckptlint.core.pieces import Check, Piece, Supply
from ckptlint.core.tree import Dict, Storage, Tensor
from ckptlint.engine.assemble import Assembly
from ckptlint.errors import UsageError
from ckptlint.formats.atomic import AtomicFile
from ckptlint.formats.staging import StagedFolder


class Writer(Protocol):
    """Lays a file out when it is made, and fills it later."""

    nbytes: int

    @property
    def data_nbytes(self) -> int: ...

    def write(
        self, file: BinaryIO, supply: Supply, progress: Callable[[int], object], *, verify: bool = True
    ) -> None: ...


class Member(Writer, Protocol):
    """A writer of one of several files; a file that is finished is passed over."""

    @property
    def storages(self) -> Sequence[Storage]: ...


class Supplying(Protocol):
    """A supply that can be told that a storage is there already."""

    def __call__(self, storage: Storage) -> Iterable[Piece | Check]: ...

    def skip(self, storage: Storage) -> None: ...


class Output(Protocol):
    """A context manager: `fill` it, look at what is at `temporary`, `commit` it."""

    @property
    def data_nbytes(self) -> int: ...

    @property
    def temporary(self) -> str: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def fill(self, supply: Supplying, progress: Callable[[int], object], *, verify: bool) -> None: ...

    def commit(self) -> Written: ...


class _OneFile:
    def __init__(self, writer: Writer, path: str, *, force: bool) -> None:
        self._writer = writer
        self._file = AtomicFile(path, nbytes=writer.nbytes, replace=force)
        self._path = path
        self.data_nbytes = writer.data_nbytes
        self.temporary = self._file.temporary

    def __enter__(self) -> Self:
        self._file.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.__exit__(kind, error, trace)

    def fill(self, supply: Supplying, progress: Callable[[int], object], *, verify: bool) -> None:
        self._writer.write(self._file.file, supply, progress, verify=verify)

    def commit(self) -> Written:
        self._file.commit()
        return Written(self._path, self._writer.nbytes)


class _Several:
    """Files by name; `last` is the one that makes the others count. `replaced`: what goes away with it; None: the folder is one thing."""

    def __init__(
        self, path: str, members: Sequence[tuple[str, Member]], last: tuple[str, bytes], staged: StagedFolder
    ) -> None:
        self._path = path
        self._members = members
        self._last, self._content = last
        self._staged = staged
        self.replaced: Sequence[str] | None = None
        self.data_nbytes = sum(writer.data_nbytes for _, writer in members)

    @property
    def temporary(self) -> str:
        return self._staged.temporary if self.replaced is None else os.path.join(self._staged.temporary, self._last)

    def __enter__(self) -> Self:
        self._staged.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._staged.__exit__(kind, error, trace)
        finally:
            if self._staged.kept:
                whole = f"{self._staged.kept} of {len(self._members)} files are finished"
                talk(
                    f"note: {whole}: with --resume the same command goes on from there, `ckptlint recover --undo` removes them"
                )

    def fill(self, supply: Supplying, progress: Callable[[int], object], *, verify: bool) -> None:
        for name, writer in self._members:
            self._staged.reserve(name, writer.nbytes)
        self._staged.reserve(self._last, len(self._content))
        for name, writer in self._members:
            if name in self._staged.finished:
                for storage in writer.storages:
                    supply.skip(storage)
                progress(writer.data_nbytes)
                continue
            writer.write(self._staged.open(name), supply, progress, verify=verify)
            self._staged.seal()
        self._staged.open(self._last).write(self._content)
        self._staged.seal()

    def commit(self) -> Written:
        if self.replaced is None:
            self._staged.commit_folder()
        else:
            self._staged.commit_files(self._last, replaced=self.replaced)
        nbytes = len(self._content) + sum(writer.nbytes for _, writer in self._members)
        return Written(self._path, nbytes, len(self._members) + 1)


def one_file(target: Target, assembly: Assembly, container: Container, *, force: bool) -> Output:
    """Return the whole output as a file."""
    if target.form is Form.SAFETENSORS:
        return _OneFile(_safetensors(_dense(assembly), container), target.path, force=force)
    if target.form is Form.LEGACY:
        return _OneFile(_legacy(assembly, container), target.path, force=force)
    from ckptlint.formats.torch_zip_writer import TorchZipWriter

    writer = TorchZipWriter(
        assembly.root,
        target.path,
        replace=assembly.replace,
        protocol=container.protocol,
        records=container.records,
        names=assembly.names(),
    )
    return _OneFile(writer, target.path, force=force)


def sharded(
    target: Target, assembly: Assembly, container: Container, *, force: bool, job: Callable[..., str] = lambda *_: ""
) -> Output:
    """Return the output in shards that are as large as they may be; one that is small enough is one file, unless an index was named.

    `job` says of the index and the files' sizes what decides them.
    """
    from ckptlint.formats.sharding import index, is_shard, shard_names, split

    tensors = _dense(assembly)
    shards = split(tensors, target.shard or 1)
    if len(shards) == 1 and not target.indexed:
        if os.path.exists(target.index):
            message = "there is an index of shards of this name, and everything fits into one file"
            raise UsageError(message, where=target.index, hint="remove it and its shards, or name another file")
        return _OneFile(_shard(target, target.path, shards[0], assembly, container), target.path, force=force)
    folder, whole = os.path.split(target.path)
    names = shard_names(whole, len(shards))
    members = [
        (name, _shard(target, name, shard, assembly, container)) for name, shard in zip(names, shards, strict=True)
    ]
    content = index(tensors, list(zip(names, shards, strict=True)), container.texts)
    last = os.path.basename(target.index)
    work = job(content, {name: writer.nbytes for name, writer in members})
    staged = StagedFolder(target.index, replace=force, job=work)
    several = _Several(target.index, members, (last, content), staged)
    there = os.listdir(os.path.realpath(folder or "."))
    several.replaced = [name for name in there if name == whole or is_shard(name, whole)] if force else [whole]
    return several


def distributed(target: Target, assembly: Assembly, *, force: bool) -> Output:
    """Return the output as the folder of a distributed checkpoint."""
    from ckptlint.formats.dcp_writer import DATA, DcpWriter

    writer = DcpWriter(assembly.root, assembly.replace, assembly.names())
    staged = StagedFolder(target.path, replace=force)
    return _Several(target.path, [(DATA, writer)], (".metadata", writer.metadata), staged)


def _dense(assembly: Assembly) -> dict[str, Tensor]:
    return {key: tensor for key, tensor in assembly.tensors[0].items() if isinstance(tensor, Tensor)}


def _safetensors(tensors: Mapping[str, Tensor], container: Container) -> Member:
    from ckptlint.formats.safetensors_writer import SafetensorsWriter

    return SafetensorsWriter(tensors, container.texts)


def _legacy(assembly: Assembly, container: Container) -> Writer:
    from ckptlint.formats.legacy_writer import LegacyWriter

    return LegacyWriter(assembly.root, replace=assembly.replace, protocol=container.protocol, names=assembly.names())


def _shard(
    target: Target, name: str, tensors: Mapping[str, Tensor], assembly: Assembly, container: Container
) -> Member:
    if target.form is Form.SAFETENSORS:
        return _safetensors(tensors, container)
    from ckptlint.formats.torch_zip_writer import TorchZipWriter

    root = Dict(list(tensors.items()))
    return TorchZipWriter(root, name, replace=assembly.replace, protocol=container.protocol, names=assembly.names())
