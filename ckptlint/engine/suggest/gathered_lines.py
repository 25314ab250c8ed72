"""Write as one rewrite what is done alike to tensors whose keys differ in one word: `attn.{t:one(c_attn|c_proj)}.weight`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, TypeVar

from ckptlint.core.holes import LONGEST
from ckptlint.engine.suggest.suggestion import Match

_T = TypeVar("_T")

_WORDS: Final = re.compile(r"([./])")
_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]+")


class Moved(NamedTuple):
    """Matches that are no renames, with the patterns of their sources and targets; several where one rewrite does for all."""

    matches: tuple[Match, ...]
    sources: tuple[str, ...]
    targets: tuple[str, ...]


class _Gap(NamedTuple):
    """What is done, and two patterns with a word left out."""

    done: tuple[str, ...]
    old: tuple[str, ...]
    new: tuple[str, ...]


def gathered(moved: Sequence[Moved]) -> Iterator[Moved]:
    """Join those that differ in one word, the largest sets first, each in the place of its first."""
    gaps: dict[_Gap, dict[int, str]] = {}
    for place, each in enumerate(moved):
        for gap, word in _gaps(each):
            gaps.setdefault(gap, {})[place] = word
    joined: dict[int, Moved] = {}
    taken: set[int] = set()
    for gap, words in sorted(gaps.items(), key=lambda each: (-len(each[1]), min(each[1]))):
        left = {place: word for place, word in words.items() if place not in taken}
        if len(left) < 2:
            continue
        taken |= left.keys()
        fixed = max(len("".join(side)) for side in (gap.old, gap.new))
        for some in bounded(list(left), [len(word) for word in left.values()], fixed):
            joined[min(some)] = _joined(gap, {place: left[place] for place in some}, moved)
    for place, each in enumerate(moved):
        if place in joined or place not in taken:
            yield joined.get(place, each)


def bounded(each: Sequence[_T], lengths: Sequence[int], fixed: int) -> Iterator[list[_T]]:
    """Cut a list so that a pattern with `fixed` other characters may list the words of each part, of these lengths."""
    found: list[_T] = []
    room = LONGEST - fixed - len("{t:one()}")
    left = room
    for one, length in zip(each, lengths, strict=True):
        if found and length + 1 > left:
            yield found
            found, left = [], room
        found.append(one)
        left -= length + 1
    yield found


def _gaps(moved: Moved) -> Iterator[tuple[_Gap, str]]:
    """Every word that both patterns have once, with what is left without it; nothing where more than a turn is done."""
    (match, *_) = moved.matches
    if match.way not in {"rename", "transpose"} or any(family.turn for family in match.targets):
        return
    old, new = (_WORDS.split(side[0]) for side in (moved.sources, moved.targets))
    done = (match.way, match.sources[0].turn)
    for place, word in enumerate(old):
        if _PLAIN.fullmatch(word) and old.count(word) == new.count(word) == 1:
            other = new.index(word)
            yield _Gap(done, _without(old, place), _without(new, other)), word


def _without(words: Sequence[str], place: int) -> tuple[str, ...]:
    return (*words[:place], "", *words[place + 1 :])


def _joined(gap: _Gap, words: dict[int, str], moved: Sequence[Moved]) -> Moved:
    if len(words) == 1:
        return moved[next(iter(words))]
    matches = tuple(match for place in words for match in moved[place].matches)
    old, new = ("".join(side).partition("\0") for side in (_marked(gap.old), _marked(gap.new)))
    options = "|".join(dict.fromkeys(words.values()))
    return Moved(matches, (f"{old[0]}{{t:one({options})}}{old[2]}",), (f"{new[0]}{{t}}{new[2]}",))


def _marked(words: Sequence[str]) -> Iterator[str]:
    return (word or "\0" for word in words)
