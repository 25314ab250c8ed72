"""The gate of a change: is the chain whole, does it end at the lock, and do the new migrations lead from the base's lock to the head's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from ckptlint.core.digest import k1, short
from ckptlint.core.finding import Finding, Severity
from ckptlint.core.migration import Migration
from ckptlint.core.schema import Schema
from ckptlint.engine.chain import Chain, Link
from ckptlint.engine.faults import (
    BASE_REWRITTEN,
    BASE_UNREACHED,
    BASE_UNSEEN,
    LINKS_APART,
    LOCK_NOT_HEAD,
    NUMBER_WRONG,
    Faults,
    PlanFaults,
)
from ckptlint.engine.planner import draft
from ckptlint.engine.prove import compare


@dataclass(frozen=True, slots=True)
class Base:
    """What a change starts from: its lock's schema, and its chain where that is known."""

    schema: Schema
    chain: Chain | None = None


def gate(chain: Chain, lock: Schema | None, base: Base | None) -> tuple[Finding, ...]:
    """Return all that is wrong with a chain, its lock, and what it makes of the base."""
    faults = Faults()
    _check_links(chain, faults)
    if lock is not None and chain.links:
        _check_lock(chain.links[-1], lock, faults)
    if lock is None or base is None:
        return faults.findings()
    if base.chain is not None and not _kept(chain, base.chain, faults):
        return faults.findings()
    start = len(base.chain.links) if base.chain is not None else _start(chain, base.schema)
    if start is None:
        text = f"no revision of the chain has the keys of the base ({short(k1(base.schema))})"
        faults.add(
            BASE_UNSEEN, text, hint="migrations that were merged may be missing, or it is the lock of another model"
        )
        return faults.findings()
    return (*faults.findings(), *_composed(chain.between(start, len(chain.links)), base.schema, lock))


def _check_links(chain: Chain, faults: Faults) -> None:
    for link in chain.links:
        name = link.migration.origin.replace("\\", "/").rpartition("/")[2]
        number = name.partition("_")[0]
        if len(number) >= 4 and number.isascii() and number.isdigit() and int(number) != link.number:
            text = f"{name} is number {link.number} of the chain"
            faults.add(NUMBER_WRONG, text, where=link.migration.origin, severity=Severity.WARNING)
    for before, after in pairwise(chain.links):
        made, taken = _side(before.migration, after=True), _side(after.migration, after=False)
        if made and taken and not _same(made, taken):
            text = f"{before.revision} makes {short(made)}, and {after.revision} takes {short(taken)}"
            faults.add(LINKS_APART, text, where=after.migration.origin)


def _side(migration: Migration, *, after: bool) -> str:
    place = migration.chain
    return (place.after if after else place.before) if place else ""


def _same(one: str, other: str) -> bool:
    """Whether two digests, of which one may be shortened, are the same."""
    return one.startswith(other) or other.startswith(one)


def _check_lock(last: Link, lock: Schema, faults: Faults) -> None:
    made = _side(last.migration, after=True)
    if made and not _same(k1(lock), made):
        text = f"the lock has the keys {short(k1(lock))}, and {last.revision} at the head makes {short(made)}"
        hint = "`ckptlint make` writes the migration that is missing; `ckptlint lock` a lock that is stale"
        faults.add(LOCK_NOT_HEAD, text, where=lock.origin, hint=hint)


def _kept(chain: Chain, base: Chain, faults: Faults) -> bool:
    """Whether the base's migrations are the first of the chain, as they were."""
    here = {link.number: link for link in chain.links}
    for link in base.links:
        mine = here.get(link.number)
        if mine is None or mine.revision != link.revision:
            now = f"{mine.revision} is in its place" if mine else "it is gone"
            text = f"{link.revision} is part of the base, and {now}"
            hint = "files out there may stand at it: write a further migration in the place of changing it"
            faults.add(BASE_REWRITTEN, text, where=mine.migration.origin if mine else "", hint=hint)
            return False
    return True


def _start(chain: Chain, schema: Schema) -> int | None:
    """The latest place whose keys are those of the base; 0 for a chain without a migration."""
    digest = k1(schema)
    found = [0] if not chain.links else []
    for link in chain.links:
        sides = (
            (_side(link.migration, after=False), link.number - 1),
            (_side(link.migration, after=True), link.number),
        )
        found += [place for side, place in sides if side and digest.startswith(side)]
    return max(found, default=None)


def _composed(migrations: tuple[Migration, ...], base: Schema, lock: Schema) -> Iterator[Finding]:
    """What keeps the migrations from making the lock out of the base."""
    made = base
    for migration in migrations:
        try:
            made = draft(made, migration).plan.target
        except PlanFaults as error:
            yield from _unreached(f"{migration.origin} does not fit what comes before it", migration.origin)
            yield from error.findings
            return
    differs = Faults()
    compare(made, lock, differs)
    found = differs.findings()
    if any(each.severity is Severity.ERROR for each in found):
        several = f"the {len(migrations)} new migrations do not lead from the base to the lock"
        yield from _unreached(several if migrations else "the model changed, and no migration leads to it")
    yield from found


def _unreached(text: str, where: str = "") -> tuple[Finding, ...]:
    faults = Faults()
    faults.add(
        BASE_UNREACHED, text, where=where, hint="`ckptlint make` writes a migration from the base's lock to this one"
    )
    return faults.findings()
