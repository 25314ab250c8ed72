"""Subtrees that only one place on either side can be: what is below them has the same shapes, and nothing else of the side has those."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import pairwise

from ckptlint.engine.suggest.families import Family, Segments

_FEWEST = 2  # families below, for a subtree to be told by their shapes


class Subtrees:
    """Which path of the source is which of the target, as far as the shapes below say it."""

    def __init__(self, old: Sequence[Family], new: Sequence[Family]) -> None:
        mine, theirs = _unique(old), _unique(new)
        self._home: dict[Segments, Segments] = {mine[sign]: theirs[sign] for sign in mine.keys() & theirs.keys()}
        self._back = {path: home for home, path in self._home.items()}

    def agree(self, old: Family, new: Family) -> float:
        """1 where the subtrees that the two lie in say that they are one, 0 where they say that they are not, else one half."""
        said = [_inside(self._home, old.module, new.module), _inside(self._back, new.module, old.module)]
        known = [each for each in said if each is not None]
        return 0.5 if not known else float(all(known))


def _inside(home: Mapping[Segments, Segments], mine: Segments, theirs: Segments) -> bool | None:
    """Whether the nearest known subtree around one went to where the other lies."""
    for length in range(len(mine), 0, -1):
        found = home.get(mine[:length])
        if found is not None:
            return theirs[: len(found)] == found
    return None


def _unique(families: Iterable[Family]) -> dict[Hashable, Segments]:
    """The deepest path of every set of shapes that only one subtree has."""
    below: dict[Segments, list[int]] = {}
    for family in families:
        sign = hash((family.shapes, family.places))
        for length in range(1, len(family.template)):
            below.setdefault(family.template[:length], []).append(sign)
    paths: dict[Hashable, list[Segments]] = {}
    for path, signs in below.items():
        if len(signs) >= _FEWEST:
            paths.setdefault(tuple(sorted(signs)), []).append(path)
    return {sign: max(found, key=len) for sign, found in paths.items() if _one_chain(found)}


def _one_chain(paths: Sequence[Segments]) -> bool:
    """Whether each path lies in the one before: one subtree, with nothing beside it."""
    ordered = sorted(paths, key=len)
    return all(other[: len(one)] == one for one, other in pairwise(ordered))
