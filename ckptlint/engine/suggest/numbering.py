"""Lists whose numbers follow one rule: `stages.1.blocks.0` is `features.3` where all that is decided of the two lists keeps its order.

A list is a path with numbers, `stages.#.blocks.#`, and what its numbers count has a rank, from (0, 0) on. Where three ranks or more are
decided, none to two places, and in the order of the other side, a rank between two of them is the one between theirs, if there are as many
between. What the two hold must have the same shapes; which of it is which is decided among them alone.

Where decided pairs keep their numbers, the numbers are names, and stronger than ranks: what would go to another number, though its own is
there on the other side with the same shapes, or that number on its own side, is left open.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, NamedTuple

from ckptlint.engine.suggest.families import HOLE, Family, Segments
from ckptlint.engine.suggest.unsourced import is_known

_COUNTED: Final = re.compile(r"([A-Za-z][A-Za-z_-]*?)?[_-]?([0-9]{1,9})([a-z]?)(?:_([A-Za-z].*))?")
_FEWEST: Final = 3  # ranks that are decided

Number = tuple[int, str]
Numbers = tuple[Number, ...]


class _Item(NamedTuple):
    """One thing of a list: the list's path, and the numbers on the way to it."""

    path: Segments
    numbers: Numbers


class Block(NamedTuple):
    """What two lists hold at one rank, and is open on both sides."""

    old: list[Family]
    new: list[Family]


@dataclass(slots=True)
class _Lists:
    """The lists of one side: the numbers of each, all that lies at each, and what of it is open."""

    numbers: dict[Segments, set[Numbers]] = field(default_factory=dict)
    held: dict[_Item, list[Family]] = field(default_factory=dict)
    open: dict[_Item, list[Family]] = field(default_factory=dict)

    @classmethod
    def of(cls, every: Iterable[Family], open_families: Iterable[Family]) -> _Lists:
        found = cls()
        for family in open_families:
            for item in _items(family.template):
                found.open.setdefault(item, []).append(family)
        wanted = {item.path for item in found.open}
        for family in every:
            for item in _items(family.template):
                if item.path in wanted:
                    found.numbers.setdefault(item.path, set()).add(item.numbers)
                    found.held.setdefault(item, []).append(family)
        return found


def blocks(
    pairs: Sequence[tuple[Family, Family]],
    every: tuple[Sequence[Family], Sequence[Family]],
    left: tuple[Sequence[Family], Sequence[Family]],
) -> Iterator[Block]:
    """What is open at ranks that the decided pairs of two lists give away; the innermost lists first. Each family is a single key."""
    old, new = (_Lists.of(*each) for each in zip(every, left, strict=True))
    votes = _votes(pairs, old, new)
    for (mine, theirs), said in sorted(votes.items(), key=lambda each: (-len(each[0][0]), each[0])):
        ranks_old, ranks_new = sorted(old.numbers[mine]), sorted(new.numbers[theirs])
        known = _rule(said, ranks_old, ranks_new)
        for rank, numbers in enumerate(ranks_old):
            other = _rank(rank, known, (len(ranks_old), len(ranks_new)))
            one = old.open.get(_Item(mine, numbers), [])
            two = [] if other is None else new.open.get(_Item(theirs, ranks_new[other]), [])
            if one and _shapes(one) == _shapes(two) and other is not None:
                elsewhere = (old.held.get(_Item(mine, ranks_new[other]), []), new.held.get(_Item(theirs, numbers), []))
                moves = numbers != ranks_new[other] and any(_holds(each, one) for each in elsewhere)
                if not (moves and _are_names(said, ranks_old[0])):
                    yield Block(one, two)


def _holds(every: Iterable[Family], some: Iterable[Family]) -> bool:
    return _shapes(some) <= _shapes(every)


def _are_names(said: Mapping[Numbers, set[Numbers]], first: Numbers) -> bool:
    """Whether a decided pair keeps its numbers; the first of two lists that count from the same number does in any case."""
    return any(numbers in others for numbers, others in said.items() if numbers != first)


