"""Write a migrated checkpoint: choose the format by the output's name, lay it out, fill it, verify it, and put it in place."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from ckptlint.commands.planning import Work
from ckptlint.commands.talk import progress
from ckptlint.core.checkpoint import Checkpoint, Section
from ckptlint.core.paths import step
from ckptlint.core.pieces import Piece, Range, Supply
from ckptlint.core.schema import Schema
from ckptlint.core.tree import Dict, Node, Storage, Value
from ckptlint.engine.assemble import Assembly, Made, Taken
from ckptlint.engine.find_sections import find_sections
from ckptlint.errors import OutputError, PlanError, UsageError
from ckptlint.formats import open_checkpoint
from ckptlint.formats.atomic import AtomicFile
from ckptlint.formats.copying import BLOCK

if TYPE_CHECKING:
    from ckptlint.kits.numpy_kit import Array
    from ckptlint.runners.local import LocalRunner

TORCH = (".pt", ".pth", ".bin", ".ckpt")
SAFETENSORS = ".safetensors"


@dataclass(frozen=True, slots=True)
class Writing:
    """What to write and how: `alone` where a section was named, so that only its weights are wanted in a format that holds no more."""

    output: str
    force: bool = False
    verify: bool = True
    alone: bool = False
    max_memory: int = 1 << 30


class _Writer(Protocol):
    nbytes: int

    @property
    def data_nbytes(self) -> int: ...

    def write(
        self, file: BinaryIO, supply: Supply, progress: Callable[[int], object], *, verify: bool = True
    ) -> None: ...


def check_suffix(output: str) -> None:
    """Refuse a name that says no format we write."""
    suffix = Path(output).suffix
    if suffix not in (*TORCH, SAFETENSORS):
        raise UsageError(
            f"the suffix {suffix!r} names no format to write",
            where=output,
            hint=f"there are {', '.join((*TORCH, SAFETENSORS))}",
        )


def write(checkpoint: Checkpoint, work: Work, replaced: Mapping[int, Node], writing: Writing) -> None:
    """Write the whole output or nothing."""
    tensors_only = writing.output.endswith(SAFETENSORS)
    assembly = Assembly(checkpoint, work, strided=not tensors_only)
    runners = _Runners(checkpoint, work, writing.max_memory)

    def supply(storage: Storage) -> Iterator[Piece]:
        origin = assembly.origins[id(storage)]
        if isinstance(origin, Taken):
            yield _range(checkpoint, origin)
        elif isinstance(origin, Made):
            yield from runners.of(origin.section).pieces(origin.value)
        else:
            yield from runners.of(0).kept(origin.tensor)

    for section, _ in work:
        _check_believed_ties(checkpoint, section)
    for number, (_, plan) in enumerate(work):
        if plan.must_equal:
            runners.of(number).check_equal()
    writer = _writer(checkpoint, work, assembly, replaced, writing)
    with (
        AtomicFile(writing.output, nbytes=writer.nbytes) as out,
        progress(writer.data_nbytes, Path(writing.output).name) as moved,
    ):
        writer.write(out.file, supply, moved, verify=writing.verify)
        _verify(out.temporary, work, tensors_only=tensors_only)
        for part in checkpoint.parts:
            part.check_unchanged()
        out.commit()


class _Runners:
    """The runner of each section, made when first asked for: a rename needs none, and so no arrays."""

    def __init__(self, checkpoint: Checkpoint, work: Work, memory: int) -> None:
        self._checkpoint = checkpoint
        self._work = work
        self._memory = memory
        self._made: dict[int, LocalRunner[Array]] = {}

    def of(self, number: int) -> LocalRunner[Array]:
        if number not in self._made:
            from ckptlint.kits.numpy_kit import NumpyKit
            from ckptlint.runners.local import LocalRunner

            section, plan = self._work[number]
            self._made[number] = LocalRunner(plan, section.tensors, self._checkpoint, NumpyKit(), memory=self._memory)
        return self._made[number]


def _writer(
    checkpoint: Checkpoint, work: Work, assembly: Assembly, replaced: Mapping[int, Node], writing: Writing
) -> _Writer:
    if writing.output.endswith(SAFETENSORS):
        from ckptlint.formats.safetensors_writer import SafetensorsWriter

        _check_nothing_lost(checkpoint, work, writing)
        metadata = {
            name.removeprefix("metadata."): text
            for name, text in checkpoint.notes.items()
            if name.startswith("metadata.")
        }
        return SafetensorsWriter(
            assembly.tensors[0], {k: v for k, v in metadata.items() if not k.startswith("ckptlint")}
        )
    from ckptlint.formats.torch_zip_writer import TorchZipWriter

    def replacement(node: Node) -> Value:
        return replaced.get(id(node)) or assembly.replace(node)

    protocol = max(2, int(checkpoint.notes.get("protocol", "2")))
    return TorchZipWriter(assembly.root, writing.output, replace=replacement, protocol=protocol)


def _check_believed_ties(checkpoint: Checkpoint, section: Section) -> None:
    """Compare what a safetensors file says is one tensor: each name's bytes are stored, and another tool may have changed some."""
    stored = {storage.key: storage for storage in checkpoint.storages}
    for key, tensor in section.tensors.items():
        own = stored.get(key, tensor.storage)
        if checkpoint.format != "safetensors" or own is tensor.storage:
            continue
        for start in range(0, own.nbytes, BLOCK):
            length = min(BLOCK, own.nbytes - start)
            if checkpoint.read(own, start, length) != checkpoint.read(tensor.storage, start, length):
                raise PlanError(
                    f"the file says that {key} and {tensor.storage.key} are one tensor, but their data differs",
                    where=f"{checkpoint.origin}: __metadata__['ckptlint.ties']",
                    hint="a tool that knows no ties changed one of them; remove the entry, and migrate them apart",
                )


