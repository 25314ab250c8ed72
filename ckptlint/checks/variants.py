"""Checks of repeated layers: the same model with another depth."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ckptlint.checks.base import MODEL, Check, Comparison, Explained, NoOptions
from ckptlint.core.families import fold

_NUMBER = re.compile(r"\.([0-9]{1,6})(?=\.|$)")


def other_depth(seen: Comparison, _: NoOptions) -> Iterator[Explained]:
    """Stacks `stem.0 ... stem.n-1` with another number of layers on each side, the first of which both sides share.

    It speaks for keys of the layers that one side has too many, and only where both count from 0 without a gap.
    """
    if not seen.pairs or not (seen.missing or seen.unexpected):
        return
    wanted = _stacks(seen.wanted)
    stored = _stacks(name for key in seen.file.tensors for name in seen.names(key))
    extra = _extra_layers(stored, wanted)
    for key in seen.missing if extra else ():
        words = _outermost(key, extra)
        if words is not None:
            yield Explained(key, words, missing=(key,))
    for key in seen.unexpected if extra else ():
        words = next((found for name in seen.names(key) if (found := _outermost(name, extra))), None)
        if words is not None:
            yield Explained(key, words, unexpected=(key,))


def _extra_layers(stored: dict[str, set[int]], wanted: dict[str, set[int]]) -> dict[str, dict[str, str]]:
    """Return the words for each layer (`stem.12`) that one side alone has; stems with equal counts share a pattern."""
    stems: dict[tuple[int, int], list[str]] = {}
    for stem, want in wanted.items():
        have = stored.get(stem, set())
        if have and len(have) != len(want) and _counted(have) and _counted(want):
            stems.setdefault((len(have), len(want)), []).append(stem)
    return {
        f"{stem}.{number}": {"stem": family.pattern, "actual": str(have), "expected": str(want)}
        for (have, want), alike in stems.items()
        for family in fold(alike)
        for stem in family.keys
        for number in range(min(have, want), max(have, want))
    }


def _outermost(key: str, layers: dict[str, dict[str, str]]) -> dict[str, str] | None:
    place = key.find(".")
    while place >= 0:
        if key[:place] in layers:
            return layers[key[:place]]
        place = key.find(".", place + 1)
    return None


def _stacks(keys: Iterable[str]) -> dict[str, set[int]]:
    """Return the numbers that follow each stem: `a.0.w` and `a.1.w` give `a: {0, 1}`."""
    found: dict[str, set[str]] = {}
    for key in keys:
        for number in _NUMBER.finditer(key):
            found.setdefault(key[: number.start()], set()).add(number[1])
    return {stem: set(map(int, numbers)) for stem, numbers in found.items()}


def _counted(numbers: set[int]) -> bool:
    return numbers == set(range(len(numbers)))


VARIANT_CHECKS = {"other-depth": Check(other_depth, words=("stem", "actual", "expected"), needs=MODEL, together=True)}