def crossing(
    pairs: Iterable[tuple[Family, Family]], decided: Iterable[tuple[Family, Family]]
) -> Iterator[tuple[Family, Family]]:
    """The pairs that do not keep their numbers, and change places with a decided one of their shape that does."""
    kept: dict[tuple[Segments, Segments, tuple[int, ...]], list[Numbers]] = {}
    for one, other in decided:
        for mine, theirs in _beside(one, other):
            if mine.numbers == theirs.numbers:
                kept.setdefault((mine.path, theirs.path, one.shape), []).append(mine.numbers)
    for each in kept.values():
        each.sort()
    for one, other in pairs:
        for mine, theirs in _beside(one, other):
            stayed = kept.get((mine.path, theirs.path, one.shape), ())
            low, high = sorted((mine.numbers, theirs.numbers))
            if low != high and bisect_left(stayed, low) < bisect_right(stayed, high):
                yield one, other
                break


def _beside(one: Family, other: Family) -> Iterator[tuple[_Item, _Item]]:
    """The lists that two tensors lie in, from the innermost."""
    return zip(reversed(list(_items(one.template))), reversed(list(_items(other.template))), strict=False)


def _votes(
    pairs: Iterable[tuple[Family, Family]], old: _Lists, new: _Lists
) -> dict[tuple[Segments, Segments], dict[Numbers, set[Numbers]]]:
    """Of every two lists that have something open: the numbers that decided pairs lead to, from each."""
    found: dict[tuple[Segments, Segments], dict[Numbers, set[Numbers]]] = {}
    for one, other in pairs:
        theirs = [item for item in _items(other.template) if item.path in new.numbers]
        for mine in _items(one.template) if theirs else ():
            if mine.path in old.numbers:
                for item in theirs:
                    said = found.setdefault((mine.path, item.path), {})
                    said.setdefault(mine.numbers, set()).add(item.numbers)
    return found


def _rule(
    said: Mapping[Numbers, set[Numbers]], old: Sequence[Numbers], new: Sequence[Numbers]
) -> list[tuple[int, int]]:
    """The decided ranks in order; nothing where they are few, or do not follow one order."""
    if any(len(each) > 1 for each in said.values()) or len(said) < _FEWEST:
        return []
    mine = {numbers: rank for rank, numbers in enumerate(old)}
    theirs = {numbers: rank for rank, numbers in enumerate(new)}
    ranks = sorted((mine[numbers], theirs[other]) for numbers, (other,) in said.items())
    return ranks if all(one[1] < other[1] for one, other in pairwise(ranks)) else []


def _rank(rank: int, known: Sequence[tuple[int, int]], ends: tuple[int, int]) -> int | None:
    """The rank that it has on the other side; None where the decided ones around it do not say."""
    if not known:
        return None
    around = [(-1, -1), *known, ends]
    place = bisect_left(around, (rank, -1))
    before, after = around[place - 1], around[place]
    if after[0] == rank:
        return after[1]
    return before[1] + rank - before[0] if after[0] - before[0] == after[1] - before[1] else None


def _shapes(families: Iterable[Family]) -> Counter[tuple[int, ...]]:
    """The shapes of all but counts of batches, which one side may not have kept."""
    return Counter(family.shape for family in families if not is_known(family))


def _items(template: Segments) -> Iterator[_Item]:
    """Every list that a path lies in, from the outermost."""
    path: list[str] = []
    numbers: list[Number] = []
    for segment in template[:-1]:
        found = _COUNTED.fullmatch(segment)
        if found is None:
            path.append(segment)
            continue
        stem, number, letter, rest = found.groups()
        path += [*([stem] if stem else []), HOLE]
        numbers.append((int(number), letter))
        yield _Item(tuple(path), tuple(numbers))
        path += [rest] if rest else []
