"""A chain of migrations: their order by parents, and where in it a checkpoint stands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ckptlint.core.chain import revision_id
from ckptlint.core.guard import Guard
from ckptlint.core.migration import Migration
from ckptlint.core.tree import Value
from ckptlint.core.tree_steps import SetValue
from ckptlint.engine.faults import BAD_CHAIN, fault
from ckptlint.engine.guards import tree_holds
from ckptlint.errors import UsageError

HEAD = "head"
BASE = "base"


@dataclass(frozen=True, slots=True)
class Link:
    """A migration of a chain, with its id; `number` counts from 1."""

    revision: str
    number: int
    migration: Migration


@dataclass(frozen=True, slots=True)
class Chain:
    """Links in their order. A checkpoint stands at a place: 0 before all of them, n behind the first n."""

    links: tuple[Link, ...]

    def between(self, start: int, end: int) -> tuple[Migration, ...]:
        """The migrations from a place to another one, in the order of the way there, also for the way back."""
        low, high = sorted((start, end))
        return tuple(link.migration for link in self.links[low:high])

    def place(self, revision: str) -> int:
        """The place behind a revision: `head`, `base`, an id, the start of one, or a number; `UsageError` where there is none."""
        if revision == HEAD:
            return len(self.links)
        if revision == BASE:
            return 0
        found = [link.number for link in self.links if revision and link.revision.startswith(revision)]
        if revision.isascii() and revision.isdigit() and len(revision) < 9:
            found = [link.number for link in self.links if link.number == int(revision)]
        if len(found) != 1:
            there = f"from {self.links[0].revision} to {self.links[-1].revision}" if self.links else "none"
            text = f"{revision!r} is {'several revisions' if found else 'no revision'} of the chain"
            raise UsageError(text, hint=f"there are {there}; also `head` and `base`")
        return found[0]

    def name(self, place: int) -> str:
        """The revision that a place is behind."""
        return self.links[place - 1].revision if place else BASE

    def digest(self, place: int) -> str:
        """The `k1:` digest of the keys at a place, as far as the migrations beside it say; '' where they do not."""
        beside = [self.links[place - 1].migration.chain] if place else []
        after = next((each.after for each in beside if each), "")
        following = self.links[place].migration.chain if place < len(self.links) else None
        return after or (following.before if following else "")


def link_up(migrations: Iterable[Migration]) -> Chain:
    """Order migrations by their parents; `PlanFaults` where they are no single chain, and names the files at fault."""
    known: dict[str, Migration] = {}
    children: dict[str, list[str]] = {}
    for migration in migrations:
        parent = migration.chain.parent if migration.chain else ""
        number = int(parent.partition("-")[0]) + 1 if parent else 1
        own = revision_id(number, parent, migration.body)
        if own in known:
            text = f"says the same as {known[own].origin}, and follows the same migration"
            raise fault(BAD_CHAIN, text, where=migration.origin)
        known[own] = migration
        children.setdefault(parent, []).append(own)
    _check_parents(known)
    links: list[Link] = []
    here = ""
    while here in children:
        following = children[here]
        if len(following) > 1:
            files = " and ".join(known[each].origin for each in following)
            what = f"follow {here}" if here else "begin the chain"
            raise fault(BAD_CHAIN, f"{files} both {what}", hint="give one of them the other's id as its parent")
        here = following[0]
        links.append(Link(here, len(links) + 1, known[here]))
    return Chain(tuple(links))


def _check_parents(known: Mapping[str, Migration]) -> None:
    for migration in known.values():
        parent = migration.chain.parent if migration.chain else ""
        if parent and parent not in known:
            number = parent.partition("-")[0]
            changed = [own for own in known if own.partition("-")[0] == number]
            hint = (
                f"{known[changed[0]].origin} is {changed[0]} now: it was changed since"
                if changed
                else "a file is missing"
            )
            text = f"follows {parent}, which is no migration of the chain"
            raise fault(BAD_CHAIN, text, where=migration.chain.where if migration.chain else "", hint=hint)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a checkpoint tells of its place: stamped revisions by section, `k1:` digests of its state dicts, and its tree.

    `holds` decides the condition of a migration, `look` gives what is at a path of the tree.
    """

    stamps: Mapping[str, str]
    digests: Sequence[str]
    holds: Callable[[Migration], bool]
    look: Callable[[str], Sequence[Value]]


@dataclass(frozen=True, slots=True)
class Standing:
    """A place in a chain, and what told it: stamp, digest or condition."""

    place: int
    by: str


def locate(chain: Chain, evidence: Evidence) -> Standing:
    """The place at which a checkpoint stands: by its stamp, else by the digest of its keys, else by the migrations' conditions.

    A stamp of another chain tells nothing. `PlanFaults` where nothing does, it could be at several places, or its stamps differ.
    """
    known = {link.revision: link.number for link in chain.links} | {BASE: 0}
    stamped = sorted({revision for revision in evidence.stamps.values() if revision in known})
    if len(stamped) > 1:
        text = f"the checkpoint says that it is at {' and '.join(stamped)}"
        raise fault(BAD_CHAIN, text, hint="--from REV says where it stands")
    if stamped:
        return Standing(known[stamped[0]], "stamp")
    by_digest, by_condition = (sorted(set(way(chain, evidence))) for way in (_by_digest, _by_condition))
    if len(by_digest) == 1:
        return Standing(by_digest[0], "digest")
    if len(by_condition) == 1:
        return Standing(by_condition[0], "condition")
    if by_condition or by_digest:
        names = ", ".join(chain.name(each) for each in by_condition or by_digest)
        raise fault(BAD_CHAIN, f"the checkpoint may stand at each of {names}", hint="--from REV says at which")
    raise fault(
        BAD_CHAIN, "nothing tells where in the chain the checkpoint stands", hint="--from REV says it: base, or an id"
    )


def _by_digest(chain: Chain, evidence: Evidence) -> Iterator[int]:
    for link in chain.links:
        place = link.migration.chain
        if place is None:
            continue
        for digest, at in ((place.before, link.number - 1), (place.after, link.number)):
            if digest and any(each.startswith(digest) for each in evidence.digests):
                yield at


def _by_condition(chain: Chain, evidence: Evidence) -> Iterator[int]:
    """Before a migration whose condition holds; at the head where what the last one sets is there, and its condition does not hold."""
    for link in chain.links:
        if link.migration.when is not None and evidence.holds(link.migration):
            yield link.number - 1
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
