"""Tensors of a module belong together: two cannot be one where another tensor of their modules has the same name, and another size.

The numbers of a list belong together, too: where it has others on the other side, its 1 need not be the 1 there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Final

from ckptlint.engine.suggest.families import Family, Segments

_KINDS: Final = frozenset(("weight", "bias", "running_mean"))


class Modules:
    """The tensors of every module of both sides, by their last names."""

    def __init__(self, old: Iterable[Family], new: Iterable[Family]) -> None:
        self._old = _by_module(old)
        self._new = _by_module(new)

    def clash(self, old: Family, new: Family) -> bool:
        """Whether the modules of the two hold something of the same name, but of another size."""
        mine, theirs = self._old.get(old.module), self._new.get(new.module)
        if mine is None or theirs is None:
            return False
        others = (mine.keys() & theirs.keys()) - {old.leaf, new.leaf}
        return any(_elements(mine[leaf]) != _elements(theirs[leaf]) for leaf in others)

    def alike(self, old: Family, new: Family) -> bool:
        """Whether the modules of the two hold the same kinds of tensors: a weight with a bias is another thing than one without."""
        mine, theirs = self._old.get(old.module, {}), self._new.get(new.module, {})
        return mine.keys() & _KINDS == theirs.keys() & _KINDS


def _by_module(families: Iterable[Family]) -> dict[Segments, dict[str, Family]]:
    found: dict[Segments, dict[str, Family]] = {}
    for family in families:
        found.setdefault(family.module, {})[family.leaf] = family
    return found


def _elements(family: Family) -> int:
    return prod(family.shape)


class Numbers:
    """The numbers that stayed literal, by the list they are of."""

    def __init__(self, old: Iterable[Family], new: Iterable[Family]) -> None:
        self._old, self._new = _by_list(old), _by_list(new)

    def moved(self, old: Segments, new: Segments) -> bool:
        """Whether two paths end alike, with a number of lists that have different numbers."""
        for back in range(1, min(len(old), len(new)) + 1):
            if old[-back] != new[-back]:
                return False
            if old[-back].isdigit() and self._old.get(old[:-back]) != self._new.get(new[:-back]):
                return True
        return False


def _by_list(families: Iterable[Family]) -> dict[Segments, set[str]]:
    found: dict[Segments, set[str]] = {}
    for family in families:
        for place, segment in enumerate(family.template):
            if segment.isdigit():
                found.setdefault(family.template[:place], set()).add(segment)
    return found


@dataclass(frozen=True, slots=True)
class Natures:
    """Which vectors of either side are about 1, and which about 0, by their values."""

    old: Mapping[str, int]
    new: Mapping[str, int]

    def clash(self, old: Family, new: Family) -> bool:
        """Whether all that is known of one is about 1, and all that is known of the other about 0."""
        if not self.old or not self.new:
            return False
        mine = {self.old[key] for key in old.keys if key in self.old}
        theirs = {self.new[key] for key in new.keys if key in self.new}
        return len(mine) == len(theirs) == 1 and mine != theirs
