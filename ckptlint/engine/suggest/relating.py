"""Tell a model that was renamed from another one of the same width and depth: in one model every tensor has a counterpart.

Shapes alone match half of any transformer with any other. What was renamed is accounted for as a whole; of two models either side keeps
what the other lacks: a gate in the layer, a norm, another embedding. Names that stayed the same excuse that: then one model changed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Final

from ckptlint.engine.moments import BUFFERS
from ckptlint.engine.suggest.families import HOLE, Family, Segments, Shape
from ckptlint.engine.suggest.names import tail, words
from ckptlint.engine.suggest.suggestion import Match, Resized

_PART_OF_ELEMENTS: Final = 0.2
_PART_OF_KEYS: Final = 0.5
_SAME_NAMES: Final = 0.7  # of the keys, so many must have kept the words of their names for one model that changed
_OF_A_LAYER: Final = 0.05  # of a layer's elements: less is left over on a side where a head or a mask went
_UNRELATED: Final = 0.5  # the confidence of a match between models that have little in common

_Place = tuple[Segments, Segments]
_Pair = tuple[Sequence[Family], Sequence[Family]]


def doubted(
    matches: Sequence[Match], old: Sequence[Family], new: Sequence[Family], resized: Iterable[Resized]
) -> list[Match]:
    """The matches, with little confidence in those that only two models of one size have in common.

    What was resized is accounted for.
    """
    left = _Left([*_pairs(matches), *(((each.source,), (each.target,)) for each in resized)], old, new)
    blocks = _blocks(matches)
    strange = {place for place, inside in blocks.items() if left.differs(place) and not _same_names(inside)}
    counted = sum(_targets(inside) for inside in blocks.values())
    few = not _one_model(matches, old, new)
    whole = few or (2 * sum(_targets(blocks[place]) for place in strange) > counted) or left.others(matches)
    lists = {block for place in strange for block in place}
    return [
        match
        if certain(match)
        or not (whole or lists & {_list_of(each.template) for each in (*match.sources, *match.targets)})
        else replace(match, confidence=min(match.confidence, _UNRELATED))
        for match in matches
    ]


def _pairs(matches: Iterable[Match]) -> list[_Pair]:
    return [(match.sources, match.targets) for match in matches]


def certain(match: Match) -> bool:
    """Whether a match stands by itself, whatever the models are: the same keys, or the same values."""
    return match.evidence == ("values",) or (match.moves and match.sources[0].keys == match.targets[0].keys)


def _one_model(matches: Iterable[Match], old: Iterable[Family], new: Iterable[Family]) -> bool:
    """Whether what matches is a good part of either side, by elements or by keys: else a norm here and there has the same width."""
    sources = [family for match in matches for family in match.sources]
    targets = [family for match in matches for family in match.targets]
    return any(
        elements(mine) >= _PART_OF_ELEMENTS * elements(every) or _keys(mine) >= _PART_OF_KEYS * _keys(every)
        for mine, every in ((sources, old), (targets, new))
    )


def elements(families: Iterable[Family]) -> int:
    """How many numbers the tensors of these families have together."""
    return sum(
        prod(family.shape) * len(family.members) if family.uniform else sum(prod(shape) for shape in family.shapes)
        for family in families
    )


def _keys(families: Iterable[Family]) -> int:
    return sum(len(family.members) for family in families)


def _targets(matches: Iterable[Match]) -> int:
    return sum(_keys(match.targets) for match in matches)


def _blocks(matches: Iterable[Match]) -> dict[_Place, list[Match]]:
    """The matches of every list's layers, by the list to which most of these went."""
    found: dict[_Place, list[Match]] = defaultdict(list)
    for match in matches:
        if match.sources and match.targets:
            found[_list_of(match.sources[0].template), _list_of(match.targets[0].template)].append(match)
    best: dict[Segments, _Place] = {}
    for place in sorted(found, key=lambda place: _targets(found[place])):
        if place[0] and place[1]:
            best[place[0]] = place
    return {place: found[place] for place in best.values()}


