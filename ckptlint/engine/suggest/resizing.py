"""Find tensors that were resized: the same thing by name or place, with another length along one dimension, or another kernel.

Which entries are kept, and what fills new ones, nobody but the user knows: a resized pair is said, never made.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from ckptlint.engine.suggest.families import Family, Segments
from ckptlint.engine.suggest.names import clash, tail, words
from ckptlint.engine.suggest.pairing import Pairing
from ckptlint.engine.suggest.suggestion import Resized

_MOST: Final = 10_000  # candidate pairs of one shape that are compared
_NAMED: Final = 0.5
_KIN: Final = 1.5  # another tensor of the module went there, or was resized there
_MARGIN: Final = 0.3  # by which a pair must be better than all others of either


_Sign = tuple[tuple[int, ...], Hashable, Hashable]  # along which dimensions they differ, and what they have in common


class _Candidate(NamedTuple):
    """A pair that may be one thing resized, how surely, and along which dimensions."""

    sure: float
    old: Family
    new: Family
    dims: tuple[int, ...]
    why: str


def resized(old: Sequence[Family], new: Sequence[Family], pairing: Pairing) -> tuple[Resized, ...]:
    """Pair what is open on both sides and differs in one dimension or in both of a kernel; each family once, none that has a rival."""
    modules: dict[Segments, Segments] = {}
    found: list[Resized] = []
    for vectors in (False, True):  # a bias goes where its weight went
        mine, theirs = ([family for family in side if (len(family.shape) == 1) == vectors] for side in (old, new))
        for each in _clear(list(_candidates(mine, theirs, pairing, modules))):
            found.append(Resized(each.old, each.new, each.dims, each.why))
            modules[each.old.module] = each.new.module
    return tuple(sorted(found, key=lambda each: each.source.order))


def _candidates(
    old: Iterable[Family], new: Iterable[Family], pairing: Pairing, modules: dict[Segments, Segments]
) -> Iterator[_Candidate]:
    buckets: dict[_Sign, tuple[list[Family], list[Family]]] = {}
    for number, side in enumerate((old, new)):
        for family in side:
            for sign in _signs(family):
                buckets.setdefault(sign, ([], []))[number].append(family)
    for (dims, _, _), (mine, theirs) in buckets.items():
        if len(mine) * len(theirs) > _MOST:
            continue
        for one in mine:
            for other in theirs:
                sure, why = _judged(one, other, pairing, modules)
                if sure and all(one.shape[dim] != other.shape[dim] for dim in dims):
                    yield _Candidate(sure, one, other, dims, why)


def _signs(family: Family) -> Iterator[_Sign]:
    """What a family has in common with others that differ from it along some dimensions: one, or those of a kernel."""
    if not family.uniform:
        return
    shape = family.shape
    for dims in [*((dim,) for dim in range(len(shape))), *([(2, 3)] if len(shape) == 4 else [])]:
        rest = tuple(-1 if dim in dims else size for dim, size in enumerate(shape))
        yield dims, rest, family.places


def _judged(old: Family, new: Family, pairing: Pairing, modules: dict[Segments, Segments]) -> tuple[float, str]:
    """How surely two families are one by name and place, and why; 0 where not."""
    if clash(old.leaf, new.leaf):
        return 0.0, ""
    if old.leaf == new.leaf and modules.get(old.module) == new.module:
        return _KIN + 1.0, "beside one that was resized"
    if pairing.context.kin(old, new):
        return _KIN, "place in the tree"
    exact = pairing.names.exact(old.template, new.template)
    if exact < _NAMED or pairing.numbers.moved(old.template, new.template):
        return 0.0, ""
    return exact + pairing.names.common(_plain(old), _plain(new)), "name"


def _plain(family: Family) -> list[tuple[str, float]]:
    return [(word, 1.0) for segment in tail(family.template) for word in words(segment)]


def _clear(candidates: Sequence[_Candidate]) -> Iterator[_Candidate]:
    """Those that are better by a margin than all others of the same source or target."""
    of_old: dict[Segments, list[float]] = {}
    of_new: dict[Segments, list[float]] = {}
    for each in candidates:
        of_old.setdefault(each.old.template, []).append(each.sure)
        of_new.setdefault(each.new.template, []).append(each.sure)
    for each in candidates:
        ranks = (sorted(of_old[each.old.template])[::-1], sorted(of_new[each.new.template])[::-1])
        if all(rank[0] == each.sure and (len(rank) == 1 or rank[1] <= each.sure - _MARGIN) for rank in ranks):
            yield each
