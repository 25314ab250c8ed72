"""Work out which old key is which new key: fold both schemas to families, pair them, find the fused ones, and say what is left open."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from ckptlint.core.schema import Schema
from ckptlint.engine.suggest.confidence import calibrated, of_fusion
from ckptlint.engine.suggest.context import Context
from ckptlint.engine.suggest.families import HOLE, Family, Shape, fold, unfolded
from ckptlint.engine.suggest.fusing import Fusing, Fusion
from ckptlint.engine.suggest.modules import Modules, Natures, Numbers
from ckptlint.engine.suggest.names import Names, Synonyms
from ckptlint.engine.suggest.numbering import Block, blocks, crossing
from ckptlint.engine.suggest.ordering import is_sorted
from ckptlint.engine.suggest.pairing import Group, Pairing, groups, same_places
from ckptlint.engine.suggest.partial import cut_to
from ckptlint.engine.suggest.relating import doubted
from ckptlint.engine.suggest.resizing import resized
from ckptlint.engine.suggest.spelling import Reader, readers
from ckptlint.engine.suggest.subtrees import Subtrees
from ckptlint.engine.suggest.suggestion import Ambiguity, Candidate, Match, Resized, Suggestion, Way
from ckptlint.engine.suggest.turning import squeezed, turned, upright, with_squares
from ckptlint.engine.suggest.twins import by_values
from ckptlint.engine.suggest.unsourced import is_known

_SHOWN: Final = 5
_SHAPE_ALONE: Final = ("the only one of its shape",)
_MOST_SHOWN: Final = 200  # a group with more members has no alternatives listed
_NEW: Final = 0.9
_SAME: Final = 0.95
_NUMBERED: Final = re.compile(rf"{re.escape(HOLE)}|[0-9]")
_MOST_KEYS: Final = 2000  # open keys that are looked at one by one
_RELATED: Final = 0.5  # of the target's families, so many must be matched before anything is called new or dropped


@dataclass(frozen=True, slots=True)
class SuggestOptions:
    """`min_confidence` is what a match must have to be made; `use_order` whether the order of keys may speak.

    `twins` are pairs of old and new keys whose values are the same, or nearly so. `old_natures` and `new_natures` tell which vectors are
    about 1, which about 0: what is one of these is not the other. `points_alone` reads keys by their points, whatever they look like.
    """

    min_confidence: float = 0.9
    use_order: bool = True
    twins: Mapping[str, str] = field(default_factory=dict)
    old_natures: Mapping[str, int] = field(default_factory=dict)
    new_natures: Mapping[str, int] = field(default_factory=dict)
    points_alone: bool = False


def suggest(old: Schema, new: Schema, synonyms: Synonyms, options: SuggestOptions) -> Suggestion:
    """Suggest how the tensors of one schema become those of another. Near-linear in the number of keys.

    Keys are read by their points; where that leaves something open, as other frameworks spell them, too: what matches more is taken.
    """
    names = Names(synonyms)
    mine, theirs = _folded(old, Reader()), _folded(new, Reader())
    one, other, unclear = readers(*({key: spec.shape for key, spec in side.tensors.items()} for side in (old, new)))
    if not options.points_alone and (one.framework or other.framework):
        return _found(_folded(old, one), _folded(new, other), names, options)
    first = _found(mine, theirs, names, options)
    if options.points_alone:
        return first
    again, others = _folded(old, one), _folded(new, other)
    if not first.complete and [*_templates(again), *_templates(others)] != [*_templates(mine), *_templates(theirs)]:
        second = _found(again, others, names, options)
        first = second if _better(second, first) else first
    return _withheld(first, unclear)


def _withheld(found: Suggestion, unclear: frozenset[str]) -> Suggestion:
    """Leave open what is said of matrices that may have to be turned, or may not."""
    doubtful = [match for match in found.matches if not unclear.isdisjoint(_matrices(match))] if unclear else []
    if not doubtful:
        return found
    return replace(
        found,
        matches=tuple(match for match in found.matches if match not in doubtful),
        open_sources=(*found.open_sources, *(family for match in doubtful for family in match.sources)),
        open_targets=(*found.open_targets, *(family for match in doubtful for family in match.targets)),
    )


def _matrices(match: Match) -> Iterator[str]:
    families = (*match.sources, *match.targets)
    return (key for family in families if len(family.shape) > 1 for key in family.keys)


def _templates(families: Iterable[Family]) -> Iterator[tuple[tuple[str, ...], int, str]]:
    return ((family.template, len(family.members), family.turn) for family in families)


def _better(second: Suggestion, first: Suggestion) -> bool:
    """Whether a second reading matches more of the target, and says nothing else of what the first does."""
    one, other = _sources_of(first), _sources_of(second)
    return len(other) > len(one) and all(other.get(target, source) == source for target, source in one.items())


def _sources_of(found: Suggestion) -> dict[str, tuple[str, ...]]:
    return {target: edge.sources for edge in found.edges() if edge.sources for target in edge.targets}


def _found(old: Sequence[Family], new: Sequence[Family], names: Names, options: SuggestOptions) -> Suggestion:
    """What is suggested for keys that are read in one way."""
    told, mine, theirs = by_values(old, cut_to(old, new), options.twins)
    search = _Search(mine, theirs, names, options)
    search.take(told)
    matches = told + search.run()
    if search.old and search.new:
        matches, mine, theirs, search = _key_by_key(matches, search, options)
    matches = _uncrossed(matches)
    matches, mine, theirs = _by_numbers(matches, mine, theirs, search.pairing)
    matches = [*matches, *_unmoved(*_open(matches, mine, theirs))]
    open_old, open_new = _open(matches, mine, theirs)
    other_sizes = resized(open_old, open_new, search.pairing)
    matches = doubted(matches, mine, theirs, other_sizes)
    return _settled(matches, (mine, theirs), other_sizes, search, options)


def _open(
    matches: Iterable[Match], old: Iterable[Family], new: Iterable[Family], other_sizes: Iterable[Resized] = ()
) -> tuple[tuple[Family, ...], tuple[Family, ...]]:
    """The families of both sides that are in no match, and were not resized."""
    sources = {family.template for match in matches for family in match.sources}
    targets = {family.template for match in matches for family in match.targets}
    sources |= {each.source.template for each in other_sizes}
    targets |= {each.target.template for each in other_sizes}
    return (
        tuple(family for family in old if family.template not in sources),
        tuple(family for family in new if family.template not in targets),
    )


def _unmoved(old: Iterable[Family], new: Iterable[Family]) -> Iterator[Match]:
    """Open tensors that are on both sides under one name with one shape, where no number of it could have been moved."""
    theirs = {family.template: family for family in new}
    for family in old:
        same = theirs.get(family.template)
        plain = not any(map(_NUMBERED.search, family.template))
        if same is not None and plain and len(family.members) == 1 and same.shape == family.shape:
            yield Match("rename", (family,), (same,), _SAME, ("the same name and shape",))


def _key_by_key(
    matches: list[Match], search: _Search, options: SuggestOptions
) -> tuple[list[Match], tuple[Family, ...], tuple[Family, ...], _Search]:
    """Look at what is open key by key: the two sides may fold differently."""
    old_families, new_families = search.unpartnered()
    old, new = unfolded(old_families), unfolded(new_families)
    if not old or not new or max(len(old), len(new)) > _MOST_KEYS:
        return matches, search.all_old, search.all_new, search
    again = _Search(old, new, search.pairing.names, options)
    again.pairing.fits = search.pairing.fits
    again.pairing.strict = True
    again.pairing.pairs = list(search.pairing.pairs)
    for match in matches:
        for one, other in _singly(match):
            again.pairing.context.add(_placeless(one), _placeless(other))
    matches = matches + again.run()
    again.groups += search.groups
    every_old, every_new = _replaced(search.all_old, old_families, old), _replaced(search.all_new, new_families, new)
    return matches, every_old, every_new, again


def _uncrossed(matches: list[Match]) -> list[Match]:
    """The matches without those of single keys that nothing but a shape speaks for, and the numbers of others of that shape against."""
    weak = [match for match in matches if match.evidence == _SHAPE_ALONE and len(match.sources[0].members) == 1]
    pairs = [pair for match in weak for pair in _singly(match)]
    every = [pair for match in matches for pair in _singly(match)] if pairs else []
    gone = {other.keys for _, other in crossing(pairs, every)}
    return [match for match in matches if match.targets[0].keys not in gone] if gone else matches


def _by_numbers(
    matches: list[Match], old: tuple[Family, ...], new: tuple[Family, ...], pairing: Pairing
) -> tuple[list[Match], tuple[Family, ...], tuple[Family, ...]]:
    """Pair what lies at the same rank of two lists whose numbers follow one rule, until that says nothing new."""
    while True:
        open_old, open_new = _uncompared(*_open(matches, old, new))
        mine, theirs = unfolded(open_old), unfolded(open_new)
        if not mine or not theirs or max(len(mine), len(theirs)) > _MOST_KEYS:
            return matches, old, new
        pairs = [pair for match in matches for pair in _singly(match)]
        every = ([*mine, *(one for one, _ in pairs)], [*theirs, *(other for _, other in pairs)])
        knowing = replace(pairing, numbers=Numbers(*every), modules=Modules(*every), subtrees=Subtrees((), ()))
        found = list(_of_blocks(blocks(pairs, every, (mine, theirs)), knowing))
        if not found:
            return matches, old, new
        matches = [*matches, *found]
        old, new = _replaced(old, open_old, mine), _replaced(new, open_new, theirs)


def _uncompared(old: Sequence[Family], new: Sequence[Family]) -> tuple[list[Family], list[Family]]:
    """Those that were not compared member by member as families: what that left open no rank decides."""
    compared = {
        id(family)
        for group in groups(old, new, same_places)
        for family in (*group.old, *group.new)
        if len(family.members) > 1
    }
    mine, theirs = ([family for family in side if id(family) not in compared] for side in (old, new))
    return mine, theirs


def _singly(match: Match) -> Iterator[tuple[Family, Family]]:
    """The pairs of keys of a match of one family with one."""
    if len(match.sources) == len(match.targets) == 1 and not match.stacked:
        yield from zip(unfolded(match.sources), unfolded(match.targets), strict=True)


def _of_blocks(found: Iterable[Block], pairing: Pairing) -> Iterator[Match]:
    """What can be decided in each block by itself."""
    taken: set[tuple[str, ...]] = set()
    for block in found:
        old, new = ([family for family in side if family.keys not in taken] for side in block)
        if len(old) == len(block.old) and len(new) == len(block.new):
            inside = replace(pairing, fits=1.0, pairs=list(pairing.pairs))
            for pair in inside.run(groups(old, new, same_places)):
                kinds = (*pair.reasons.kinds, "the same number of its list")
                taken |= {pair.old.keys, pair.new.keys}
                yield Match("rename", (pair.old,), (pair.new,), calibrated(pair.reasons), kinds)


def _replaced(every: Sequence[Family], gone: Iterable[Family], come: Iterable[Family]) -> tuple[Family, ...]:
    without = {family.template for family in gone}
    return (*(family for family in every if family.template not in without), *come)


def _placeless(family: Family) -> Family:
    """The same without its place among the others, which does not matter."""
    return replace(family, order=-1, orders=(-1,))


def _folded(schema: Schema, reader: Reader) -> tuple[Family, ...]:
    return fold({key: spec.shape for key, spec in schema.tensors.items()}, reader)


class _Search:
    """One call: what is known so far, and what is still open."""

    def __init__(self, old: Sequence[Family], new: Sequence[Family], names: Names, options: SuggestOptions) -> None:
        self.old, self.new = list(old), list(new)
        self.all_old, self.all_new = tuple(old), tuple(new)
        self.groups = groups(old, new, same_places)
        fits = sum(min(len(group.old), len(group.new)) for group in self.groups) / max(len(new), 1)
        ordered = options.use_order and not is_sorted(old) and not is_sorted(new)
        natures = Natures(options.old_natures, options.new_natures)
        self.pairing = Pairing(
            names, Context(), ordered, fits, Modules(old, new), Subtrees(old, new), Numbers(old, new), natures
        )

    def take(self, matches: Sequence[Match]) -> None:
        """Take what is known beforehand."""
        self._close(matches)
        for match in matches:
            self.pairing.context.add(match.sources[0], match.targets[0])

    def unpartnered(self) -> tuple[list[Family], list[Family]]:
        """Open families of which the other side has none with the same signature: it may have folded its keys otherwise.

        Only those of shapes that are open equally often on both sides: where a layer was put in, which one is new is not known.
        """
        grouped = {
            id(family) for group in self.groups if group.old and group.new for family in (*group.old, *group.new)
        }
        old, new = ([family for family in side if id(family) not in grouped] for side in (self.old, self.new))
        mine, theirs = _by_shape(old), _by_shape(new)
        alike = {shape for shape, count in mine.items() if theirs[shape] == count}
        return [family for family in old if alike.issuperset(family.shapes)], [
            family for family in new if alike.issuperset(family.shapes)
        ]

    def run(self) -> list[Match]:
        matches: list[Match] = []
        more = True
        while more:  # what is fused leaves fewer candidates, which decides more
            found = [*self._renamed(), *self._fused(forward=True), *self._fused(forward=False)]
            matches += found
            more = any(match.way != "rename" for match in found)
        matches += self._reshaped("reshape", groups(self.old, self.new, squeezed))
        matches += self._reshaped("transpose", groups(self.old, self.new, turned, upright))
        return with_squares(matches)

    def _reshaped(self, way: Way, found: list[Group]) -> list[Match]:
        matches = [replace(match, way=way) for match in self._paired(found)]
        self._close(matches)
        return matches

    def _renamed(self) -> list[Match]:
        found = self._paired(self.groups)
        self._close(found)
        return found

    def _paired(self, found: list[Group]) -> list[Match]:
        return [
            Match("rename", (pair.old,), (pair.new,), calibrated(pair.reasons), pair.reasons.kinds)
            for pair in self.pairing.run(found)
        ]

    def _fused(self, *, forward: bool) -> list[Match]:
        fusing = Fusing(self.pairing.names, self.pairing.context, forward)
        found = fusing.find(self.old, self.new) if forward else fusing.find(self.new, self.old)
        fused = [_as_match(fusion, forward=forward) for fusion in found]
        self._close(fused)
        return fused

    def _close(self, matches: Iterable[Match]) -> None:
        sources = {family.template for match in matches for family in match.sources}
        targets = {family.template for match in matches for family in match.targets}
        self.old = [family for family in self.old if family.template not in sources]
        self.new = [family for family in self.new if family.template not in targets]
        for group in self.groups:
            group.old = [family for family in group.old if family.template not in sources]
            group.new = [family for family in group.new if family.template not in targets]


def _by_shape(families: Iterable[Family]) -> Counter[Shape]:
    return Counter(family.shape_at(number) for family in families for number in range(len(family.members)))


def _as_match(fusion: Fusion, *, forward: bool) -> Match:
    way: Way = ("stack" if fusion.stacked else "concat") if forward else ("unstack" if fusion.stacked else "split")
    sources, targets = (fusion.parts, (fusion.whole,)) if forward else ((fusion.whole,), fusion.parts)
    return Match(
        way,
        sources,
        targets,
        of_fusion(fusion),
        fusion.kinds,
        dim=fusion.dim,
        stacked=fusion.stacked,
        turned=fusion.transposed,
    )


def _settled(
    matches: Sequence[Match],
    sides: tuple[Sequence[Family], Sequence[Family]],
    other_sizes: tuple[Resized, ...],
    search: _Search,
    options: SuggestOptions,
) -> Suggestion:
    """Leave out what is not sure enough; call the rest new or dropped where one side is all decided but for what was resized."""
    sure = [match for match in matches if match.confidence >= options.min_confidence]
    open_old, open_new = _open(sure, *sides, other_sizes)
    resized_old = tuple(each.source for each in other_sizes)
    resized_new = tuple(each.target for each in other_sizes)
    if _related(sure, sides[1]) and not _may_match(open_old, open_new, search.pairing):
        fresh = [
            Match("new", (), (family,), _NEW, ("its first value is known",)) for family in open_new if is_known(family)
        ]
        trained = tuple(family for family in open_new if not is_known(family))
        return Suggestion(
            (*sure, *fresh), open_old, resized_old, (*resized_new, *trained), (), other_sizes, unsourced=trained
        )
    doubtful = [match for match in matches if match.confidence < options.min_confidence]
    ambiguities = tuple(_ambiguities(search.groups, doubtful, search.pairing))
    return Suggestion(tuple(sure), (), (*resized_old, *open_old), (*resized_new, *open_new), ambiguities, other_sizes)


def _may_match(old: Sequence[Family], new: Sequence[Family], pairing: Pairing) -> bool:
    """Whether an open source could become an open target: the shapes fit, or the names are the same (a head, a vocabulary was resized)."""
    for group in groups(old, new, squeezed):
        if any(not pairing.impossible(one, other) for one in group.old for other in group.new):
            return True
    if groups(old, new, turned, upright):
        return True
    names = {family.template[-2:] for family in old}
    return any(family.template[-2:] in names and len(family.template) > 1 for family in new)


def _related(matches: Sequence[Match], new: Sequence[Family]) -> bool:
    return sum(len(match.targets) for match in matches) >= _RELATED * len(new)


def _ambiguities(open_groups: Iterable[Group], doubtful: Iterable[Match], pairing: Pairing) -> Iterable[Ambiguity]:
    """What each open source may be, the likeliest first."""
    for match in doubtful:
        for source in match.sources:
            yield Ambiguity(
                source, tuple(Candidate(target, match.confidence, match.evidence) for target in match.targets)
            )
    for group in open_groups:
        if len(group.new) > _MOST_SHOWN or not group.new:
            continue
        for old in group.old:
            ranked = pairing.ranked(group, old)[:_SHOWN]
            yield Ambiguity(old, tuple(Candidate(*each) for each in ranked))
