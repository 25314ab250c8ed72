"""Where in a chain a checkpoint stands, by what it tells of itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ckptlint.core.guard import Guard
from ckptlint.core.migration import Migration
from ckptlint.core.tree import Value
from ckptlint.core.tree_steps import SetValue
from ckptlint.engine.chain import BASE, Chain
from ckptlint.engine.faults import BAD_CHAIN, fault
from ckptlint.engine.guards import tree_holds


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a checkpoint tells of its place: stamped revisions by section, `k1:` digests of its state dicts, and its tree.

    `holds` decides the condition of a migration, `look` gives what is at a path of the tree, `idle` says of a migration that it
    would change nothing in the checkpoint.
    """

    stamps: Mapping[str, str]
    digests: Sequence[str]
    holds: Callable[[Migration], bool]
    look: Callable[[str], Sequence[Value]]
    idle: Callable[[Migration], bool] = lambda _: False


@dataclass(frozen=True, slots=True)
class Standing:
    """A place in a chain, and what told it: stamp, digest or condition; `variants` of the model have these keys, where they have names."""

    place: int
    by: str
    variants: tuple[str, ...] = ()


def locate(chain: Chain, evidence: Evidence) -> Standing:
    """The place at which a checkpoint stands: by its stamp, else by the digest of its keys, else by the migrations' conditions.

    A stamp of another chain tells nothing. Of several places with its keys between which nothing is done to it, it is at the latest.
    `PlanFaults` where nothing tells, it could be at several places, or its stamps differ.
    """
    known = {link.revision: link.number for link in chain.links} | {BASE: 0}
    said = frozenset(evidence.stamps.values())
    for revision in sorted(said & chain.gone.keys()):
        raise chain.lost(revision)
    stamped = sorted(said & known.keys())
    if len(stamped) > 1:
        text = f"the checkpoint says that it is at {' and '.join(stamped)}"
        raise fault(BAD_CHAIN, text, hint="--from REV says where it stands")
    if stamped:
        return _standing(chain, known[stamped[0]], "stamp", evidence)
    by_digest, by_condition = (sorted(set(way(chain, evidence))) for way in (_by_digest, _by_condition))
    if len(by_digest) == 1:
        return _standing(chain, by_digest[0], "digest", evidence)
    if len(by_condition) == 1:
        return _standing(chain, by_condition[0], "condition", evidence)
    if by_digest and not by_condition and _all_one(chain, by_digest, evidence):
        return _standing(chain, by_digest[-1], "digest", evidence)
    if by_condition or by_digest:
        names = ", ".join(chain.name(each) for each in by_condition or by_digest)
        raise fault(BAD_CHAIN, f"the checkpoint may stand at each of {names}", hint="--from REV says at which")
    raise fault(
        BAD_CHAIN, "nothing tells where in the chain the checkpoint stands", hint="--from REV says it: base, or an id"
    )


def _all_one(chain: Chain, places: Sequence[int], evidence: Evidence) -> bool:
    """Whether a checkpoint is the same at all of some places: they lie one behind the other, and no migration between changes it."""
    behind = all(chain.done(one) <= chain.done(other) for one, other in pairwise(places))
    return behind and all(evidence.idle(link.migration) for link in chain.ways(places[0], places[-1]))


def _standing(chain: Chain, place: int, by: str, evidence: Evidence) -> Standing:
    recorded = chain.digests(place)
    found = dict.fromkeys(name for each in evidence.digests for name in recorded.variants(each))
    return Standing(place, by, tuple(filter(None, found)))


def _by_digest(chain: Chain, evidence: Evidence) -> Iterator[int]:
    for link in chain.links:
        place = link.migration.chain
        if place is None:
            continue
        before = link.follows[0] if len(link.follows) == 1 else 0
        for recorded, at in ((place.before, before), (place.after, link.number)):
            if any(map(recorded.holds, evidence.digests)):
                yield at
    if chain.links and any(map(chain.added.holds, evidence.digests)):
        yield len(chain.links)


def _by_condition(chain: Chain, evidence: Evidence) -> Iterator[int]:
    """Before a migration whose condition holds; at the head where what the last one sets is there, and its condition does not hold."""
    for link in chain.links:
        if link.migration.when is not None and evidence.holds(link.migration):
            yield max(link.follows)
    last = chain.links[-1].migration if chain.links else None
    if last is not None and last.when is not None and not evidence.holds(last) and _is_set(last, evidence):
        yield len(chain.links)


def _is_set(migration: Migration, evidence: Evidence) -> bool:
    """Whether what the migration's condition looks at is what its steps make of it."""
    made = {
        step.action.target.text: step.action.value
        for step in migration.tree
        if isinstance(step.action, SetValue) and not step.each and step.when is None
    }
    looked = [path for path in _looked_at(migration.when) if path in made]
    return bool(looked) and all(tree_holds("tree", evidence.look(path), made[path]) for path in looked)


def _looked_at(guard: Guard | None) -> Iterator[str]:
    if guard is None:
        return
    if guard.test == "tree":
        yield str(guard.arguments[0])
    for part in guard.arguments:
        if isinstance(part, Guard):
            yield from _looked_at(part)
