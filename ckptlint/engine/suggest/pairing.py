"""Pair families one to one: candidates have the same shapes at the same places of their lists, and every rival must be ruled out.

Whatever has the same signature is a group. In it a pair is decided when there is reason enough against each rival: an exact name
(the same words, or a synonym), a likely name, the place in the tree, the order of registration. A unique signature has no rivals.
Decided pairs say where their neighbours went, and so decide more; what is left when nothing more is decided is left to the user.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import exp
from typing import Final, NamedTuple

from ckptlint.engine.suggest.context import Context
from ckptlint.engine.suggest.families import Family, Segments
from ckptlint.engine.suggest.modules import Modules, Natures, Numbers
from ckptlint.engine.suggest.names import Names, clash
from ckptlint.engine.suggest.ordering import agrees, block_of
from ckptlint.engine.suggest.ranking import Rank, ranked
from ckptlint.engine.suggest.subtrees import Subtrees
from ckptlint.engine.suggest.weighing import weighed

Signature = Callable[[Family], Hashable]
_MOST: Final = 250_000  # candidate pairs of a group that are compared
_ENOUGH: Final = 2.0  # points against each rival
_IMPOSSIBLE: Final = -9.0  # the nearness of what cannot be one
_ENOUGH_ALONE: Final = 1.8
_KIN: Final = 2.0  # the nearness of a tensor to where others of its module went
_CLEAR: Final = 0.08  # a difference that counts
_CLEAR_NAME: Final = 0.3


class Evidence(NamedTuple):
    """What speaks for a candidate, each from 0 to 1: exact name, likeness of names, nearness in the tree, rank among its siblings as
    registered and as named, whether it stands between the same neighbours, and whether the subtrees around it are one.
    """

    exact: float
    likeness: float
    near: float
    order: float
    named: float = 0.0
    between: float = 0.5
    subtree: float = 0.5
    home: float = 0.5

    @property
    def kinds(self) -> tuple[str, ...]:
        """What speaks for it, in words."""
        said = {
            "name": self.exact >= _CLEAR_NAME,
            f"names alike {self.likeness:.2f}": self.exact < _CLEAR_NAME,
            "place in the tree": self.near >= _KIN or self.home == 1.0,
            "order": self.order > 0,
            "rank by name": self.named > 0,
            "between the same neighbours": self.between == 1.0,
            "the same subtree": self.subtree == 1.0,
        }
        return tuple(kind for kind, so in said.items() if so)


@dataclass(frozen=True, slots=True)
class Reasons:
    """Why a pair was preferred to its nearest rival, in points; `kinds` names the witnesses."""

    points: float
    kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two families that are one: `old` became `new`."""

    old: Family
    new: Family
    reasons: Reasons


@dataclass(slots=True)
class Group:
    """Families of both sides with one signature, those that are still open, and each one's words with their weights."""

    old: list[Family]
    new: list[Family]
    old_words: dict[Segments, list[tuple[str, float]]] = field(default_factory=dict)
    new_words: dict[Segments, list[tuple[str, float]]] = field(default_factory=dict)
    old_order: dict[Segments, int] = field(default_factory=dict)
    new_order: dict[Segments, int] = field(default_factory=dict)
    likeness: dict[tuple[Segments, Segments], float] = field(default_factory=dict)
    old_ranks: dict[Segments, Rank] = field(default_factory=dict)
    new_ranks: dict[Segments, Rank] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for families, table, order in (
            (self.old, self.old_words, self.old_order),
            (self.new, self.new_words, self.new_order),
        ):
            table.update(weighed(families))
            order.update({family.template: place for place, family in enumerate(families)})
        self.balanced = len(self.old) == len(self.new)

    def rank(self, ordinals: Sequence[Sequence[str]]) -> None:
        """Rank what is open among its siblings."""
        self.old_ranks, self.new_ranks = ranked(self.old, ordinals), ranked(self.new, ordinals)

    balanced: bool = False


def groups(
    old: Iterable[Family], new: Iterable[Family], signature: Signature, other: Signature | None = None
) -> list[Group]:
    """Families of both sides by signature (`other` is that of the new side); only those that both sides have."""
    found: dict[Hashable, tuple[list[Family], list[Family]]] = {}
    for number, (families, sign) in enumerate(((old, signature), (new, other or signature))):
        for family in families:
            key = sign(family)
            if key is not None:
                found.setdefault(key, ([], []))[number].append(family)
    return [Group(mine, theirs) for mine, theirs in found.values() if mine and theirs]


