"""What became of which key, end to end: the edges of stages that follow one another become one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from itertools import groupby

from ckptlint.core.plan import Edge, Plan


def composed(first: Sequence[Edge], then: Sequence[Edge]) -> list[Edge]:
    """Return edges from the keys before `first` to the keys after `then`.

    Where a later edge joins what earlier ones made apart (or takes a part of what one made), they become one edge.
    """
    maker = {key: place for place, edge in enumerate(first) for key in edge.targets}
    groups = _Groups(len(first))
    later: dict[int, list[Edge]] = {}
    new: list[Edge] = []
    for edge in then:
        makers = [maker[key] for key in edge.sources]
        if not makers:
            new.append(edge)
            continue
        for other in makers[1:]:
            groups.join(makers[0], other)
        later.setdefault(makers[0], []).append(edge)
    members: dict[int, tuple[list[Edge], list[Edge]]] = {}
    for place, edge in enumerate(first):
        before, after = members.setdefault(groups.root(place), ([], []))
        before.append(edge)
        after.extend(later.get(place, ()))
    return [_merged(before, after) for before, after in members.values()] + new


def end_to_end(plan: Plan) -> Sequence[Edge]:
    """Return a plan's edges from its source to its target; a plan composed of several has edges for each hop.

    Every key of a hop stands in exactly one of its edges, so a hop ends where all its keys have been met.
    """
    hops: list[list[Edge]] = [[]]
    left = set(plan.source.tensors)
    for edge in plan.edges:
        if edge.sources and not left:
            left = {key for each in hops[-1] for key in each.targets}
            hops.append([])
        left.difference_update(edge.sources)
        hops[-1].append(edge)
    return reduce(composed, hops)


def in_order(edges: Iterable[Edge], source: Iterable[str], target: Iterable[str]) -> tuple[Edge, ...]:
    """Return the edges by the first key they take, those that take none last; keys inside them stay as they are."""
    places = {key: place for place, key in enumerate(source)}
    targets = {key: place for place, key in enumerate(target)}
    end = len(places)

    def place(edge: Edge) -> tuple[int, int]:
        sources = edge.sources
        if len(sources) == 1:
            return places[sources[0]], 0
        if sources:
            return min([places[key] for key in sources]), 0
        return end, min([targets[key] for key in edge.targets], default=0)

    return tuple(sorted(edges, key=place))


def _merged(before: list[Edge], after: list[Edge]) -> Edge:
    if len(before) == len(after) == 1:
        first, last = before[0], after[0]
        if first.targets == last.sources == last.targets and not last.ops and not last.reason:
            return first
        if first.sources == first.targets == last.sources and not first.ops:
            return last
    edges = before + after
    telling = next((edge for edge in reversed(edges) if edge.reason or edge.ops), edges[-1])
    return Edge(
        _distinct(edge.sources for edge in before),
        _distinct(edge.targets for edge in after) if after else _distinct(edge.targets for edge in before),
        tuple(word for word, _ in groupby(word for edge in edges for word in edge.ops)),
        telling.where or edges[0].where,
        next((edge.reason for edge in edges if edge.reason), ""),
    )


def _distinct(keys: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(key for some in keys for key in some))


class _Groups:
    """Numbers joined into groups (union by path halving)."""

    def __init__(self, count: int) -> None:
        self._parents = list(range(count))

    def root(self, member: int) -> int:
        parents = self._parents
        while parents[member] != member:
            parents[member] = member = parents[parents[member]]
        return member

    def join(self, one: int, other: int) -> None:
        self._parents[self.root(other)] = self.root(one)
