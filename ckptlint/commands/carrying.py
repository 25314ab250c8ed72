"""Carry the state of optimizers along with the weights that migrations change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ckptlint.commands import sources
from ckptlint.commands.talk import talk
from ckptlint.core.checkpoint import Checkpoint, SectionKind
from ckptlint.core.digest import k1
from ckptlint.core.migration import Migration
from ckptlint.core.schema import Schema
from ckptlint.core.selector import Selector
from ckptlint.core.tree import Node, Tensor
from ckptlint.engine.optimizers import Wishes, carry_optimizers
from ckptlint.engine.passage import Outcome
from ckptlint.errors import DocumentError, UsageError


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user says of it: the new `model` with its `arguments`, whether state may be lost, selectors of the groups of weights.

    `lock` is the one beside a chain, which knows the order of parameters at its head.
    """

    model: str | None
    arguments: str | None
    strict: bool
    groups: Sequence[str]
    lock: str | None = None


def with_optimizers(
    outcome: Outcome, checkpoint: Checkpoint, migrations: Sequence[Migration], asked: Asked
) -> tuple[Outcome, Mapping[int, Node]]:
    """The outcome with what is computed for optimizers, and what stands in the place of their nodes."""
    wishes = _wishes(asked, checkpoint, outcome)
    carried = carry_optimizers(outcome.checkpoint.sections, migrations, outcome.placed, wishes)
    for line in carried.said:
        talk(line)
    return carried.added_to(outcome), carried.replaced


def _wishes(asked: Asked, checkpoint: Checkpoint, outcome: Outcome) -> Wishes:
    """How optimizers are to be carried; a model says the order of its parameters."""

    def read(tensor: Tensor) -> bytes:
        size = tensor.dtype.nbytes(1)
        return checkpoint.read(tensor.storage, tensor.offset * size, size)

    schema: Schema | None = None
    if any(each.kind is SectionKind.OPTIMIZER for each in checkpoint.sections):
        if asked.model is not None:
            schema = sources.schema(asked.model, sources.Building(arguments=asked.arguments))
        elif asked.lock is not None:
            schema = _locked(asked.lock, outcome)
    order: Sequence[str] | None = None
    if schema is not None:
        order = schema.parameters if schema.parameters is not None else tuple(schema.tensors)
    groups = tuple(map(Selector.parse, asked.groups))
    return Wishes(order, read, strict=asked.strict, groups=groups)


def _locked(lock: str, outcome: Outcome) -> Schema | None:
    """What the lock knows of one of the state dicts that come out: the variant with just its keys and shapes, where there is one."""
    if not sources.is_lock(lock):
        return None
    made = {k1(plan.target) for _, plan in outcome.placed}
    try:
        known = sources.variants(lock).values()
    except (DocumentError, UsageError):
        return None  # what is wrong with it, its own commands say; the warning about the order stays
    return next((each for each in known if k1(each) in made), None)