def same_places(family: Family) -> Hashable:
    """The shapes, and where in their lists the keys are."""
    return (family.shapes, family.places)


@dataclass(slots=True)
class Pairing:
    """Decides pairs, group by group, until nothing more is decided."""

    names: Names
    context: Context
    use_order: bool
    fits: float  # how much of the target has a counterpart of the same signature, from 0 to 1
    modules: Modules = field(default_factory=lambda: Modules((), ()))
    subtrees: Subtrees = field(default_factory=lambda: Subtrees((), ()))
    numbers: Numbers = field(default_factory=lambda: Numbers((), ()))
    natures: Natures = field(default_factory=lambda: Natures({}, {}))
    pairs: list[Pair] = field(default_factory=list)
    fine_order: bool = False  # whether order within modules agrees, too
    strict: bool = False  # whether likely names count half, as for keys that no list holds together

    def run(self, found: list[Group]) -> list[Pair]:
        """Decide by names and places first; by order, too, once it is known to be worth something. Returns the pairs that are new."""
        known = len(self.pairs)
        for group in found:
            group.rank(self.names.synonyms.ordinals)
            self._exact_first(group)
        ordered, self.use_order = self.use_order, False
        self._until_settled(found)
        self.fine_order = agrees((pair.old, pair.new) for pair in self.pairs)
        self.use_order = ordered
        if ordered:
            self._until_settled(found)
        return self.pairs[known:]

    def _until_settled(self, found: list[Group]) -> None:
        changed = True
        while changed:
            changed = False
            for group in found:
                while group.old and group.new and len(group.old) * len(group.new) <= _MOST and self._decide(group):
                    changed = True

    def _exact_first(self, group: Group) -> None:
        """Keys that keep their whole name beside neighbours that do are themselves, where the group is large."""
        if len(group.old) * len(group.new) <= _MOST:
            return
        theirs = {family.template: family for family in group.new}
        for family in [family for family in group.old if family.template in theirs]:
            self._accept(group, family, theirs[family.template], Reasons(2.0, ("the same name",)))

    def _decide(self, group: Group) -> bool:
        """Accept every pair of the group that is decided now; whether there was one."""
        accepted = _Table(self, group).accepted()
        for old, new, reasons in accepted:
            self._accept(group, old, new, reasons)
        return bool(accepted)

    def _accept(self, group: Group, old: Family, new: Family, reasons: Reasons) -> None:
        group.old.remove(old)
        group.new.remove(new)
        self.context.add(old, new)
        self.pairs.append(Pair(old, new, reasons))

    def impossible(self, old: Family, new: Family) -> bool:
        """Whether two families cannot be one, whatever their shapes."""
        return clash(old.leaf, new.leaf) or self.modules.clash(old, new) or self.natures.clash(old, new)

    def ranked(self, group: Group, old: Family) -> list[tuple[Family, float, tuple[str, ...]]]:
        """The open candidates of a family with a chance for each and what speaks for it, the best first; none that is impossible."""
        table = _Table(self, group)
        scored = [(table.score(old, new), -place, new) for place, new in enumerate(group.new)]
        scored = [each for each in sorted(scored, key=lambda each: each[:2], reverse=True) if each[0] > 0]
        weights = [exp(3 * (score - scored[0][0])) for score, _, _ in scored]
        return [
            (new, round(weight / sum(weights), 2), table.evidence(old, new).kinds)
            for weight, (_, _, new) in zip(weights, scored, strict=True)
        ]

    def likeness(self, group: Group, old: Family, new: Family) -> float:
        pair = (old.template, new.template)
        found = group.likeness.get(pair)
        if found is None:
            found = group.likeness[pair] = self.names.common(
                group.old_words[old.template], group.new_words[new.template]
            )
        return found


