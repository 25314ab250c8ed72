"""Pairs whose shapes differ in form only: transposed matrices, and axes of size 1 that came or went.

What is paired so has no partner of its own shape. Whether a square matrix was transposed no shape tells: it is called transposed
where another of the same kind was, and none of that kind was not.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace

from ckptlint.engine.suggest.families import Family, Segments
from ckptlint.engine.suggest.names import words
from ckptlint.engine.suggest.ordering import block_of
from ckptlint.engine.suggest.suggestion import Match

_SURE = 0.9


def turned(family: Family) -> Hashable:
    """The signature of what a matrix becomes when transposed; None for what is no matrix."""
    return (family.shapes[0][::-1], family.places) if _is_matrix(family) else None


def upright(family: Family) -> Hashable:
    return (family.shapes[0], family.places) if _is_matrix(family) else None


def squeezed(family: Family) -> Hashable:
    """The signature without axes of size 1."""
    return (tuple(tuple(size for size in shape if size != 1) for shape in family.shapes), family.places)


def _is_matrix(family: Family) -> bool:
    return family.uniform and len(family.shape) == 2 and family.shape[0] != family.shape[1]


def with_squares(matches: Sequence[Match]) -> list[Match]:
    """Call square matrices transposed where all others of their kind are."""
    transposed = [match for match in matches if match.way == "transpose"]
    plain = [match for match in matches if match.way == "rename" and _is_matrix(match.sources[0])]
    return [_judged(match, transposed, plain) if _is_square(match) else match for match in matches]


def _is_square(match: Match) -> bool:
    if match.way != "rename":
        return False
    shape = match.sources[0].shape
    return match.sources[0].uniform and len(shape) == 2 and shape[0] == shape[1] > 1


def _judged(match: Match, transposed: Sequence[Match], plain: Sequence[Match]) -> Match:
    alike = [other for other in transposed if _same_kind(match, other)]
    if not alike or any(_same_kind(match, other) for other in plain):
        return match
    return replace(
        match, way="transpose", confidence=_SURE, evidence=(*match.evidence, f"transposed as {alike[0].sources[0]} is")
    )


def _same_kind(one: Match, other: Match) -> bool:
    """Whether two matches are of layers of one kind: in one block, or with a word of their names in common; with the same last names."""
    if _leaves(one) != _leaves(other):
        return False
    beside = block_of(one.sources[0].template) == block_of(other.sources[0].template) != ()
    return beside or bool(_last_words(one.targets) & _last_words(other.targets))


def _leaves(match: Match) -> tuple[str, str]:
    old, new = match.sources[0].leaf, match.targets[0].leaf
    return (old if old in {"weight", "bias"} else "", new)


def _last_words(families: Iterable[Family]) -> set[str]:
    return {word for family in families for word in words(_named(family.template))}


def _named(template: Segments) -> str:
    return template[-2] if template[-1] == "weight" and len(template) > 1 else template[-1]
