"""How alike two names are: words, abbreviations, and the synonyms that were learned from published conversions.

A name is compared word by word. Two words are alike where they are equal but for a plural, where one abbreviates the other (`attn`,
`attention`; `q`, `query`), or where the synonyms say so. Only synonyms and equal words count as an exact name; abbreviations are fuzzy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple

from ckptlint.engine.suggest.families import HOLE, Segments

_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_KINDS: Final = {
    "weight": "weight",
    "bias": "bias",
    "beta": "bias",
    "b": "bias",
    "running_mean": "mean",
    "running_var": "variance",
    "num_batches_tracked": "count",
}
_HEAD: Final = "^"  # begins a word that stands before the innermost list: it is compared with such words only
_FUZZY: Final = 0.8


@lru_cache(maxsize=65536)
def words(segment: str) -> tuple[str, ...]:
    """`self_attn`, `LayerNorm`, `norm1` as lower-case words and numbers; a plural without its s."""
    return tuple(map(_singular, _WORDS.findall(segment)))


def _singular(word: str) -> str:
    word = word.lower()
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is", "bias")) else word


@lru_cache(maxsize=4096)
def clash(old: str, new: str) -> bool:
    """Whether two last names are known to be different things: a bias is no weight, a mean no variance."""
    mine, theirs = _KINDS.get(old), _KINDS.get(new)
    return mine is not None and theirs is not None and mine != theirs


@lru_cache(maxsize=262144)
def abbreviates(short: str, long: str) -> bool:
    """Whether `short` is a beginning of `long`, or has its first letter and others in their order (`attn`, `attention`)."""
    if not short or len(short) >= len(long) or short[0] != long[0] or short.isdigit():
        return False
    if long.startswith(short):
        return True
    letters = iter(long)
    return len(short) > 1 and all(letter in letters for letter in short)


def _all_words(path: Segments) -> list[str]:
    return [word for segment in path for word in words(segment)]


def tail(template: Segments) -> Segments:
    """The path below the innermost list: what a block calls the thing."""
    for place in range(len(template) - 1, -1, -1):
        if template[place] == HOLE:
            return template[place + 1 :]
    return template


def _common_end(old: Segments, new: Segments) -> int:
    """How many segments two paths have in common at their ends."""
    common = 0
    while common < min(len(old), len(new)) and old[-1 - common] == new[-1 - common]:
        common += 1
    return common


def _numbers(path: Segments) -> list[str]:
    return [segment for segment in path if segment.isdigit()]


def innermost(path: Segments) -> Segments:
    """The path below the innermost number."""
    for place in range(len(path) - 1, -1, -1):
        if path[place] == HOLE or path[place].isdigit():
            return path[place + 1 :]
    return path


class Phrases(NamedTuple):
    """The parts of two paths that differ, once what both begin and end with is taken off."""

    old: Segments
    new: Segments


@dataclass(frozen=True, slots=True)
class Synonyms:
    """What published conversions call the same thing.

    `phrases` maps a path to what it became, with the number of model families that say so; both ways. `joined` are the parts
    of fused tensors, in order. `words` are pairs of words that stand for each other, `ordinals` words of which the earlier come first.
    """

    phrases: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    joined: tuple[tuple[str, ...], ...] = ()
    words: Mapping[str, frozenset[str]] = field(default_factory=dict)
    ordinals: tuple[tuple[str, ...], ...] = ()

    def same(self, old: Segments, new: Segments) -> float:
        """How sure it is that two paths name the same: 1 where all conversions that know `old` say so, 0 where none does."""
        one, other = ".".join(old), ".".join(new)
        direct = max(self._share(one, other), self._share(other, one))
        if direct or one not in self.phrases or other not in self.phrases:
            return direct
        common = self.phrases[one].keys() & self.phrases[other].keys()
        return max((0.8 * self._share(one, name) * self._share(other, name) for name in common), default=0.0)

    def _share(self, old: str, new: str) -> float:
        known = self.phrases.get(old)
        if not known or new not in known:
            return 0.0
        return known[new] / max(known.values())

    def alike(self, one: str, other: str) -> bool:
        return other in self.words.get(one, ())


@dataclass(slots=True)
class Names:
    """Compares words with a set of synonyms, and remembers what it compared."""

    synonyms: Synonyms
    known: dict[tuple[str, str], float] = field(default_factory=dict)
    phrases: dict[tuple[Segments, Segments], float] = field(default_factory=dict)

    def word(self, one: str, other: str) -> float:
        """Compare two words: 1 for equal ones, a little less for synonyms, `_FUZZY` for an abbreviation, 0 for others."""
        if one == other:
            return 1.0
        if one[0] == _HEAD or other[0] == _HEAD:
            return self.word(one[1:], other[1:]) if one[0] == other[0] else 0.0
        pair = (one, other)
        found = self.known.get(pair)
        if found is None:
            found = self.known[pair] = self._word(one, other)
        return found

    def _word(self, one: str, other: str) -> float:
        if self.synonyms.alike(one, other) or self.synonyms.alike(other, one):
            return 0.95
        if abbreviates(one, other) or abbreviates(other, one):
            return _FUZZY
        short, long = sorted((one, other), key=len)
        return _FUZZY if long == "w" + short else 0.0

    def exact(self, old: Segments, new: Segments) -> float:
        """How surely two paths name the same: 1 where they are equal below their innermost number, more where what holds them has the
        same name too, less for synonyms and for the same words otherwise arranged.
        """
        pair = (old, new)
        found = self.phrases.get(pair)
        if found is None:
            found = self.phrases[pair] = self._exact(old, new)
        return found

    def _exact(self, old: Segments, new: Segments) -> float:
        common = _common_end(old, new)
        mine, theirs = len(innermost(old)), len(innermost(new))
        if common == min(len(old), len(new)) or common >= max(mine, theirs) + 3:
            return 1.5
        numbered = mine < len(old) or theirs < len(new)
        if common > max(mine, theirs) or (common > 2 and not numbered):
            return 1.0
        return self._synonymous(tail(old), tail(new))

    def _synonymous(self, old: Segments, new: Segments) -> float:
        best, sure = 0.0, 1.0
        if old == new:
            return 1.0
        if self._same_words(old, new):
            best = 0.6
        if old[-1] == new[-1]:
            old, new = old[:-1], new[:-1]
        below = [Phrases(innermost(old), innermost(new))] if _numbers(old) == _numbers(new) else []
        for phrases in (*cuts(old, new), *below, Phrases(old[-1:], new[-1:])):
            if phrases.old and phrases.new:
                best = max(best, sure * self.synonyms.same(*phrases))
            sure = 0.8
        return best

    def _same_words(self, old: Segments, new: Segments) -> bool:
        """Whether two paths have the same words in any order, synonyms counting as the same."""
        mine, theirs = _all_words(old), _all_words(new)
        if len(mine) != len(theirs):
            return False
        for word in mine:
            found = next((other for other in theirs if self.word(word, other) > _FUZZY), None)
            if found is None:
                return False
            theirs.remove(found)
        return True

    def common(self, old: Iterable[tuple[str, float]], new: Iterable[tuple[str, float]]) -> float:
        """How much of two weighed lists of words is alike, from 0 to 1; each word is used once."""
        mine, theirs = list(old), list(new)
        total = sum(weight for _, weight in mine) + sum(weight for _, weight in theirs)
        if not total:
            return 1.0
        pairs = sorted(
            (
                (likeness * (weight + other_weight), -i, -j)
                for i, (one, weight) in enumerate(mine)
                for j, (other, other_weight) in enumerate(theirs)
                if (likeness := self.word(one, other))
            ),
            reverse=True,
        )
        gained, left, right = 0.0, set[int](), set[int]()
        for gain, i, j in pairs:
            if i not in left and j not in right:
                left.add(i)
                right.add(j)
                gained += gain
        return gained / total


def cuts(old: Segments, new: Segments) -> Iterator[Phrases]:
    """Pairs of paths that say the same of two things, the longest first: whole, and without what both begin or end with."""
    end = 0
    while end < min(len(old), len(new)) and old[-1 - end] == new[-1 - end]:
        end += 1
    start = 0
    while start < min(len(old), len(new)) - end and old[start] == new[start]:
        start += 1
    for cut_start, cut_end in dict.fromkeys(((0, 0), (start, 0), (0, end), (start, end))):
        yield Phrases(old[cut_start : len(old) - cut_end], new[cut_start : len(new) - cut_end])
