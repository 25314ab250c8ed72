"""Write a migrated checkpoint: choose the format by the output's name, lay it out, fill it, verify it, and put it in place."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ckptlint.commands.containers import Container, Written
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
from ckptlint.commands.talk import progress, talk
from ckptlint.commands.targets import Form, Target, place_of
from ckptlint.core.checkpoint import Checkpoint, Section, SectionKind
from ckptlint.core.collection import no_collection
from ckptlint.core.paths import find
from ckptlint.core.schema import Schema
from ckptlint.core.tree import Composite, Dict, Node, Tensor
from ckptlint.engine.passage import Outcome
from ckptlint.errors import OutputError, UsageError

if TYPE_CHECKING:
    from ckptlint.commands.outputs import Output
    from ckptlint.commands.undoing import UndoWish
    from ckptlint.core.undo import Digests
    from ckptlint.engine.assemble import Assembly

SLACK = 64 << 20  # bytes that arithmetic and comparing may take whatever is allowed: below that they could not work
_METADATA = "metadata."  # how notes about it begin


@dataclass(frozen=True, slots=True)
class Writing:
    """What to write (nothing is named for a dry run without an output) and how.

    `alone` where a section was named, so that only its weights are wanted in a format that holds no more; `allow_expand` where elements
    that the source repeats by strides may be written out.
    `resume` begins with what a run before left finished. `stamp` are the revisions to record, as JSON. `undo` says where an undo file
    is written too, `restores` what the tensors must be.
    """

    target: Target
    force: bool = False
    verify: bool = True
    alone: bool = False
    allow_expand: bool = False
    max_memory: int = 1 << 30
    externals: Externals | None = None
    stamp: str = ""
    resume: bool = False
    undo: UndoWish | None = None
    restores: Digests | None = None


def refuse(outcome: Outcome, writing: Writing) -> None:
    """Refuse, from headers alone, what would silently be something else than what was asked for."""
    target, work = writing.target, outcome.work
    check_computed(work)
    check_dtypes(work, tensors_only=target.form is Form.SAFETENSORS)
    if target.tensors_only:
        check_tensors_only(outcome, target.path, alone=writing.alone)
    if not writing.allow_expand:
        check_expanded(work, strided=target.strided)


def write(outcome: Outcome, replaced: Mapping[int, Node], writing: Writing) -> Written:
    """Write the whole output or nothing, after `refuse` had nothing against it."""
    from ckptlint.commands.supplying import Supplier
    from ckptlint.engine.assemble import Assembly
    from ckptlint.formats import open_checkpoint

    target, checkpoint = writing.target, outcome.checkpoint
    for section, _ in outcome.work:
        check_believed_ties(checkpoint, section)
    with no_collection():
        assembly = Assembly(outcome, replaced, strided=target.strided)
        supply = Supplier(
            checkpoint,
            outcome.work,
            assembly,
            memory=writing.max_memory,
            externals=writing.externals,
            verify=writing.verify,
        )
        output = _output(checkpoint, assembly, writing)
    check_memory(supply.peak_bytes(), writing.max_memory, target)
    supply.check_equal()
    if not writing.resume:
        _clear(target)
    with unwinding(), output as out, progress(output.data_nbytes, Path(target.path).name) as moved:
        out.fill(supply, moved, verify=writing.verify)
        with closing(open_checkpoint(Path(out.temporary))) as written:  # it is not in place yet
            check_written(written, outcome.placed, target)
            if writing.restores is not None:
                from ckptlint.commands.undoing import check_restored

                check_restored(written, writing.restores)
            with _undoable(outcome, assembly, written, writing):
                for part in checkpoint.parts:
                    part.check_unchanged()
                done = out.commit()
    if writing.resume:  # what it had no use for has none now
        _clear(target, "of another job")
    return done


def _clear(target: Target, *finished: str) -> None:
    from ckptlint.formats.settling import clear

    for said in clear(place_of(target), *finished):
        talk(said)


def needed_memory(outcome: Outcome, replaced: Mapping[int, Node], writing: Writing) -> int:
    """Return how many bytes of tensors `write` would have in memory at once; it refuses where that is more than it may."""
    from ckptlint.commands.supplying import Supplier
    from ckptlint.engine.assemble import Assembly

    with no_collection():
        assembly = Assembly(outcome, replaced, strided=writing.target.strided)
        supply = Supplier(outcome.checkpoint, outcome.work, assembly, memory=writing.max_memory)
    needed = supply.peak_bytes()
    check_memory(needed, writing.max_memory, writing.target)
    return needed


def check_memory(needed: int, most: int, target: Target) -> None:
    """`UsageError` where a step needs whole tensors in memory that are larger than what may be used."""
    if needed > most + SLACK:
        message = f"needs {needed:,} bytes of memory for tensors, and may use {most:,}"
        hint = f"--max-memory {-(-needed // 10**6)}M allows it; what works on whole tensors cannot do with less"
        raise UsageError(message, where=target.path, hint=hint)


def _undoable(
    outcome: Outcome, assembly: Assembly, written: Checkpoint, writing: Writing
) -> AbstractContextManager[None]:
    """Have the undo file in place, where one is wished for, while the output is put in its own."""
    wish = writing.undo
    if wish is None:
        return nullcontext()
    from ckptlint.commands.undoing import plan_undo, undo_written

    keeping = plan_undo(wish.source, outcome, assembly, writing.target)
    return undo_written(wish, keeping, written, writing.max_memory)


def _output(checkpoint: Checkpoint, assembly: Assembly, writing: Writing) -> Output:
    from ckptlint.commands.outputs import distributed, one_file, sharded

    target = writing.target
    if target.form is Form.DCP:
        if any(plan.target.ties for _, plan in assembly.outcome.work):
            talk("note: a distributed checkpoint has no ties: the values are written under each name")
        return distributed(target, assembly, force=writing.force)
    metadata = metadata_of(checkpoint)
    left = [name for name in metadata if name != "format"]
    if left and target.form in (Form.TORCH, Form.LEGACY) and target.shard is None:
        talk(f"note: a .pt file has no place for the file's metadata: {', '.join(left)}")
    protocol = max(2, int(checkpoint.notes.get("protocol", "2")))
    container = Container(metadata, protocol, writing.stamp)
    if target.shard is not None:
        from ckptlint.commands.jobs import job_of

        job = partial(job_of, assembly.outcome, verify=writing.verify)
        return sharded(target, assembly, container, force=writing.force, job=job)
    return one_file(target, assembly, container, force=writing.force)


def metadata_of(checkpoint: Checkpoint) -> dict[str, str]:
    """What the source says of itself, without what is ours, and what only sharding says."""
    pairs = (
        (name.removeprefix(_METADATA), text) for name, text in checkpoint.notes.items() if name.startswith(_METADATA)
    )
    return {name: text for name, text in pairs if not name.startswith("ckptlint") and name != "total_size"}


def check_written(written: Checkpoint, work: Work, target: Target) -> None:
    """`OutputError` where the new header is not what was planned."""
    for section, plan in work:
        have = _schema(written, "/" if target.tensors_only else section.path)
        want = plan.target
        untied = target.form is not Form.DCP and set(have.ties) != set(_ties(want))
        if untied or list(have.tensors.items()) != list(want.tensors.items()):
            text = f"what was written at {section.path} is not what was planned; nothing was put in place"
            raise OutputError(text, where=written.origin)


def _schema(written: Checkpoint, path: str) -> Schema:
    """What is at a place, whether a reader would take it for a state dict or not: little may be left of one."""
    node = find(written.root, path)
    items = node.items if isinstance(node, Dict) else []
    tensors = {key: value for key, value in items if isinstance(key, str) and isinstance(value, Tensor | Composite)}
    return Section(path, SectionKind.WEIGHTS, Dict([]), tensors).schema()


def _ties(schema: Schema) -> tuple[tuple[str, ...], ...]:
    place = {key: number for number, key in enumerate(schema.tensors)}
    return tuple(tuple(sorted(group, key=place.__getitem__)) for group in schema.ties)
