"""The words of each family of a group, and how much each word tells: what many of the group have tells little."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import log
from typing import Final

from ckptlint.engine.suggest.families import HOLE, Family, Segments
from ckptlint.engine.suggest.names import words

_DIGITS: Final = re.compile(r"[0-9]+")
_HEAD_WEIGHT: Final = 0.6  # of a word before the innermost list
_LEAST: Final = 0.15

Words = list[tuple[str, float]]
Ranks = Mapping[tuple[str, int], Mapping[int, str]]


def weighed(families: Sequence[Family]) -> dict[Segments, Words]:
    """Each family's words with their weights; numbers as what `_ranks` says."""
    ranks = _ranks(families)
    found = {family.template: _words(family.template, ranks) for family in families}
    counted: dict[str, int] = {}
    for mine in found.values():
        for word in set(mine):
            counted[word] = counted.get(word, 0) + 1
    total = len(families)
    return {
        template: [
            (word, (_LEAST + log((total + 1) / counted[word])) * (_HEAD_WEIGHT if word[0] == "^" else 1.0))
            for word in mine
        ]
        for template, mine in found.items()
    }


def _ranks(families: Sequence[Family]) -> Ranks:
    """What each number is worth, by the name without numbers and the number's place in it.

    Among families that differ in a number alone it is counted from 0, where the numbers begin with 0 or 1: others, such as those of a
    pyramid's levels, may run either way and say nothing. A number that only one has is left out, unless it is a segment of its own.
    """
    values: dict[tuple[str, int], set[int]] = {}
    for family in families:
        skeleton, numbers = _skeleton(family.template)
        for place, number in enumerate(numbers):
            values.setdefault((skeleton, place), set()).add(number)
    return {
        key: {number: str(rank) if min(found) < 2 else "" for rank, number in enumerate(sorted(found))}
        for key, found in values.items()
        if len(found) > 1
    }


def _skeleton(template: Segments) -> tuple[str, list[int]]:
    text = ".".join(template)
    return _DIGITS.sub("0", text), [int(digits) for digits in _DIGITS.findall(text)]


def _words(template: Segments, ranks: Ranks) -> list[str]:
    """The words of a template; those before the innermost list begin with `^`."""
    innermost = max((place for place, segment in enumerate(template) if segment == HOLE), default=-1)
    skeleton, numbers = _skeleton(template)
    found: list[str] = []
    seen = 0
    for place, segment in enumerate(template):
        for word in words(segment):
            said = word
            if word.isdigit():
                rank = ranks.get((skeleton, seen))
                said = rank[numbers[seen]] if rank else word if segment == word else ""
                seen += 1
            if said:
                found.append(said if place > innermost else f"^{said}")
    return found
