"""What `suggest` finds: matches of families, what it leaves open with the alternatives, and both over real keys."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from ckptlint.engine.suggest.families import Family, Index

_BACK: Final = {"stack": "unstack", "concat": "split"}
Way = Literal["rename", "transpose", "reshape", "concat", "split", "stack", "unstack", "new"]


@dataclass(frozen=True, slots=True)
class Match:
    """Old families that become new ones; one side has a single family, or none where the other is `new`.

    Parts of a whole are in order. They are stacked over their innermost list where `stacked`, then joined along `dim` (an axis of one
    part); `turned` parts are transposed. `confidence` is the chance that this is right, `evidence` what speaks for it.
    """

    way: Way
    sources: tuple[Family, ...]
    targets: tuple[Family, ...]
    confidence: float
    evidence: tuple[str, ...]
    dim: int = 0
    stacked: bool = False
    turned: bool = False

    @property
    def moves(self) -> bool:
        """Whether the tensors keep their elements as they are stored: nothing but the keys changes."""
        return self.way == "rename" and (not self.turns or self._turns_back)

    @property
    def turns(self) -> bool:
        """Whether a side keeps the tensors in another framework's way."""
        return any(family.turn for family in (*self.sources, *self.targets))

    @property
    def _turns_back(self) -> bool:
        mine, theirs = self.sources[0], self.targets[0]
        return mine.turn == theirs.turn and mine.stored == theirs.stored

    @property
    def ops(self) -> tuple[str, ...]:
        """What is done to the tensors, in the words of the operations; nothing for a rename."""
        if self.moves:
            return ()
        turned = ("transpose",) if self.turns else ()
        return (*turned, *self._ops) if any(family.turn for family in self.sources) else (*self._ops, *turned)

    @property
    def _ops(self) -> tuple[str, ...]:
        if self.way == "rename":
            return ()
        if self.way in {"new", "transpose", "reshape"}:
            return (self.way,)
        several = len(self.sources) + len(self.targets) > 2
        steps = {"transpose": self.turned, "stack": self.stacked, "concat": several}
        found = tuple(step for step, done in steps.items() if done)
        return found if self.way in {"concat", "stack"} else tuple(_BACK.get(step, step) for step in reversed(found))

    def edges(self) -> Iterator[Edge]:
        """The match over real keys, one edge for each whole."""
        for sources, targets in self._keys():
            yield Edge(sources, targets, self.ops, self.confidence)

    def _keys(self) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
        if not self.sources:
            yield from (((), (key,)) for key in self.targets[0].keys)
        elif self.way in {"concat", "stack"}:
            yield from (
                (parts, (key,)) for key, parts in _gathered(self.targets[0], self.sources, stacked=self.stacked)
            )
        elif self.way in {"split", "unstack"}:
            yield from (
                ((key,), parts) for key, parts in _gathered(self.sources[0], self.targets, stacked=self.stacked)
            )
        else:
            yield from (((old,), (new,)) for old, new in zip(self.sources[0].keys, self.targets[0].keys, strict=True))


def _gathered(whole: Family, parts: tuple[Family, ...], *, stacked: bool) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each key of the whole with those of its parts: part by part, or member by member of the list."""
    of_place: dict[Index, list[tuple[Index, int, str]]] = {}
    for number, part in enumerate(parts):
        for place, key in zip(part.places, part.keys, strict=True):
            of_place.setdefault(place[:-1] if stacked else place, []).append((place, number, key))
    for place, key in zip(whole.places, whole.keys, strict=True):
        yield key, tuple(part for _, _, part in sorted(of_place[place]))


@dataclass(frozen=True, slots=True)
class Edge:
    """Keys that become keys; `ops` is empty for a rename, `sources` for a new tensor."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    ops: tuple[str, ...]
    confidence: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """One of the things that a family may become, with its chance and what speaks for it."""

    target: Family
    chance: float
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ambiguity:
    """A family of the source that is left to the user; the likeliest targets first."""

    source: Family
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class Resized:
    """Two families that are one thing, but for their sizes along `dims`, and what says so. Both are left to the user."""

    source: Family
    target: Family
    dims: tuple[int, ...]
    why: str


@dataclass(frozen=True, slots=True)
class Suggestion:
    """All that was found out: matches, sources that have no counterpart, what is open on both sides, and alternatives for it.

    What was resized is open, too, and so is what is `unsourced`: trained tensors of the target that nothing of the source can become.
    """

    matches: tuple[Match, ...]
    dropped: tuple[Family, ...]
    open_sources: tuple[Family, ...]
    open_targets: tuple[Family, ...]
    ambiguities: tuple[Ambiguity, ...]
    resized: tuple[Resized, ...] = ()
    unsourced: tuple[Family, ...] = ()

    def edges(self) -> Iterator[Edge]:
        return (edge for match in self.matches for edge in match.edges())

    @property
    def complete(self) -> bool:
        """Whether nothing is left open."""
        return not self.open_sources and not self.open_targets
