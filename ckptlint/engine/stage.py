"""Carry out one stage of a migration: all its rewrites see the same keys, and each key has exactly one fate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ckptlint.core.migration import Copy, Drop, Keep, Move, New, Rewrite, Stage, Tie, Untie
from ckptlint.core.plan import Edge
from ckptlint.engine.arrange import Arrangement
from ckptlint.engine.board import CLONE, Board
from ckptlint.engine.calls import Workshop
from ckptlint.engine.claims import Claims, Match, claim, patterns_of
from ckptlint.engine.facts import HeaderFacts
from ckptlint.engine.faults import BAD_VALUE, MATCHES_NOTHING, UNCLAIMED, Faults
from ckptlint.engine.guards import Scene
from ckptlint.engine.moves import carry_out
from ckptlint.engine.new import make_new
from ckptlint.engine.params import Params, filled
from ckptlint.engine.ties import check_fates, tie, untie
from ckptlint.engine.work import Work
from ckptlint.errors import CkptlintError


@dataclass(frozen=True, slots=True)
class Bound:
    """A rewrite as it met the keys of its stage: whether its condition held, the keys it claimed, and its edges.

    `idle` are the patterns that matched nothing though the condition held.
    """

    rewrite: Rewrite
    active: bool
    keys: tuple[str, ...] = ()
    edges: tuple[Edge, ...] = ()
    idle: tuple[str, ...] = ()


@dataclass(slots=True)
class StageRun:
    """One stage over the keys `values`; afterwards `result` are the keys it made, `edges` and `bound` say how."""

    number: int
    stage: Stage
    board: Board
    values: dict[str, int]
    params: Params
    facts: HeaderFacts
    faults: Faults
    result: dict[str, int] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)
    bound: list[Bound] = field(default_factory=list)

    def run(self) -> None:
        """Carry the stage out; faults are noted, and keys that they concern are missing from the result."""
        active = self._active()
        values = dict(self.values)
        for rewrite in active.values():
            if isinstance(rewrite, Tie):
                tie(rewrite, values, self.board, self.faults)
            elif isinstance(rewrite, Untie):
                untie(rewrite, values, self.board, self.faults)
        claims = claim(active, values, self.faults)
        work = Work(self.board, self.params.over(values), self.faults, values, Arrangement(self.faults))
        self._rewrite_all(work, active, claims)
        self._keep_rest(work, active, claims)
        self._make_new(work, active)
        check_fates(values, work.fates, self.faults)
        self.result = work.made.ordered()

    def _active(self) -> dict[int, Rewrite]:
        rewrites = self.stage.rewrites
        if not any(rewrite.when for rewrite in rewrites):
            return dict(enumerate(rewrites))
        scene = Scene({key: self.board.specs[value] for key, value in self.values.items()}, self.params, self.facts)
        active: dict[int, Rewrite] = {}
        for number, rewrite in enumerate(rewrites):
            try:
                if scene.holds(rewrite.when):
                    active[number] = rewrite
            except CkptlintError as error:
                self._note(error, rewrite.where)
        return active

    def _note(self, error: CkptlintError, where: str) -> None:
        self.faults.add(BAD_VALUE, error.message, where=error.where or where, hint=error.hint)

    def _rewrite_all(self, work: Work, active: Mapping[int, Rewrite], claims: Claims) -> None:
        workshop = Workshop(work.params)
        for number, rewrite in enumerate(self.stage.rewrites):
            self.board.owner = (self.number, number)
            edges: list[Edge] = []
            keys: list[str] = []
            idle: list[str] = []
            if number in active and patterns_of(rewrite):
                keys, idle = claims.keys(number), claims.idle(number, rewrite)
                if keys:
                    edges = _carried_out(work, workshop, rewrite, claims, number)
                elif number not in claims.crowded and not _may_be_idle(rewrite):
                    hint = "say `optional: true` where it may be absent"
                    text = f"no key matches {' or '.join(idle)}"
                    self.faults.add(MATCHES_NOTHING, text, where=rewrite.where, hint=hint)
            self.edges.extend(edges)
            self.bound.append(Bound(rewrite, number in active, tuple(keys), tuple(edges), tuple(idle)))

    def _keep_rest(self, work: Work, active: Mapping[int, Rewrite], claims: Claims) -> None:
        """Keys that no rewrite claims stay where `rest: keep` says so, or a tie names them."""
        named = {key for each in active.values() if isinstance(each, Tie | Untie) for key in each.keys}
        left = [key for key in work.values if key not in claims.owners]
        if self.stage.rest != "keep":
            lost = [key for key in left if key not in named]
            hint = "say `rest: keep`, or keep, drop or rename them"
            self.faults.add(
                UNCLAIMED, "no rewrite claims it", keys=lost, where=self.stage.where, hint=hint
            ) if lost else None
            left = [key for key in left if key in named]
        self.edges.extend(_kept(work, left, ""))

    def _make_new(self, work: Work, active: Mapping[int, Rewrite]) -> None:
        for number, rewrite in active.items():
            if isinstance(rewrite, New):
                self.board.owner = (self.number, number)
                edges = make_new(work, rewrite)
                self.edges.extend(edges)
                self.bound[number] = Bound(rewrite, True, (), tuple(edges))  # noqa: FBT003  the field's name is in Bound


def _may_be_idle(rewrite: Rewrite) -> bool:
    return not isinstance(rewrite, New) and rewrite.optional


def _carried_out(work: Work, workshop: Workshop, rewrite: Rewrite, claims: Claims, number: int) -> list[Edge]:
    match rewrite:
        case Move():
            return carry_out(work, workshop, rewrite, claims.matches[number])
        case Copy():
            return _copied(work, rewrite, claims.matches[number][0])
        case Keep():
            return _kept(work, claims.keys(number), rewrite.where)
        case Drop():
            return _dropped(work, claims.keys(number), rewrite)
        case _:
            return []


def _kept(work: Work, keys: Iterable[str], where: str) -> list[Edge]:
    edges: list[Edge] = []
    for key in keys:
        value = work.values[key]
        work.made.put(key, value, work.places[key], where)
        work.became(key, (value,))
        edges.append(Edge((key,), (key,), (), where))
    return edges


def _dropped(work: Work, keys: Iterable[str], drop: Drop) -> list[Edge]:
    edges: list[Edge] = []
    for key in keys:
        work.became(key, None)
        edges.append(Edge((key,), (), ("drop",), drop.where, drop.reason))
    return edges


def _copied(work: Work, copy: Copy, matches: Iterable[Match]) -> list[Edge]:
    """Each source keeps its name; the second name is the same tensor, or one of its own with the same elements."""
    edges: list[Edge] = []
    for key, captures in matches:
        value = work.values[key]
        work.became(key, (value,))
        try:
            target = filled(work.params, copy.target, captures)
            own = filled(work.params, copy.first, captures) if copy.first else key
        except CkptlintError as error:
            work.faults.add(BAD_VALUE, error.message, keys=[key], where=error.where or copy.where, hint=error.hint)
            continue
        (second,) = (value,) if copy.tie else work.board.fresh(CLONE, (value,), copy.where)
        work.made.put(own, value, work.places[key], copy.where)
        work.made.put(target, second, work.places[key], copy.where)
        edges.append(Edge((key,), (own, target), ("tie" if copy.tie else "copy",), copy.where))
    return edges
