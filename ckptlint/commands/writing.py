"""Write a migrated checkpoint: choose the format by the output's name, lay it out, fill it, verify it, and put it in place."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from ckptlint.commands.externals import Externals
from ckptlint.commands.planning import Work
from ckptlint.commands.refusals import (
    check_believed_ties,
    check_computed,
    check_dtypes,
    check_expanded,
    check_tensors_only,
)
from ckptlint.commands.signals import unwinding
from ckptlint.commands.supplying import Supplier
from ckptlint.commands.talk import progress, talk
from ckptlint.core.checkpoint import Checkpoint, Section, SectionKind
from ckptlint.core.collection import no_collection
from ckptlint.core.paths import find
from ckptlint.core.pieces import Supply
from ckptlint.core.schema import Schema
from ckptlint.core.tree import Composite, Dict, Node, Tensor
from ckptlint.engine.assemble import Assembly
from ckptlint.errors import OutputError, UsageError
from ckptlint.formats import open_checkpoint
from ckptlint.formats.atomic import AtomicFile

if TYPE_CHECKING:
    pass

TORCH = (".pt", ".pth", ".bin", ".ckpt")
SAFETENSORS = ".safetensors"
_METADATA = "metadata."  # how notes about it begin


@dataclass(frozen=True, slots=True)
class Writing:
    """What to write (nothing is named for a dry run without an output) and how.

    `alone` where a section was named, so that only its weights are wanted in a format that holds no more; `allow_expand` where elements
    that the source repeats by strides may be written out.
    """

    output: str
    force: bool = False
    verify: bool = True
    alone: bool = False
    allow_expand: bool = False
    max_memory: int = 1 << 30
    externals: Externals | None = None


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


def refuse(checkpoint: Checkpoint, work: Work, writing: Writing) -> None:
    """Refuse, from headers alone, what would silently be something else than what was asked for."""
    tensors_only = writing.output.endswith(SAFETENSORS)
    check_computed(work)
    check_dtypes(work, tensors_only=tensors_only)
    if tensors_only:
        check_tensors_only(checkpoint, work, writing.output, alone=writing.alone)
    if not writing.allow_expand:
        check_expanded(work, strided=not tensors_only)


def write(checkpoint: Checkpoint, work: Work, replaced: Mapping[int, Node], writing: Writing) -> None:
    """Write the whole output or nothing, after `refuse` had nothing against it."""
    tensors_only = writing.output.endswith(SAFETENSORS)
    for section, _ in work:
        check_believed_ties(checkpoint, section)
    with no_collection():
        assembly = Assembly(checkpoint, work, replaced, strided=not tensors_only)
        supply = Supplier(checkpoint, work, assembly, memory=writing.max_memory, externals=writing.externals)
        writer = _writer(checkpoint, assembly, writing)
    supply.check_equal()
    with (
        unwinding(),
        AtomicFile(writing.output, nbytes=writer.nbytes, replace=writing.force) as out,
        progress(writer.data_nbytes, Path(writing.output).name) as moved,
    ):
        writer.write(out.file, supply, moved, verify=writing.verify)
        _verify(out.temporary, work, tensors_only=tensors_only)
        for part in checkpoint.parts:
            part.check_unchanged()
        out.commit()


def _writer(checkpoint: Checkpoint, assembly: Assembly, writing: Writing) -> _Writer:
    if writing.output.endswith(SAFETENSORS):
        from ckptlint.formats.safetensors_writer import SafetensorsWriter

        dense = {key: tensor for key, tensor in assembly.tensors[0].items() if isinstance(tensor, Tensor)}
        return SafetensorsWriter(dense, _metadata(checkpoint))
    from ckptlint.formats.torch_zip_writer import TorchZipWriter

    left = [name for name in _metadata(checkpoint) if name != "format"]
    if left:
        talk(f"note: a .pt file has no place for the file's metadata: {', '.join(left)}")
    protocol = max(2, int(checkpoint.notes.get("protocol", "2")))
    return TorchZipWriter(
        assembly.root, writing.output, replace=assembly.replace, protocol=protocol, names=assembly.names()
    )


def _metadata(checkpoint: Checkpoint) -> dict[str, str]:
    """What the source says of itself, without what is ours, and what only sharding says."""
    pairs = (
        (name.removeprefix(_METADATA), text) for name, text in checkpoint.notes.items() if name.startswith(_METADATA)
    )
    return {name: text for name, text in pairs if not name.startswith("ckptlint") and name != "total_size"}


def _verify(path: str, work: Work, *, tensors_only: bool) -> None:
    """Read the new file's header and compare it with what was planned; the file is not in place yet."""
    written = open_checkpoint(Path(path))
    try:
        for section, plan in work:
            have = _schema(written, "/" if tensors_only else section.path)
            want = plan.target
            if list(have.tensors.items()) != list(want.tensors.items()) or set(have.ties) != set(_ties(want)):
                text = f"what was written at {section.path} is not what was planned; nothing was put in place"
                raise OutputError(text, where=path)
    finally:
        written.close()


def _schema(written: Checkpoint, path: str) -> Schema:
    """What is at a place, whether a reader would take it for a state dict or not: little may be left of one."""
    node = find(written.root, path)
    items = node.items if isinstance(node, Dict) else []
    tensors = {key: value for key, value in items if isinstance(key, str) and isinstance(value, Tensor | Composite)}
    return Section(path, SectionKind.WEIGHTS, Dict([]), tensors).schema()


def _ties(schema: Schema) -> tuple[tuple[str, ...], ...]:
    place = {key: number for number, key in enumerate(schema.tensors)}
    return tuple(tuple(sorted(group, key=place.__getitem__)) for group in schema.ties)


def output_size(path: str) -> int:
    """Bytes of the file that was written."""
    return os.path.getsize(path)
