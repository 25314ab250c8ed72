"""Say what a migration does to a schema before a byte moves: does it fit, can it be undone, and what can shapes not witness."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from ckptlint.core.finding import Finding, Severity
from ckptlint.core.guard import Guard
from ckptlint.core.migration import Migration
from ckptlint.core.operation import Grade
from ckptlint.core.plan import Plan
from ckptlint.core.schema import Schema
from ckptlint.engine.crossed import note_crossed
from ckptlint.engine.exchange import Order, other_order
from ckptlint.engine.facts import HeaderFacts
from ckptlint.engine.faults import (
    IRREVERSIBLE,
    MATCHES_NOTHING,
    NOT_IDEMPOTENT,
    ORDER_MATTERS,
    OTHER_RESULT,
    PYTHON,
    Faults,
    PlanFaults,
)
from ckptlint.engine.invert import Loss, approximation, undo
from ckptlint.engine.numbering import note_numbering
from ckptlint.engine.planner import NO_FACTS, Draft, draft, make_plan
from ckptlint.engine.stage import StageRun
from ckptlint.engine.tree_inverse import invert_tree
from ckptlint.engine.unmatched import unmatched_words
from ckptlint.engine.unwitnessed import note_square, note_swaps
from ckptlint.ops.python import Python


class Again(StrEnum):
    """What happens when a migration is applied to its own result."""

    REFUSED = "refused"
    NO_CHANGE = "no change"
    CHANGES = "changes"


@dataclass(frozen=True, slots=True)
class RewriteProof:
    """What is known of one rewrite.

    `form` is move, copy, keep, drop, new, tie or untie; `active` whether its condition holds; `keys` and `tensors` how many
    keys it claims and makes; `reason` says why the grade is not exact.
    """

    where: str
    form: str
    active: bool
    keys: int
    tensors: int
    grade: Grade
    reason: str = ""


@dataclass(frozen=True, slots=True)
class TreeProof:
    """What is known of one step of `tree`: its word in the file, how it is undone, and why it is not."""

    where: str
    form: str
    grade: Grade
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Proof:
    """`plan` and `again` are None where the migration does not fit; `grade` is that of undoing it all: what is lost, an undo file keeps."""

    plan: Plan | None
    findings: tuple[Finding, ...]
    rewrites: tuple[RewriteProof, ...] = ()
    grade: Grade | None = None
    again: Again | None = None
    tree: tuple[TreeProof, ...] = ()
    swapped: Order | None = None  # where another migration was proved before it: what if they changed places

    @property
    def failed(self) -> bool:
        """Whether the migration does not fit the source, or does not make the target."""
        return any(finding.severity is Severity.ERROR for finding in self.findings)


def prove(
    migration: Migration,
    schema: Schema,
    target: Schema | None = None,
    facts: HeaderFacts = NO_FACTS,
    later: HeaderFacts | None = None,
) -> Proof:
    """Prove a migration for one state dict, from its schema alone; `target` is what the result is needed for.

    `facts` are those of the checkpoint, if there is one, and `later` those of what the migration makes of it.
    """
    try:
        made = draft(schema, migration, facts)
    except PlanFaults as error:
        return Proof(None, error.findings)
    faults = Faults()
    if target is not None:
        compare(made.plan.target, target, faults)
    undone = undo(made.plan)
    again = _again(made.plan, migration, later or facts, faults)
    for run in made.stages:
        _note_idle(run, faults)
        note_swaps(run, faults)
        note_crossed(run, faults)
        note_numbering(run, faults)
    note_square(made, faults)
    _note_python(made, faults)
    _note_losses(undone.losses, faults)
    tree = tuple(_tree(made, migration.when))
    for step in tree:
        if step.reason:
            faults.add(IRREVERSIBLE, step.reason, where=step.where, severity=Severity.INFO)
    lost = bool(undone.losses) or any(step.reason for step in tree)
    grade = Grade.RESTORABLE if lost else undone.grade
    return Proof(made.plan, faults.findings(), tuple(_rewrites(made, undone.losses)), grade, again, tree)


def prove_chain(
    migrations: Sequence[Migration], schema: Schema, target: Schema | None = None, facts: HeaderFacts = NO_FACTS
) -> list[Proof]:
    """Prove migrations that follow one another, each for what the one before it makes; stop at the first that does not fit."""
    proofs: list[Proof] = []
    for number, migration in enumerate(migrations):
        proof = prove(migration, schema, target if number == len(migrations) - 1 else None, facts)
        if proof.plan is not None and proofs and proofs[-1].plan is not None:
            proof = with_order(proof, migrations[number - 1], migration, proofs[-1].plan.source, facts)
        proofs.append(proof)
        if proof.plan is None:
            break
        schema = proof.plan.target
    return proofs


def with_order(proof: Proof, before: Migration, migration: Migration, schema: Schema, facts: HeaderFacts) -> Proof:
    """Add to the proof of a migration whether it and the one before it may change places."""
    swapped = other_order(before, migration, schema, facts)
    if swapped is not Order.MATTERS:
        return replace(proof, swapped=swapped)
    text = f"before {before.origin} it fits too, and something else comes out"
    hint = "a condition (`when`) in one of them makes the other order an error"
    faults = Faults()
    faults.add(ORDER_MATTERS, text, where=migration.origin, hint=hint, severity=Severity.WARNING)
    return replace(proof, swapped=swapped, findings=(*proof.findings, *faults.findings()))


def _tree(made: Draft, when: Guard | None) -> Iterator[TreeProof]:
    way = invert_tree(made.migration.tree, when, made.params.values, made.migration.lookups)
    losses = dict(way.losses)
    for step in made.migration.tree:
        reason = losses.get(step.where, "")
        yield TreeProof(step.where, step.form, Grade.RESTORABLE if reason else Grade.EXACT, reason)


def compare(made: Schema, target: Schema, faults: Faults) -> None:
    """Note where a result is not what a target needs. Another dtype is a warning, since loading converts it."""
    for key, wanted in target.tensors.items():
        found = made.tensors.get(key)
        if found is None:
            faults.add(OTHER_RESULT, f"is missing in the result; the target needs {wanted}", keys=[key])
        elif not found.agrees(wanted):
            severity = Severity.ERROR if found.shape != wanted.shape else Severity.WARNING
            faults.add(OTHER_RESULT, f"is {found} in the result, {wanted} in the target", keys=[key], severity=severity)
    for key, found in made.tensors.items():
        if key not in target.tensors:
            faults.add(OTHER_RESULT, f"is in the result ({found}), but not in the target", keys=[key])


def _again(plan: Plan, migration: Migration, facts: HeaderFacts, faults: Faults) -> Again:
    """Apply the migration to its own result."""
    try:
        second = make_plan(plan.target, migration, facts)
    except PlanFaults:
        return Again.REFUSED
    if not second.steps and list(second.inputs.items()) == list(second.outputs.items()):
        return Again.NO_CHANGE
    changed = [key for key, value in second.inputs.items() if second.outputs.get(key) != value]
    text = "would be changed again if the migration were applied to its own result"
    hint = "add a `when` that holds for the old layout alone"
    faults.add(NOT_IDEMPOTENT, text, keys=changed, hint=hint, severity=Severity.WARNING)
    return Again.CHANGES


def _note_idle(run: StageRun, faults: Faults) -> None:
    """Rewrites that may match nothing and do, and patterns of a list that do."""
    for bound in run.bound:
        for pattern in bound.idle:
            severity = Severity.WARNING if bound.keys else Severity.INFO
            faults.add(MATCHES_NOTHING, f"no key matches {pattern}", where=bound.rewrite.where, severity=severity)
        for pattern, words in unmatched_words(bound):
            text = f"no key has {' or '.join(words)} where {pattern} allows it"
            faults.add(MATCHES_NOTHING, text, where=bound.rewrite.where, severity=Severity.INFO)


def _note_python(made: Draft, faults: Faults) -> None:
    for step in made.plan.steps:
        if isinstance(step.op, Python):
            text = f"{step.op.call} is Python code: its shapes{' and its inverse' if step.op.inverse_ else ''} are declared, not proved"
            hint = "it runs with --allow-python alone; compare the model's outputs before and after"
            faults.add(PYTHON, text, where=step.where, hint=hint, severity=Severity.WARNING)


def _note_losses(losses: tuple[Loss, ...], faults: Faults) -> None:
    for loss in losses:
        faults.add(IRREVERSIBLE, loss.reason, keys=[loss.key], where=loss.where, severity=Severity.INFO)


def _rewrites(made: Draft, losses: tuple[Loss, ...]) -> Iterator[RewriteProof]:
    grades = _grades(made, losses)
    for run in made.stages:
        for number, bound in enumerate(run.bound):
            grade, reason = grades.get((run.number, number), (Grade.EXACT, ""))
            yield RewriteProof(
                bound.rewrite.where,
                type(bound.rewrite).__name__.lower(),
                bound.active,
                len(bound.keys),
                sum(len(edge.targets) for edge in bound.edges),
                grade,
                reason,
            )


def _grades(made: Draft, losses: tuple[Loss, ...]) -> dict[tuple[int, int], tuple[Grade, str]]:
    """The worst grade of each rewrite by (stage, number) that is not exact, with the reason."""
    grades: dict[tuple[int, int], tuple[Grade, str]] = {}
    plan, owners = made.plan, made.board.owners
    for step, owner in zip(plan.steps, owners, strict=True):
        specs = tuple(plan.specs[value] for value in step.inputs)
        if step.inputs and step.op.grade(specs) is Grade.APPROXIMATE:
            grades[owner] = (Grade.APPROXIMATE, approximation(step.op, specs))
    places = {
        bound.rewrite.where: (run.number, number) for run in made.stages for number, bound in enumerate(run.bound)
    }
    for loss in losses:
        place = owners[loss.step] if loss.step is not None else places.get(loss.where)
        if place is not None:
            grades[place] = (Grade.RESTORABLE, loss.reason)
    return grades
