"""Look at the values of a section's tensors, with progress on a terminal, within a bound of memory."""

from __future__ import annotations

from ckptlint.commands.talk import progress
from ckptlint.core.checkpoint import Checkpoint, Section
from ckptlint.core.schema import Schema
from ckptlint.core.tree import Composite, Tensor
from ckptlint.core.values import Measured
from ckptlint.engine.sections import choose_section
from ckptlint.errors import UsageError


def judged_values(subject: Checkpoint | Schema, model: Schema | None, section: str, memory: int) -> Measured:
    """Look at the section that a lint judges; `UsageError` for a schema, which has no values."""
    if isinstance(subject, Schema):
        raise UsageError("--values needs a checkpoint: a schema has no values", where=subject.origin)
    chosen = choose_section(subject, model, section)
    return Measured() if chosen is None else measured(subject, chosen, memory)


def measured(checkpoint: Checkpoint, section: Section, memory: int) -> Measured:
    """Read every stored element of the section's tensors once; `memory` bounds the blocks, in bytes."""
    from ckptlint.kits.numpy_values import Tally, ValueCount, countable, joined, values_of
    from ckptlint.runners.measuring import measure, needed

    owners = {name: (key, part) for key, tensor in section.tensors.items() for name, part in _parts(key, tensor)}
    dense = {name: part for name, (_, part) in owners.items() if countable(part.dtype)}
    unread = {key: f"{part.dtype} is not decoded" for name, (key, part) in owners.items() if name not in dense}
    with progress(needed(dense), "looking at values") as moved:
        found, skipped = measure(
            dense, checkpoint.read, ValueCount(), memory=memory, progress=moved, checksums=checkpoint.checksums
        )
    for part in checkpoint.parts:
        part.check_unchanged()
    unread |= {owners[name][0]: why for name, why in skipped.items()}
    tallies: dict[str, tuple[Tally, str]] = {}
    for each in found:
        for key in (owners[name][0] for name in each.keys):
            known = tallies.get(key)
            tallies[key] = (joined(known[0], each.tally), "") if known else (each.tally, each.digest)
    for key, tensor in section.tensors.items():
        if isinstance(tensor, Composite) and key in tallies:  # what is stored of it are not all of its elements
            tallies[key] = (tallies[key][0]._replace(constant=False), "")
        elif isinstance(tensor, Composite):
            unread.setdefault(key, f"its layout, {tensor.layout}, is not decoded")
    return Measured({key: values_of(*tallies[key]) for key in section.tensors if key in tallies}, unread)


def _parts(key: str, tensor: Tensor | Composite) -> list[tuple[str, Tensor]]:
    """The dense tensors that hold the elements: of a composite those of its own type, under names that no key has."""
    if isinstance(tensor, Tensor):
        return [(key, tensor)]
    return [(f"{key}\0{name}", part) for name, part in tensor.parts if part.dtype is tensor.dtype]