def _range(checkpoint: Checkpoint, origin: Taken) -> Range:
    storage = origin.storage
    whole = origin.start == 0 and origin.length == storage.nbytes
    checksum = checkpoint.checksums.get((storage.part, storage.start)) if whole else None
    return Range(checkpoint.parts[storage.part], storage.start + origin.start, origin.length, checksum)


def _check_nothing_lost(checkpoint: Checkpoint, work: Work, writing: Writing) -> None:
    """The format holds one state dict and nothing else: refuse to lose what else there is, unless only that was asked for."""
    section = work[0][0]
    if len(work) > 1 or (section.path != "/" and not writing.alone):
        listed = ", ".join(_top(checkpoint.root))
        raise UsageError(
            f"a safetensors file holds one state dict, and {checkpoint.origin} holds more: {listed}",
            where=writing.output,
            hint=f"--section {section.path} writes these weights alone; a .pt file keeps everything",
        )
    if section.others and not section.module:
        listed = ", ".join(sorted(section.others))
        raise OutputError(
            f"a safetensors file cannot hold the entries that are no tensors: {listed}", where=writing.output
        )


def _top(root: Value) -> list[str]:
    return [f"/{step(key)}" for key, _ in root.items] if isinstance(root, Dict) else ["/"]


def _verify(path: str, work: Work, *, tensors_only: bool) -> None:
    """Read the new file's header and compare it with what was planned; the file is not in place yet."""
    written = open_checkpoint(Path(path))
    try:
        sections = {section.path: section for section in find_sections(written.root)}
        for section, plan in work:
            found = sections.get("/" if tensors_only else section.path)
            have = found.schema() if found else Schema({})
            if list(have.tensors.items()) != list(plan.target.tensors.items()) or set(have.ties) != set(
                _ties(plan.target)
            ):
                raise OutputError(
                    f"what was written at {section.path} is not what was planned; nothing was put in place", where=path
                )
    finally:
        written.close()


def _ties(schema: Schema) -> tuple[tuple[str, ...], ...]:
    place = {key: number for number, key in enumerate(schema.tensors)}
    return tuple(tuple(sorted(group, key=place.__getitem__)) for group in schema.ties)


def output_size(path: str) -> int:
    """Bytes of the file that was written."""
    return os.path.getsize(path)
