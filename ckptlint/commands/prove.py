"""`ckptlint prove`: what migrations do, decided from headers before a byte moves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from ckptlint.commands import sources
from ckptlint.commands.planning import facts_of
from ckptlint.commands.sources import Building
from ckptlint.commands.talk import talk
from ckptlint.core.migration import Migration
from ckptlint.core.schema import Schema
from ckptlint.engine.facts import HeaderFacts
from ckptlint.engine.prove import Proof, prove
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
    proved = prove_all(request)
    lines = proofs.RENDERERS[form](proved)
    return lines, 1 if any(proof.failed for _, proof in proved) else 0


def prove_all(request: Request) -> list[tuple[str, Proof]]:
    """Prove each migration for what the one before it makes; stop at the first that does not fit."""
    loaded = [sources.migration(path) for path in request.migrations]
    target = sources.schema(request.target, request.building) if request.target else None
    proved: list[tuple[str, Proof]] = []
    with _source(request) as (start, facts):
        schema = start
        for number, migration in enumerate(loaded):
            last = number == len(loaded) - 1
            proof = prove(migration, schema, target if last else None, facts)
            proved.append((migration.origin, proof))
            if proof.plan is None:
                break
            schema = proof.plan.target
    return proved


@contextmanager
def _source(request: Request) -> Iterator[tuple[Schema, HeaderFacts]]:
    """Open what the migrations start from; a checkpoint also answers what they ask of its tree."""
    params = sources.parameters(request.params)
    reference = str(request.source)
    if not sources.is_checkpoint(reference):
        yield sources.schema(reference, request.building), HeaderFacts(params=params)
        return
    with sources.opened(reference) as checkpoint:
        section = sources.weights(checkpoint, request.section)
        yield section.schema(reference), facts_of(checkpoint, params)


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
    rewrites = sum(len(stage.rewrites) for stage in migration.stages)
    return f"{path}: reads well, {rewrites} rewrites in {len(migration.stages)} stages; --source proves what it does"