def _list_of(template: Segments) -> Segments:
    """The path up to the outermost list that it is in: layers with all that they hold; nothing where it is in none."""
    return template[: template.index(HOLE) + 1] if HOLE in template else ()


def _same_names(matches: Sequence[Match]) -> bool:
    """Whether most keep the words of their names within the layer, maybe with others added."""
    every = [match for match in matches if match.sources]
    kept = sum(_targets([match]) for match in every if _kept_words(match.sources[0], match.targets[0]))
    return kept >= _SAME_NAMES * _targets(every)


def _kept_words(old: Family, new: Family) -> bool:
    mine, theirs = (
        Counter(word for segment in tail(family.template) for word in words(segment)) for family in (old, new)
    )
    return mine <= theirs or theirs <= mine


class _Left:
    """The families of both sides that nothing accounts for, by the list whose layers they are in."""

    def __init__(self, pairs: Sequence[_Pair], old: Sequence[Family], new: Sequence[Family]) -> None:
        sources = {family.template for each, _ in pairs for family in each}
        targets = {family.template for _, each in pairs for family in each}
        self._old = _by_block(family for family in old if family.template not in sources)
        self._new = _by_block(family for family in new if family.template not in targets)
        self._layer = min(_layer(old), _layer(new))

    def differs(self, place: _Place) -> bool:
        """Whether the layers of two lists have something on a side that the other lacks, in its layers and beside them."""
        mine, theirs = self._old.get(place[0], ()), self._new.get(place[1], ())
        old, new = _shapes(self._old.get((), ())), _shapes(self._new.get((), ()))
        return any(_rests(mine, theirs)) and any(_rests(mine, theirs, (old, new)))

    def others(self, matches: Sequence[Match]) -> bool:
        """Whether both sides have much outside of lists that the other lacks, and the names are others."""
        rests = _rests(_outside(self._old), _outside(self._new))
        return min(rests) > _OF_A_LAYER * self._layer and not _same_names(matches)


def _by_block(families: Iterable[Family]) -> dict[Segments, list[Family]]:
    found: dict[Segments, list[Family]] = {}
    for family in families:
        if family.leaf not in BUFFERS and not _is_mask(family):
            found.setdefault(_list_of(family.template), []).append(family)
    return found


def _is_mask(family: Family) -> bool:
    """Whether it is `[1, 1, n, n]`, as attention keeps what it may not see."""
    *first, rows, columns = (0, *family.shape) if family.shape else (0, 0, 0)
    return rows == columns and bool(first[1:]) and set(first[1:]) == {1}


def _outside(blocks: Mapping[Segments, Sequence[Family]]) -> list[Family]:
    return [family for block, inside in blocks.items() if not block for family in inside]


def _rests(
    old: Iterable[Family], new: Iterable[Family], beside: tuple[Counter[Shape], Counter[Shape]] | None = None
) -> tuple[int, int]:
    """How many numbers either side has more, once what has the same shapes is taken off both; nothing where both have as many.

    `beside` are the shapes that either side has elsewhere, where the other's may have gone.
    """
    mine, theirs = _shapes(old), _shapes(new)
    beyond_old, beyond_new = beside or (Counter(), Counter())
    more = (mine - theirs - beyond_new, theirs - mine - beyond_old)
    rests = tuple(sum(prod(shape) * count for shape, count in each.items()) for each in more)
    return (0, 0) if rests[0] == rests[1] else (rests[0], rests[1])


def _shapes(families: Iterable[Family]) -> Counter[Shape]:
    """How many tensors there are of each shape, whichever way they are turned."""
    found: Counter[Shape] = Counter()
    for family in families:
        for shape in (family.shape,) * len(family.members) if family.uniform else family.shapes:
            found[tuple(sorted(size for size in shape if size != 1))] += 1
    return found


def _layer(families: Iterable[Family]) -> float:
    """How many numbers the largest layer of any list has."""
    sizes: Counter[Segments] = Counter()
    for family in families:
        block = _list_of(family.template)
        if block:
            sizes[block] += elements([family]) // len(family.members)
    return float(max(sizes.values(), default=0))
