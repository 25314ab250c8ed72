"""The gate of a change: is the chain whole, does it end at the lock, and do the new migrations lead from the base's lock to the head's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from ckptlint.core.chain import NOT_RECORDED, number_of
from ckptlint.core.digest import k1, short
from ckptlint.core.finding import SHOWN_BY, Finding, Severity
from ckptlint.core.level import Level
from ckptlint.core.migration import Migration
from ckptlint.core.schema import Schema
from ckptlint.core.template import Selector
from ckptlint.engine.chain import Chain, Link
from ckptlint.engine.commute import clashes
from ckptlint.engine.faults import (
    BASE_REWRITTEN,
    BASE_UNREACHED,
    BASE_UNSEEN,
    CLASH,
    LINKS_APART,
    LOCK_NOT_HEAD,
    NUMBER_WRONG,
    OTHER_RESULT,
    Faults,
    PlanFaults,
)
from ckptlint.engine.levels import as_they_are, forward, loosely
from ckptlint.engine.planner import draft
from ckptlint.engine.prove import compare
from ckptlint.engine.variants import Variants, digests, joined, nearest


@dataclass(frozen=True, slots=True)
class Base:
    """What a change starts from: the schemas of its lock (none where only its chain is known), its chain, and whether that had a sum."""

    variants: Variants
    chain: Chain | None = None
    factory: str = ""  # what built it, by which its source is found
    sealed: bool = False
    golden: tuple[str, ...] = ()  # the golden files that it records


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of a change: its level, what may be missing at `loose`, and the chain's folder if old code must read new files."""

    level: Level = Level.MIGRATABLE
    allowed: tuple[Selector, ...] = ()
    forward: str = ""


USUAL = Wanted()


def gate(chain: Chain, lock: Variants | None, base: Base | None, wanted: Wanted = USUAL) -> tuple[Finding, ...]:
    """Return all that is wrong with a chain, its lock, and what it makes of the base."""
    faults = Faults()
    _check_links(chain, faults)
    if lock is not None and chain.links:
        _check_lock(chain.links[-1], lock, wanted, faults)
    if base is None or (base.chain is not None and not _kept(chain, base.chain, faults)):
        return faults.findings()
    if lock is None or not base.variants:
        return faults.findings()
    start = _behind(chain, base.chain) if base.chain is not None else _start(chain, base.variants)
    if start is None:
        text = f"no revision of the chain has the keys of the base ({digests(base.variants).short})"
        faults.add(
            BASE_UNSEEN, text, hint="migrations that were merged may be missing, or it is the lock of another model"
        )
        return faults.findings()
    way = Way(chain, start, wanted)
    found = {name: _of_variant(way, name, schema, lock) for name, schema in base.variants.items()}
    return (*faults.findings(), *joined(found))


class Way(NamedTuple):
    """The chain, the place in it at which the base stands, and what is asked of the way from there."""

    chain: Chain
    start: int
    wanted: Wanted

    @property
    def migrations(self) -> tuple[Migration, ...]:
        return self.chain.between(self.start, len(self.chain.links))


def _of_variant(way: Way, name: str, schema: Schema, lock: Variants) -> tuple[Finding, ...]:
    """What is wrong for one variant of the base."""
    head = lock.get(name) or _reached(way, schema, lock)
    if head is None and not name:
        head = lock[nearest(lock, schema)]  # the model has variants since, and what it was is one of them
    if head is not None:
        return (*_led(way, schema, head), *as_they_are(way.wanted.level, schema, head), *_forward(way, schema, head))
    faults = Faults()
    known = ", ".join(each or "the model" for each in lock)
    hint = f"files of it have nothing to go to; there is {known}. Keep the variant, or accept this by an `ignore` with a reason"
    faults.add(BASE_UNREACHED, f"the lock no longer has it, and the chain leads from it to none of {known}", hint=hint)
    return faults.findings()


def _forward(way: Way, base: Schema, head: Schema) -> tuple[Finding, ...]:
    """What the base's code says to new files, where that is asked."""
    if not way.wanted.forward:
        return ()
    to = way.chain.name(way.start)
    return forward(
        base,
        head,
        way.migrations,
        f"`ckptlint migrate NEW --chain {way.wanted.forward} --to {to} -o OLD` takes one back",
    )


def _reached(way: Way, base: Schema, lock: Variants) -> Schema | None:
    """The variant, of any name, of which the chain makes the keys out of a base."""
    try:
        for migration in way.migrations:
            base = draft(base, migration).plan.target
    except PlanFaults:
        return None
    return next((each for each in lock.values() if k1(each) == k1(base)), None)


def _check_links(chain: Chain, faults: Faults) -> None:
    for link in chain.links:
        name = link.migration.origin.replace("\\", "/").rpartition("/")[2]
        number = name.partition("_")[0]
        if 4 <= len(number) < 10 and number.isascii() and number.isdigit() and int(number) != number_of(link.revision):
            text = f"{name} is number {number_of(link.revision)} of the chain"
            faults.add(NUMBER_WRONG, text, where=link.migration.origin, severity=Severity.WARNING)
        for place in link.follows if len(link.follows) == 1 else ():
            made = chain.links[place - 1].place.after if place else NOT_RECORDED
            for variant, one, other in made.against(link.place.before):
                text = f"{_of(variant)}{chain.name(place)} makes {short(one)}, and {link.revision} takes {short(other)}"
                faults.add(LINKS_APART, text, where=link.migration.origin)


