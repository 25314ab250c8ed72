"""Siblings of one noun in a block (`norm1` and `norm2`, `layernorm_before` and `layernorm_after`), and their rank among each other.

They are ranked by what their names say: numbers that begin with 0 or 1, words that come before others (`input`, `post`); and by the order
of registration.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ckptlint.engine.suggest.families import Family, Segments
from ckptlint.engine.suggest.names import words
from ckptlint.engine.suggest.ordering import block_of, child_of

_LEAVES: Final = frozenset(("weight", "bias", "gamma", "beta", "scale", "kernel", "running_mean", "running_var"))

_GENERIC: Final = frozenset(("proj", "projection", "linear", "layer", "net"))  # words that what is beside them has, too


@dataclass(frozen=True, slots=True)
class Rank:
    """A family's place among its siblings, as registered and as named; `named` is None where the names do not say.

    `apart` says that no two siblings lie in one child of their block.
    """

    noun: str
    count: int
    registered: int
    named: int | None
    apart: bool


def ranked(families: Sequence[Family], ordinals: Sequence[Sequence[str]]) -> dict[Segments, Rank]:
    """The ranks of all families that have siblings of their noun and last name in their block."""
    known = frozenset(word for each in ordinals for word in each)
    siblings: dict[tuple[Segments, str, str], list[Family]] = {}
    for family in families:
        noun, leaf = _noun(family.template, known)
        siblings.setdefault((block_of(family.template), noun, leaf), []).append(family)
    return {
        template: rank
        for (_, noun, _), each in siblings.items()
        if len(each) > 1
        for template, rank in _ranks(noun, each, ordinals)
    }


def _noun(template: Segments, ordinals: frozenset[str]) -> tuple[str, str]:
    """What a tensor is, without numbers and ordinals (`layernorm`, the `q` of `q_proj`), and its last name if that is a usual one."""
    leaf = template[-1] if template[-1] in _LEAVES else ""
    for segment in reversed(template[: len(template) - bool(leaf)]):
        named = [word for word in words(segment) if not word.isdigit()]
        telling = [word for word in named if word not in _GENERIC]
        own = [word for word in telling if word not in ordinals]
        if named:
            return (own or telling or named)[-1], leaf
    return "", leaf


def _ranks(noun: str, siblings: Sequence[Family], ordinals: Sequence[Sequence[str]]) -> Iterable[tuple[Segments, Rank]]:
    registered = sorted(siblings, key=lambda family: family.order)
    named = _named([family.template for family in siblings], ordinals)
    apart = len({child_of(family.template) for family in siblings}) == len(siblings)
    for place, family in enumerate(registered):
        yield family.template, Rank(noun, len(siblings), place, named.get(family.template), apart)


def _named(templates: Sequence[Segments], ordinals: Sequence[Sequence[str]]) -> Mapping[Segments, int]:
    """The rank that names give each, if they give every one another."""
    common = set.intersection(*(set(_words(template)) for template in templates))
    own = {template: [word for word in _words(template) if word not in common] for template in templates}
    values = {template: _number(mine) for template, mine in own.items()}
    numbers = [value for value in values.values() if value is not None]
    if len(numbers) == len(templates) == len(set(numbers)) and min(numbers) < 2:
        return {template: sorted(numbers).index(number) for template, number in values.items() if number is not None}
    for each in ordinals:
        places = {template: _place(mine, each) for template, mine in own.items()}
        found = [place for place in places.values() if place is not None]
        if len(found) == len(templates) == len(set(found)) and _same_otherwise(own.values(), each):
            return {template: sorted(found).index(place) for template, place in places.items() if place is not None}
    return {}


def _words(template: Segments) -> list[str]:
    return [word for segment in template[len(block_of(template)) :] for word in words(segment)]


def _number(own: Sequence[str]) -> int | None:
    return int(own[0]) if len(own) == 1 and own[0].isdigit() else None


def _place(own: Sequence[str], ordinals: Sequence[str]) -> int | None:
    return next((place for place, word in enumerate(ordinals) if word in own), None)


def _same_otherwise(every: Iterable[Sequence[str]], ordinals: Sequence[str]) -> bool:
    """Whether what is named beside the ordinals is one thing: `post_attention` is not known to come before `pre_feedforward`."""
    return len({tuple(rest) for own in every if (rest := [word for word in own if word not in ordinals])}) <= 1