class _Table:
    """All candidates of a group with what speaks for them."""

    def __init__(self, pairing: Pairing, group: Group) -> None:
        self._pairing = pairing
        self._group = group
        self._seen: dict[tuple[Segments, Segments], Evidence] = {}
        self._blocks: dict[tuple[Segments, Segments], tuple[dict[Segments, int], dict[Segments, int]]] = {}

    def evidence(self, old: Family, new: Family) -> Evidence:
        pair = (old.template, new.template)
        found = self._seen.get(pair)
        if found is None:
            pairing = self._pairing
            exact = pairing.names.exact(old.template, new.template)
            if exact and pairing.numbers.moved(old.template, new.template):
                exact = 0.0
            if exact < 1.0 and self._ranked_apart(old, new):
                exact = 0.0
            near = _KIN if pairing.context.kin(old, new) else pairing.context.common(old, new)
            near -= 0.0 if pairing.modules.alike(old, new) else 0.1
            if pairing.impossible(old, new):
                near = _IMPOSSIBLE
            likeness = pairing.likeness(self._group, old, new)
            order, named = self._order(old, new), self._named(old, new)
            between, subtree = self._between(old, new), pairing.subtrees.agree(old, new)
            home = pairing.context.at_home(old, new)
            found = Evidence(exact, likeness, near, order, named, between, subtree, home)
            self._seen[pair] = found
        return found

    def _order(self, old: Family, new: Family) -> float:
        if not self._pairing.use_order:
            return 0.0
        one, other = self._ranks(old, new)
        if one is not None and other is not None and self._in_order(one, other, old, new):
            return float(one.registered == other.registered)
        if not self._pairing.fine_order:
            return 0.0
        mine, theirs = self._block(old.template, new.template)
        if len(mine) == len(theirs):
            return float(mine[old.template] == theirs[new.template])
        if not self._group.balanced:
            return 0.0
        return float(self._group.old_order[old.template] == self._group.new_order[new.template])

    def _ranks(self, old: Family, new: Family) -> tuple[Rank | None, Rank | None]:
        """The ranks of the two among their siblings, where these are of one kind."""
        one, other = self._group.old_ranks.get(old.template), self._group.new_ranks.get(new.template)
        if one is None or other is None or one.count != other.count:
            return None, None
        same = self._pairing.names.word(one.noun, other.noun) > 0 or self._pairing.subtrees.agree(old, new) == 1.0
        return (one, other) if same else (None, None)

    def _in_order(self, one: Rank, other: Rank, old: Family, new: Family) -> bool:
        """Whether the order of two sets of siblings is known to be one."""
        if self._pairing.fine_order:
            return True
        return one.apart and other.apart and self._pairing.context.neighbours.agree(old.template, new.template)

    def _named(self, old: Family, new: Family) -> float:
        one, other = self._ranks(old, new)
        known = one is not None and other is not None and one.named is not None
        return float(known and one is not None and other is not None and one.named == other.named)

    def _ranked_apart(self, old: Family, new: Family) -> bool:
        """Whether the names of their siblings give the two different ranks: `norm_1` beside `norm_0` is no `norm1` beside `norm2`."""
        one, other = self._ranks(old, new)
        if one is None or other is None or one.named is None or other.named is None:
            return False
        return one.named != other.named

    def _between(self, old: Family, new: Family) -> float:
        if not self._pairing.use_order:
            return 0.5
        known = self._pairing.context.neighbours.between(old, new)
        return 0.5 if known is None else float(known)

    def _block(self, old: Segments, new: Segments) -> tuple[dict[Segments, int], dict[Segments, int]]:
        """The families of the group in the two innermost lists, counted in order."""
        key = (block_of(old), block_of(new))
        found = self._blocks.get(key)
        if found is None:
            mine = [template for template in self._group.old_order if block_of(template) == key[0]]
            theirs = [template for template in self._group.new_order if block_of(template) == key[1]]
            found = self._blocks[key] = (
                {template: place for place, template in enumerate(mine)},
                {template: place for place, template in enumerate(theirs)},
            )
        return found

    def score(self, old: Family, new: Family) -> float:
        exact, likeness, near, *others = self.evidence(old, new)
        return exact + likeness + 1.2 * near + 0.4 * sum(others)

    def accepted(self) -> list[tuple[Family, Family, Reasons]]:
        """Pairs of which each is the other's best, and against whose rivals there is reason enough."""
        group = self._group
        scores = {(old.template, new.template): self.score(old, new) for old in group.old for new in group.new}
        best_new = {
            old.template: max(group.new, key=lambda new: scores[old.template, new.template]) for old in group.old
        }
        best_old = {
            new.template: max(group.old, key=lambda old: scores[old.template, new.template]) for new in group.new
        }
        mutual = [(old, new) for old in group.old if best_old[(new := best_new[old.template]).template] is old]
        home = {old.template: new for old, new in mutual}
        owner = {new.template: old for old, new in mutual}
        found = ((old, new, self._reasons(old, new, home, owner)) for old, new in mutual)
        return [(old, new, reasons) for old, new, reasons in found if reasons is not None]

    def _reasons(
        self, old: Family, new: Family, home: Mapping[Segments, Family], owner: Mapping[Segments, Family]
    ) -> Reasons | None:
        """Why this pair and no other; None where a rival is not ruled out. A rival that has a home of its own speaks with it."""
        group = self._group
        mine = self.evidence(old, new)
        if mine.near == _IMPOSSIBLE:
            return None
        against: list[Reasons] = []
        for other in group.new:
            rival = self.evidence(old, other)
            if other is not new and rival.near != _IMPOSSIBLE:
                its = owner.get(other.template)
                swapped = None if its is None else self._points(self.evidence(its, other), self.evidence(its, new))
                against.append(_together(self._points(mine, rival), swapped))
        for other in group.old:
            rival = self.evidence(other, new)
            if other is not old and rival.near != _IMPOSSIBLE:
                place = home.get(other.template)
                swapped = (
                    None if place is None else self._points(self.evidence(other, place), self.evidence(old, place))
                )
                against.append(_together(self._points(mine, rival), swapped))
        if not against:
            return self._alone(old, mine)
        worst = min(against, key=lambda reasons: reasons.points)
        return worst if worst.points >= _ENOUGH else None

    def _points(self, mine: Evidence, rival: Evidence) -> Reasons:
        """What speaks for a pair rather than for a rival, less what speaks for the rival."""
        exact, likeness = mine.exact - rival.exact, mine.likeness - rival.likeness
        named = abs(exact) >= _CLEAR_NAME  # then how alike the names are besides is not asked, unless it agrees
        gains = {
            "name": _name_points(mine, rival) if named else 0.0,
            "likely name": 0.0 if named else _graded(likeness, 2.0) * (0.5 if self._pairing.strict else 1.0),
            "place in the tree": 2.0 if mine.near >= _KIN > rival.near else _graded(mine.near - rival.near, 1.5),
            "order": mine.order - rival.order,
            "rank by name": 2.0 * (mine.named - rival.named),
            "between the same neighbours": mine.between - rival.between,
            "the same subtree": mine.subtree - rival.subtree,
            "where its neighbours went": mine.home - rival.home,
        }
        return Reasons(sum(gains.values()), tuple(kind for kind, gain in gains.items() if gain > 0))

    def _alone(self, old: Family, mine: Evidence) -> Reasons | None:
        """A shape that both sides have once says much where the schemas fit, and little where they do not."""
        fits = self._pairing.fits
        points = 1.0 + mine.exact + mine.likeness + min(mine.near, 1.0) - 0.2 + 0.3 * (len(old.shape) > 1)
        points += 1.0 if fits >= 0.8 else 0.5 if fits >= 0.5 else 0.0
        points += 0.5 if mine.subtree == 1.0 else 0.0
        return Reasons(points, ("the only one of its shape",)) if points >= _ENOUGH_ALONE else None


def _together(one: Reasons, swapped: Reasons | None) -> Reasons:
    """The reasons against a rival, and a good half of those that the rival has to be elsewhere; no more of these than of the pair's own."""
    if swapped is None:
        return one
    return Reasons(one.points + min(0.6 * swapped.points, max(one.points, 0.0)), one.kinds)


def _name_points(mine: Evidence, rival: Evidence) -> float:
    if mine.exact < rival.exact:
        return -1.5
    own = mine.exact >= 1.0 and rival.exact < 0.5
    return (2.0 if own else 1.5) + (0.5 if mine.likeness - rival.likeness >= _CLEAR else 0.0)


def _graded(gain: float, most: float) -> float:
    """Points for a difference: none where it is slight."""
    if abs(gain) < _CLEAR:
        return 0.0
    return min(most, 0.75 + 3 * gain) if gain > 0 else max(-2.0, -0.75 + 3 * gain)
