"""Find fused, split and stacked tensors: several families on one side whose shapes add up to one on the other.

Parts lie beside each other (`q`, `k`, `v` of one module), in as many lists as the whole (then they are joined along an axis) or in one more
(then one part of each member is stacked first). Names say which parts, and in which order; shapes alone decide neither.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from typing import Final

from ckptlint.engine.suggest.context import Context
from ckptlint.engine.suggest.families import Family, Segments, Shape
from ckptlint.engine.suggest.joined import own_name, spelled, usual
from ckptlint.engine.suggest.names import Names, clash, words

_MOST_PARTS: Final = 4
_MOST_SIBLINGS: Final = 12
_ENOUGH: Final = 1.2
_ONLY: Final = 0.4  # for the only composition that fits
_MARGIN: Final = 0.25


@dataclass(frozen=True, slots=True)
class Fusion:
    """`parts`, in order, make `whole`: stacked along axis 0 over the innermost list where `stacked`, then joined along `dim` if several.

    `dim` is an axis of one part, before stacking. `transposed` parts are turned round before. `sure` is from 0 to 1, `kinds` the witnesses.
    """

    whole: Family
    parts: tuple[Family, ...]
    dim: int
    stacked: bool
    transposed: bool
    sure: float
    kinds: tuple[str, ...]


@dataclass(slots=True)
class Fusing:
    """Looks for wholes of one side among the parts of the other; `near` tells how well a part and a whole stand beside decided pairs."""

    names: Names
    context: Context
    forward: bool  # whether the parts are the old side

    def find(self, parts: Sequence[Family], wholes: Sequence[Family]) -> list[Fusion]:
        """Every whole's best composition, again until nothing is found; parts are used once, the surest whole takes them first."""
        found: list[Fusion] = []
        parts, wholes = list(parts), list(wholes)
        while True:
            groups: dict[int, list[list[Family]]] = {}
            for group in _siblings(parts).values():
                groups.setdefault(group[0].depth, []).append(group)
            several = {depth: [each for each in beside if len(each) > 1] for depth, beside in groups.items()}
            best = [
                fusion
                for whole in wholes
                if (fusion := self._best(whole, several.get(whole.depth, ()), groups.get(whole.depth + 1, ())))
            ]
            taken = _apart(best)
            if not taken:
                return found
            found += taken
            used = {part.template for fusion in taken for part in fusion.parts}
            made = {fusion.whole.template for fusion in taken}
            parts = [part for part in parts if part.template not in used]
            wholes = [whole for whole in wholes if whole.template not in made]
            for fusion in taken:
                for part in fusion.parts:
                    self.context.add(*((part, fusion.whole) if self.forward else (fusion.whole, part)))

    def _best(
        self, whole: Family, beside: Sequence[Sequence[Family]], stacked: Sequence[Sequence[Family]]
    ) -> Fusion | None:
        """The surest composition of a whole, of siblings that are `beside` each other or layers that are `stacked` in it."""
        if not whole.uniform:
            return None
        found = sorted(
            (fusion for group in (*beside, *stacked) for fusion in self._compositions(whole, group)),
            key=lambda fusion: -fusion.sure,
        )
        if not found or found[0].sure + (_ONLY if len(found) == 1 else 0.0) < _ENOUGH:
            return None
        if len(found) > 1 and found[0].sure - found[1].sure < _MARGIN:
            return None
        return found[0]

    def _compositions(self, whole: Family, group: Sequence[Family]) -> Iterator[Fusion]:
        stacked = group[0].depth == whole.depth + 1
        fitting = [part for part in group if _may_be_part(part, whole, stacked=stacked)]
        if len(fitting) > _MOST_SIBLINGS:
            return
        rest = whole.shape[1:] if stacked else whole.shape
        counts = range(1 if stacked else 2, min(_MOST_PARTS, len(fitting)) + 1)
        for chosen in chain.from_iterable(combinations(fitting, count) for count in counts):
            if any(part.turn != chosen[0].turn for part in chosen):
                continue
            for dim, transposed in _joins([part.shape for part in chosen], rest):
                fusion = self._judged(whole, chosen, dim, stacked=stacked, transposed=transposed)
                if fusion is not None:
                    yield fusion

    def _judged(
        self, whole: Family, chosen: Sequence[Family], dim: int, *, stacked: bool, transposed: bool
    ) -> Fusion | None:
        near = sum(self._near(part, whole) for part in chosen) / len(chosen)
        name = own_name(whole.template)
        if len(chosen) == 1:
            part = chosen[0]
            exact = self.names.exact((own_name(part.template),), (name,))
            likeness = self.names.common(_plain(own_name(part.template)), _plain(name))
            kinds = ("shape", "name") if max(exact, likeness) >= 0.5 else ("shape", "place in the tree")
            return Fusion(whole, (part,), 0, stacked, transposed, near + max(exact, likeness) + 0.3, kinds)
        parts = [own_name(part.template) for part in chosen]
        order = spelled(name, parts, self.names)
        kind = "the fused name spells its parts"
        bonus = 1.0
        if order is None:
            order = usual(parts, self.names)
            kind, bonus = "the order that such parts have elsewhere", 0.8
        if order is None:
            return None
        ordered = tuple(chosen[place] for place in order)
        return Fusion(whole, ordered, dim, stacked, transposed, near + bonus + 0.1 * len(chosen), ("shape", kind))

    def _near(self, part: Family, whole: Family) -> float:
        return self.context.nearness(*((part, whole) if self.forward else (whole, part)))


