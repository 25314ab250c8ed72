"""A chain of migrations: their order by parents, with branches and where they are merged, and the way from one place to another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ckptlint.core.chain import NOT_RECORDED, KeyDigests, number_of, revision_id
from ckptlint.core.migration import ChainPlace, Migration
from ckptlint.engine.faults import BAD_CHAIN, PlanFaults, fault
from ckptlint.errors import UsageError

HEAD = "head"
BASE = "base"
_NO_PLACE = ChainPlace()


@dataclass(frozen=True, slots=True)
class Link:
    """A migration of a chain, with its id; `number` is its place in the chain's order, from 1.

    `follows` are the places that it follows, 0 for the base; `done` is what has been done behind it: it and all before it.
    """

    revision: str
    number: int
    migration: Migration
    follows: tuple[int, ...] = (0,)
    done: frozenset[int] = frozenset()

    @property
    def place(self) -> ChainPlace:
        return self.migration.chain or _NO_PLACE


@dataclass(frozen=True, slots=True)
class Shortcut:
    """A squash: one migration in the place of links that follow each other, by their numbers."""

    numbers: tuple[int, ...]
    migration: Migration


@dataclass(frozen=True, slots=True)
class Chain:
    """Links in an order in which each stands behind those that it follows.

    A checkpoint stands at a place: 0 before all of them, n behind link n. Where branches were merged, a place inside of one has nothing of
    the others. `gone` are ids whose files were taken away after a squash, with the squash's file. `added` are digests at the head of
    variants that came after the last migration.
    """

    links: tuple[Link, ...]
    shortcuts: tuple[Shortcut, ...] = ()
    gone: Mapping[str, str] = field(default_factory=dict)
    added: KeyDigests = NOT_RECORDED

    @property
    def migrations(self) -> list[Migration]:
        """All files of the chain: those of the links, and the squashes beside them."""
        return [*(link.migration for link in self.links), *(each.migration for each in self.shortcuts)]

    @property
    def heads(self) -> tuple[Link, ...]:
        """The links that no other one follows."""
        followed = {number for link in self.links for number in link.follows}
        return tuple(link for link in self.links if link.number not in followed)

    def done(self, place: int) -> frozenset[int]:
        """The numbers of the links that a checkpoint at a place has behind it."""
        return self.links[place - 1].done if place else frozenset()

    def goes_back(self, start: int, end: int) -> bool:
        """Whether the way between two places undoes what was done; `UsageError` where they are on different branches."""
        here, there = self.done(start), self.done(end)
        if here <= there:
            return False
        if there <= here:
            return True
        common = self.name(max(here & there, default=0))
        text = f"{self.name(start)} and {self.name(end)} are on different branches"
        raise UsageError(text, hint=f"go back to {common} first, where they part")

    def ways(self, start: int, end: int) -> tuple[Link, ...]:
        """The links from a place to another one, in their order, also for the way back."""
        low, high = (end, start) if self.goes_back(start, end) else (start, end)
        between = self.done(high) - self.done(low)
        return tuple(link for link in self.links if link.number in between)

    def between(self, start: int, end: int) -> tuple[Migration, ...]:
        """The migrations from a place to another one, in the order of the way there, also for the way back; squashed where they can be."""
        found = [(link.number, link.migration) for link in self.ways(start, end)]
        for shortcut in sorted(self.shortcuts, key=lambda each: -len(each.numbers)):
            numbers = [number for number, _ in found]
            at = numbers.index(shortcut.numbers[0]) if shortcut.numbers[0] in numbers else len(numbers)
            count = len(shortcut.numbers)
            if tuple(numbers[at : at + count]) == shortcut.numbers:
                found[at : at + count] = [(-shortcut.numbers[0], shortcut.migration)]
        return tuple(migration for _, migration in found)

    def place(self, revision: str) -> int:
        """The place behind a revision: `head`, `base`, an id, the start of one, or a number; `UsageError` where there is none."""
        if revision == HEAD:
            return len(self.links)
        if revision == BASE:
            return 0
        found = self._called(revision)
        if not found and revision in self.gone:
            raise self.lost(revision)
        if len(found) != 1:
            there = f"from {self.links[0].revision} to {self.links[-1].revision}" if self.links else "none"
            text = f"{revision!r} is {'several revisions' if found else 'no revision'} of the chain"
            raise UsageError(text, hint=f"there are {there}; also `head` and `base`")
        return found[0]

    def _called(self, revision: str) -> list[int]:
        """The places that a number or the start of an id may mean."""
        if revision.isascii() and revision.isdigit() and len(revision) < 9:
            return [link.number for link in self.links if number_of(link.revision) == int(revision)]
        return [link.number for link in self.links if revision and link.revision.startswith(revision)]

    def lost(self, revision: str) -> PlanFaults:
        """The fault of a revision whose file is gone."""
        text = f"{revision} was squashed into {self.gone[revision]}, and its own file is gone"
        return fault(
            BAD_CHAIN,
            text,
            hint="git has it: put it back into the folder `squashed`, where files at it still find their way",
        )

    def name(self, place: int) -> str:
        """The revision that a place is behind."""
        return self.links[place - 1].revision if place else BASE

    def digests(self, place: int) -> KeyDigests:
        """The `k1:` digests of the keys at a place, as far as the migrations beside it say."""
        after = self.links[place - 1].place.after if place else NOT_RECORDED
        following = (link.place.before for link in self.links if link.follows == (place,))
        said = after or next((each for each in following if each), NOT_RECORDED)
        return said.with_more(self.added) if place == len(self.links) else said


def link_up(migrations: Iterable[Migration]) -> Chain:
    """Order migrations by their parents; `PlanFaults` where they are no chain with one head, and names the files at fault."""
    chain = with_heads(migrations)
    heads = chain.heads
    if len(heads) > 1:
        one, other = heads[:2]
        text = f"the chain has {len(heads)} heads: {_named(one)} and {_named(other)}{_both_follow(chain, one, other)}"
        folder = one.migration.origin.replace("\\", "/").rpartition("/")[0] or "."
        hint = f"`ckptlint rebase {folder} --against BRANCH` puts this branch's own behind those of BRANCH; `ckptlint merge {folder}` "
        hint += "joins released ones; both prove that the order does not matter"
        raise fault(BAD_CHAIN, text, hint=hint)
    return chain


def _named(link: Link) -> str:
    return f"{link.revision} ({link.migration.origin})"


def _both_follow(chain: Chain, one: Link, other: Link) -> str:
    """Where two heads part."""
    common = max(one.done & other.done, default=0)
    first, second = (min(link.done - {*chain.done(common)}) for link in (one, other))
    files = " and ".join(chain.links[number - 1].migration.origin for number in (first, second))
    return f"; {files} both {f'follow {chain.name(common)}' if common else 'begin the chain'}"


def with_heads(migrations: Iterable[Migration]) -> Chain:
    """Order migrations by their parents, however many heads there are; `PlanFaults` where one is missing, changed, or there twice."""
    everything = list(migrations)
    known: dict[str, Migration] = {}
    for migration in everything:
        if migration.chain is None or not migration.chain.replaces:
            _add(known, own_id(migration), migration)
    squashes = [each for each in everything if each.chain and each.chain.replaces]
    gone: dict[str, str] = {}
    for squash in squashes:
        gone |= _stand_in(squash, known)
    _check_parents(known)
    numbers = {revision: number for number, revision in enumerate(_ordered(known), 1)}
    links = _links(known, numbers)
    beside = [each for each in squashes if known[_replaced(each)[-1]] is not each]
    return Chain(links, tuple(_shortcut(each, numbers, links) for each in beside), gone)


def _links(known: Mapping[str, Migration], numbers: Mapping[str, int]) -> tuple[Link, ...]:
    links: list[Link] = []
    for revision, number in numbers.items():
        place = known[revision].chain or _NO_PLACE
        follows = tuple(numbers[parent] for parent in place.parents) or (0,)
        done = frozenset({number}).union(*(links[each - 1].done for each in follows if each))
        links.append(Link(revision, number, known[revision], follows, done))
    return tuple(links)


def own_id(migration: Migration) -> str:
    """The id of a migration, by what it says and follows."""
    place = migration.chain or _NO_PLACE
    number = 1 + max((number_of(parent) for parent in place.parents), default=0)
    return revision_id(number, place.parent, migration.body)


def _add(known: dict[str, Migration], own: str, migration: Migration) -> None:
    if own in known:
        text = f"says the same as {known[own].origin}, and follows the same migration"
        raise fault(BAD_CHAIN, text, where=migration.origin)
    known[own] = migration


def _replaced(squash: Migration) -> tuple[str, ...]:
    return squash.chain.replaces if squash.chain else ()


def _stand_in(squash: Migration, known: dict[str, Migration]) -> dict[str, str]:
    """Where the files that a squash replaces are gone, it has the place of the last; return the ids of the others."""
    replaced = _replaced(squash)
    if any(number_of(parent) >= number_of(replaced[0]) for parent in (squash.chain or _NO_PLACE).parents):
        raise fault(BAD_CHAIN, "follows what it does not stand behind", where=_where(squash))
    missing = [each for each in replaced if each not in known]
    if not missing:
        return {}
    if len(missing) < len(replaced):
        hint = "keep all of them, or none"
        raise fault(BAD_CHAIN, f"replaces {missing[0]}, whose file is missing", where=_where(squash), hint=hint)
    known[replaced[-1]] = squash
    return dict.fromkeys(replaced[:-1], squash.origin)


def _shortcut(squash: Migration, numbers: Mapping[str, int], links: Sequence[Link]) -> Shortcut:
    """A squash over links that are there, which must follow each other, the first behind what the squash follows."""
    replaced = tuple(numbers[each] for each in _replaced(squash))
    parents = tuple(numbers[each] for each in (squash.chain or _NO_PLACE).parents if each in numbers) or (0,)
    before = (parents, *((each,) for each in replaced[:-1]))
    for number, follows in zip(replaced, before, strict=True):
        if links[number - 1].follows != follows:
            wanted = " and ".join(links[each - 1].revision if each else BASE for each in follows)
            text = f"replaces {links[number - 1].revision}, which does not follow {wanted}"
            raise fault(BAD_CHAIN, text, where=_where(squash))
    return Shortcut(replaced, squash)


def _where(migration: Migration) -> str:
    return migration.chain.where if migration.chain else migration.origin


def _check_parents(known: Mapping[str, Migration]) -> None:
    for migration in known.values():
        for parent in (migration.chain or _NO_PLACE).parents:
            if parent not in known:
                number = parent.partition("-")[0]
                changed = [own for own in known if own.partition("-")[0] == number]
                hint = (
                    f"{known[changed[0]].origin} is {changed[0]} now: it was changed since"
                    if changed
                    else "a file is missing"
                )
                text = f"follows {parent}, which is no migration of the chain"
                raise fault(BAD_CHAIN, text, where=_where(migration), hint=hint)


def _ordered(known: Mapping[str, Migration]) -> Iterator[str]:
    """Ids, each behind those that it follows; a branch stays together, those that a merge names first come first.

    A number is greater than those of all that it follows, so that nothing can follow itself.
    """
    followed = {parent for migration in known.values() for parent in (migration.chain or _NO_PLACE).parents}
    work = [each for each in reversed([*known]) if each not in followed]
    seen: set[str] = set()
    while work:
        here = work[-1]
        before = [each for each in (known[here].chain or _NO_PLACE).parents if each not in seen]
        if before and here not in seen:
            work += reversed(before)
            continue
        work.pop()
        if here not in seen:
            seen.add(here)
            yield here
