"""Which of some migrations provably take one schema to another: what `lint` names as a cure."""

from __future__ import annotations

from collections.abc import Sequence

from ckptlint.core.finding import Severity
from ckptlint.core.migration import Migration
from ckptlint.core.schema import Schema
from ckptlint.engine.facts import HeaderFacts
from ckptlint.engine.faults import Faults
from ckptlint.engine.planner import NO_FACTS, make_plan
from ckptlint.engine.prove import compare
from ckptlint.errors import CkptlintError


def fixing(
    source: Schema, target: Schema, migrations: Sequence[Migration], facts: HeaderFacts = NO_FACTS
) -> list[tuple[Migration, ...]]:
    """Return the migrations after which a source is what a target needs: single ones, else those that follow one which strips prefixes.

    Several fit where no shape tells them apart: then only someone who knows the model can choose.
    """
    single: list[tuple[Migration, ...]] = [(each,) for each in migrations if _fits(source, target, each, facts)]
    if single:
        return single
    found: list[tuple[Migration, ...]] = []
    for first in migrations:
        stripped = _made(source, first, facts) if first.prefix is not None else None
        if stripped is not None:
            others = (each for each in migrations if each.prefix is None)
            found += [(first, each) for each in others if _fits(stripped, target, each, facts)]
    return found


def _fits(source: Schema, target: Schema, migration: Migration, facts: HeaderFacts) -> bool:
    made = _made(source, migration, facts)
    if made is None:
        return False
    faults = Faults()
    compare(made, target, faults)
    return all(finding.severity is not Severity.ERROR for finding in faults.findings())


def _made(source: Schema, migration: Migration, facts: HeaderFacts) -> Schema | None:
    try:
        return make_plan(source, migration, facts).target
    except CkptlintError:  # it is for another file
        return None