def _of(variant: str) -> str:
    return f"variant {variant}: " if variant else ""


def _check_lock(last: Link, lock: Variants, wanted: Wanted, faults: Faults) -> None:
    for variant, made, own in last.place.after.against(digests(lock)):
        text = f"{_of(variant)}the lock has the keys {short(own)}, and {last.revision} at the head makes {short(made)}"
        hint = "`ckptlint make` writes the migration that is missing; `ckptlint lock` a lock that is stale"
        where = (lock.get(variant) or next(iter(lock.values()))).origin
        severity = Severity.WARNING if wanted.level is Level.LOOSE else Severity.ERROR
        faults.add(LOCK_NOT_HEAD, text, where=where, hint=hint, severity=severity)


def _kept(chain: Chain, base: Chain, faults: Faults) -> bool:
    """Whether the base's migrations are part of the chain, as they were; of those that were squashed the last one is."""
    here = {link.revision for link in chain.links} | chain.gone.keys()
    for link in base.links:
        if link.revision in here:
            continue
        number = number_of(link.revision)
        mine = next((each for each in chain.links if number_of(each.revision) == number), None)
        now = f"{mine.revision} is in its place" if mine else "it is gone"
        text = f"{link.revision} is part of the base, and {now}"
        hint = "files out there may stand at it: write a further migration in the place of changing it"
        faults.add(BASE_REWRITTEN, text, where=mine.migration.origin if mine else "", hint=hint)
        return False
    return True


def _behind(chain: Chain, base: Chain) -> int:
    """The place in the chain at which the base's head stands."""
    return chain.place(base.links[-1].revision) if base.links else 0


def _start(chain: Chain, base: Variants) -> int | None:
    """The latest of the places that record the keys of most of the base's variants; 0 for a chain without a migration.

    One variant does not tell: what a migration leaves alone stands before it and behind it.
    """
    if not chain.links:
        return 0
    own = digests(base)
    places = [(chain.digests(place), place) for place in range(len(chain.links) + 1)]
    found = [
        (-sum(1 for _ in recorded.against(own)), place)
        for recorded, place in places
        if any(recorded.holds(digest) for _, digest in own.by_variant)
    ]
    return max(found)[1] if found else None


def _led(way: Way, base: Schema, lock: Schema) -> Iterator[Finding]:
    """What keeps the migrations behind a place from making the lock out of the base, or branches from being merged."""
    chain, start = way.chain, way.start
    yield from _composed(way, base, lock)
    for link in chain.ways(start, len(chain.links)):
        if len(link.follows) > 1 and chain.done(start) <= _common(chain, link):
            yield from _clashing(chain, link, start, base)


def _common(chain: Chain, merge: Link) -> frozenset[int]:
    """What all branches of a merge have behind them."""
    return frozenset.intersection(*(chain.done(place) for place in merge.follows))


def _clashing(chain: Chain, merge: Link, start: int, base: Schema) -> Iterator[Finding]:
    common = _common(chain, merge)
    try:
        for link in chain.links:
            if link.number in common - chain.done(start):
                base = draft(base, link.migration).plan.target
    except PlanFaults:
        return  # said already, by what composes all of them
    branches = [[link for link in chain.links if link.number in chain.done(place) - common] for place in merge.follows]
    faults = Faults()
    for clash in clashes(base, branches):
        faults.add(CLASH, clash.text, keys=clash.keys, where=clash.where or merge.migration.origin, hint=clash.hint)
    yield from faults.findings()


def _composed(way: Way, base: Schema, lock: Schema) -> Iterator[Finding]:
    """What keeps the migrations from making the lock out of the base."""
    made, migrations = base, way.migrations
    for migration in migrations:
        try:
            made = draft(made, migration).plan.target
        except PlanFaults as error:
            yield from _unreached(f"{migration.origin} does not fit what comes before it", migration.origin)
            yield from error.findings
            return
    differs = Faults()
    compared(made, lock, way.wanted, differs)
    found = differs.findings()
    if any(each.severity is Severity.ERROR for each in found):
        several = f"the {len(migrations)} new migrations do not lead from the base to the lock"
        yield from _shown_by_keys(several if migrations else "the model changed, and no migration leads to it")
    yield from found


def compared(made: Schema, lock: Schema, wanted: Wanted, faults: Faults) -> None:
    """Note where what migrations made is not what a level asks of it."""
    if wanted.level is Level.LOOSE:
        loosely(made, lock, wanted.allowed, faults)
    else:
        compare(made, lock, faults)


def _unreached(text: str, where: str = "") -> tuple[Finding, ...]:
    faults = Faults()
    faults.add(
        BASE_UNREACHED, text, where=where, hint="`ckptlint make` writes a migration from the base's lock to this one"
    )
    return faults.findings()


def _shown_by_keys(text: str) -> Iterator[Finding]:
    """That there is no way, where findings about keys beside it show that: who accepts all of these keys accepts it."""
    for each in _unreached(text):
        yield each._replace(words={**each.words, SHOWN_BY: OTHER_RESULT.code})
