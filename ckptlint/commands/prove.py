"""`ckptlint prove`: what migrations do, decided from headers before a byte moves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from ckptlint.commands import sources
from ckptlint.commands.planning import Going, facts_of, step_up
from ckptlint.commands.sources import Building
from ckptlint.commands.talk import talk
from ckptlint.core.checkpoint import Checkpoint
from ckptlint.core.collection import no_collection
from ckptlint.core.migration import Migration
from ckptlint.core.schema import Schema
from ckptlint.engine.facts import HeaderFacts
from ckptlint.engine.faults import PlanFaults
from ckptlint.engine.passage import Passage
from ckptlint.engine.prove import Proof, prove, prove_chain
from ckptlint.errors import CkptlintError, UsageError
from ckptlint.report import proofs


@dataclass(frozen=True, slots=True)
class Request:
    """Migrations in the order they run, the schema they start from, and the one that must come out."""

    migrations: Sequence[str]
    source: str | None = None
    target: str | None = None
    params: Sequence[str] = ()
    section: str | None = None
    building: Building = field(default_factory=Building)


def run(
    files: Sequence[str],
    *,
    migrations: Sequence[str],
    form: str,
    **given: object,
) -> tuple[Iterable[str], int]:
    if not (files or migrations):
        raise UsageError("no migration is named", hint="ckptlint prove FILE...")
    request = Request((*files, *migrations), **given)  # type: ignore[arg-type]  # click checked them
    if request.source is None:
        return _readable(request)
    with no_collection():
        proved = prove_all(request)
    lines = proofs.RENDERERS[form](proved)
    return lines, 1 if any(proof.failed for _, proof in proved) else 0


def prove_all(request: Request) -> list[tuple[str, Proof]]:
    """Prove each migration for what the one before it makes; stop at the first that does not fit."""
    loaded = [sources.migration(path) for path in request.migrations]
    target = sources.schema(request.target, request.building) if request.target else None
    params = sources.parameters(request.params)
    sources.check_parameters(params, loaded)
    reference = str(request.source)
    if not sources.is_checkpoint(reference):
        return _of_schema(loaded, sources.schema(reference, request.building), target, HeaderFacts(params=params))
    return prove_checkpoint(reference, target, Going(loaded, params, request.section))


def prove_checkpoint(reference: str, target: Schema | None, going: Going) -> list[tuple[str, Proof]]:
    """Prove migrations for a checkpoint, whose tree counts where one of them edits it."""
    with sources.opened(reference) as checkpoint:
        if any(migration.edits_tree for migration in going.migrations):
            return _of_tree(going.migrations, checkpoint, target, going)
        section = sources.weights(checkpoint, going.section)
        facts = facts_of(checkpoint, going.params, section.path)
        return _of_schema(going.migrations, section.schema(reference), target, facts)


def _of_schema(
    migrations: Sequence[Migration], schema: Schema, target: Schema | None, facts: HeaderFacts
) -> list[tuple[str, Proof]]:
    proofs = prove_chain(migrations, schema, target, facts)
    return [(migration.origin, proof) for migration, proof in zip(migrations, proofs, strict=False)]


def _of_tree(
    migrations: Sequence[Migration], checkpoint: Checkpoint, target: Schema | None, going: Going
) -> list[tuple[str, Proof]]:
    """Prove migrations that edit the tree, each for the tree that the one before it leaves."""
    passage = Passage(checkpoint)
    proved: list[tuple[str, Proof]] = []
    for number, migration in enumerate(migrations):
        wanted = target if number == len(migrations) - 1 else None
        here = passage.checkpoint
        section = sources.weights(here, going.section)
        start = section.schema(checkpoint.origin), wanted, facts_of(here, going.params, section.path)
        try:
            step_up(passage, migration, going)
        except PlanFaults as error:
            proof = prove(migration, *start)
            known = {finding.message for finding in proof.findings}
            more = tuple(finding for finding in error.findings if finding.message not in known)
            proved.append((migration.origin, replace(proof, plan=None, findings=(*more, *proof.findings))))
            break
        later = facts_of(passage.checkpoint, going.params, section.path)
        proved.append((migration.origin, prove(migration, *start, later)))
    return proved


def _readable(request: Request) -> tuple[Iterable[str], int]:
    """Check the files by themselves: every one is read, every bad one reported."""
    if request.target is not None:
        raise UsageError("--target needs --source")
    lines: list[str] = []
    worst = 0
    for path in request.migrations:
        try:
            lines.append(_said(path, sources.migration(path)))
        except CkptlintError as error:
            talk(f"ckptlint: {error}")
            worst = max(worst, error.exit_code)
    return lines, worst


def _said(path: str, migration: Migration) -> str:
    ways = [case.stages for case in migration.cases] or [migration.stages]
    rewrites = sum(len(stage.rewrites) for stages in ways for stage in stages)
    cases = f" in {len(ways)} cases" if migration.cases else f" in {len(migration.stages)} stages"
    steps = sum(len(case.tree) for case in migration.cases) + len(migration.tree)
    tree = f", {steps} steps for the tree" if steps else ""
    return f"{path}: reads well, {rewrites} rewrites{cases}{tree}; --source proves what it does"
