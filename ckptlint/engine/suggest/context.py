"""Where in the tree things went: pairs that are decided speak for others that stand beside them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from ckptlint.engine.suggest.families import Family, Segments
from ckptlint.engine.suggest.ordering import Neighbours

_MOST_OF: Final = 0.8  # of the decided neighbours, so many went to one place: it is their home


@dataclass(slots=True)
class _Votes:
    """Under each path of one side: how many of its families are decided, and how many of those went below each path of the other."""

    decided: Counter[Segments] = field(default_factory=Counter)
    below: dict[Segments, Counter[Segments]] = field(default_factory=dict)
    around: dict[Segments, Counter[Segments]] = field(default_factory=dict)  # the same without the modules themselves
    homes: dict[Segments, tuple[int, Segments]] = field(default_factory=dict)

    def add(self, mine: Segments, theirs: Segments) -> None:
        prefixes = [theirs[:length] for length in range(1, len(theirs))]
        for length in range(1, len(mine)):
            prefix = mine[:length]
            self.decided[prefix] += 1
            self.below.setdefault(prefix, Counter()).update(prefixes)
            self.around.setdefault(prefix, Counter()).update(prefixes[:-1])

    def at_home(self, mine: Segments, theirs: Segments) -> bool | None:
        """Whether the other's path is below the one to which the nearest decided neighbours went; None where there are none."""
        for length in range(len(mine) - 1, 0, -1):
            if self.decided[mine[:length]]:
                home = self._home(mine[:length])
                return theirs[: len(home)] == home
        return None

    def _home(self, prefix: Segments) -> Segments:
        """The deepest path, above modules, below which most of what is decided under `prefix` went."""
        decided = self.decided[prefix]
        known = self.homes.get(prefix)
        if known is None or known[0] != decided:
            most = (path for path, count in self.around[prefix].items() if count >= _MOST_OF * decided)
            known = self.homes[prefix] = (decided, max(most, key=len, default=()))
        return known[1]

    def common(self, mine: Segments, theirs: Segments) -> float | None:
        """How many segments the nearest decided neighbours have in common with the other's path; None where there are none."""
        for length in range(len(mine) - 1, 0, -1):
            prefix = mine[:length]
            decided = self.decided[prefix]
            if decided:
                below = self.below[prefix]
                common = sum(below[theirs[:end]] for end in range(1, len(theirs)))
                return common / decided
        return None


@dataclass(slots=True)
class Context:
    """What the pairs decided so far say of those that are not."""

    old: _Votes = field(default_factory=_Votes)
    new: _Votes = field(default_factory=_Votes)
    modules: dict[Segments, Segments] = field(default_factory=dict)
    neighbours: Neighbours = field(default_factory=Neighbours)

    def add(self, old: Family, new: Family) -> None:
        self.old.add(old.template, new.template)
        self.new.add(new.template, old.template)
        if min(old.order, new.order) >= 0:
            self.neighbours.add(old, new)
        if old.leaf == new.leaf:
            self.modules.setdefault(old.module, new.module)

    def nearness(self, old: Family, new: Family) -> float:
        """How well a pair stands beside those that are decided, from 0 to 1; one half where nothing is."""
        forth, back = self._both(old, new)
        found = [
            near / max(length - 1, 1)
            for near, length in ((forth, len(new.template)), (back, len(old.template)))
            if near is not None
        ]
        return sum(found) / len(found) if found else 0.5

    def common(self, old: Family, new: Family) -> float:
        """The same as segments in common, a tenth for each: what long and short paths can be compared by."""
        found = [near / 10 for near in self._both(old, new) if near is not None]
        return sum(found) / len(found) if found else 0.2

    def _both(self, old: Family, new: Family) -> tuple[float | None, float | None]:
        return self.old.common(old.template, new.template), self.new.common(new.template, old.template)

    def at_home(self, old: Family, new: Family) -> float:
        """1 where a pair lies where the nearest decided neighbours of both went, 0 where it does not, one half where nothing is decided."""
        said = self.old.at_home(old.template, new.template), self.new.at_home(new.template, old.template)
        known = [each for each in said if each is not None]
        return float(all(known)) if known else 0.5

    def kin(self, old: Family, new: Family) -> bool:
        """Whether another tensor of the same module went to the same module: a bias goes where its weight went."""
        return old.leaf == new.leaf and self.modules.get(old.module) == new.module