def _plain(name: str) -> list[tuple[str, float]]:
    return [(word, 1.0) for word in words(name)]


def _siblings(parts: Sequence[Family]) -> dict[tuple[Segments, str, int], list[Family]]:
    """Families that lie beside each other: modules of one parent with the same last name, or bare tensors of one module."""
    found: dict[tuple[Segments, str, int], list[Family]] = {}
    for part in parts:
        if part.leaf in {"weight", "bias"} and len(part.module) > 0:
            found.setdefault((part.module[:-1], part.leaf, part.depth), []).append(part)
        else:
            found.setdefault((part.module, "", part.depth), []).append(part)
    return found


def _may_be_part(part: Family, whole: Family, *, stacked: bool) -> bool:
    return part.uniform and not clash(part.leaf, whole.leaf) and _placed(part, whole, stacked=stacked)


def _placed(part: Family, whole: Family, *, stacked: bool) -> bool:
    """Whether the part is there wherever the whole is; stacked, as often as the whole's first axis is long."""
    if not stacked:
        return part.places == whole.places
    if not whole.shape or len(part.places) != len(whole.places) * whole.shape[0]:
        return False
    outer = dict.fromkeys(place[:-1] for place in part.places)
    return set(outer) == set(whole.places) and max(place[-1] for place in part.places) == whole.shape[0] - 1


def _joins(shapes: Sequence[Shape], whole: Shape) -> Iterator[tuple[int, bool]]:
    """The axes along which tensors of these shapes make the whole, as they are, or else each turned round."""
    for transposed in (False, True):
        turned = [shape[::-1] if transposed else shape for shape in shapes]
        if transposed and len(whole) != 2:
            return
        axes = [dim for dim in range(len(whole)) if _adds_up(turned, whole, dim)]
        yield from ((dim, transposed) for dim in axes[: 1 if len(shapes) == 1 else None])
        if axes:
            return


def _adds_up(shapes: Sequence[Shape], whole: Shape, dim: int) -> bool:
    same = all(
        len(shape) == len(whole) and shape[:dim] == whole[:dim] and shape[dim + 1 :] == whole[dim + 1 :]
        for shape in shapes
    )
    return same and sum(shape[dim] for shape in shapes) == whole[dim]


def _apart(fusions: Sequence[Fusion]) -> list[Fusion]:
    """The surest fusions that share no part."""
    taken: list[Fusion] = []
    used: set[Segments] = set()
    for fusion in sorted(fusions, key=lambda fusion: -fusion.sure):
        mine = {part.template for part in fusion.parts}
        if not mine & used:
            used |= mine
            taken.append(fusion)
    return taken
