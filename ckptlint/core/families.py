"""Fold keys into families, `layers.{0..31}.attn.{q,k,v}.weight`, each of which stands for exactly its keys.

Two keys, or two families, are merged where they differ in one place only: then what they stand for together is again a product, so that no
pattern ever names a key that is not there. Numbers are merged first, from the right, then the words of a segment, from the right.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import product
from typing import Final, NamedTuple

from ckptlint.core.holes import escaped, scan
from ckptlint.core.selector import NOT_IN_WORDS, Choice, Run
from ckptlint.errors import DocumentError

_DIGITS: Final = re.compile(r"([0-9]+)")
_LIST: Final = "\0"  # while folding, a list stands as its number between two of these
_GAP: Final = "\1"  # and this is the place that is looked at; a key with either in it is not folded
_PLACE: Final = re.compile(r"(\0[^\0]*\0|(?<![0-9])[0-9]{1,18}(?![0-9]))")
_MOST: Final = 16  # numbers of a key, and segments, that are looked at, from the right: bounds the cost of absurd keys


class Family(NamedTuple):
    """A pattern, and the keys it stands for in the order they were given."""

    pattern: str
    keys: tuple[str, ...]


def fold(keys: Iterable[str]) -> tuple[Family, ...]:
    """Return families that together have each key once, in the order of their first keys. Near-linear in the number of keys."""
    order = {key: place for place, key in enumerate(dict.fromkeys(keys))}
    unique = list(order)
    if len(unique) < 2:
        return tuple(Family(escaped(key), (key,)) for key in unique)
    lists = _Lists()
    odd = [key for key in unique if _LIST in key or _GAP in key]
    rows = lists.merged([key for key in unique if _LIST not in key and _GAP not in key] if odd else unique)
    alone = [*odd, *(row for row in rows if _LIST not in row)]
    found = [(order[key], Family(escaped(key), (key,))) for key in alone]
    for row in rows if len(alone) < len(unique) else ():
        if _LIST in row:
            places = sorted([order[key] for key in lists.keys(row)])
            found.append((places[0], Family(lists.pattern(row), tuple([unique[place] for place in places]))))
    found.sort()
    return tuple([family for _, family in found])


class _Lists:
    """The lists that were made so far: what each holds, and how it is written."""

    def __init__(self) -> None:
        self.items: list[tuple[str, ...]] = []
        self.spelled: list[str] = []
        self.known: dict[frozenset[str], str] = {}

    def merged(self, rows: list[str]) -> list[str]:
        """Merge rows, each a key in which lists may stand, place by place."""
        apart: list[str] = []
        for look, spell in ((_number_at, _spelled_numbers), (_word_at, _spelled_words)):
            lonely, rows = _parted(rows)
            apart += lonely
            for place in range(1, _MOST + 1):
                rows, looked = self._merged_at(rows, place, look, spell)
                if not looked:
                    break
        return apart + rows

    def _merged_at(
        self,
        rows: list[str],
        place: int,
        look: Callable[[str, int], tuple[str, str] | None],
        spell: Callable[[list[str]], str],
    ) -> tuple[list[str], bool]:
        """Merge the rows that differ at one place only; also whether any row has such a place."""
        first: dict[str, str] = {}
        more: dict[str, list[str]] = {}
        looked = False
        for row in rows:
            seen = look(row, place)
            if seen is None:
                first[row] = ""
                continue
            rest, text = seen
            looked = True
            earlier = first.setdefault(rest, text)
            if earlier != text:
                more.setdefault(rest, [earlier]).append(text)
        if not more:
            return rows, looked
        return [
            rest.replace(_GAP, self._list(more[rest], spell) if rest in more else text) for rest, text in first.items()
        ], looked

    def _list(self, texts: list[str], spell: Callable[[list[str]], str]) -> str:
        """How a list stands in a row; equal lists stand equally."""
        content = frozenset(texts)
        if content not in self.known:
            self.known[content] = f"{_LIST}{len(self.items)}{_LIST}"
            self.items.append(tuple(texts))
            self.spelled.append(spell(texts))
        return self.known[content]

    def pattern(self, row: str) -> str:
        if _LIST not in row:
            return escaped(row)
        parts = row.split(_LIST)
        return "".join(self.spelled[int(part)] if place % 2 else escaped(part) for place, part in enumerate(parts))

    def keys(self, row: str) -> Iterator[str]:
        if _LIST not in row:
            return iter((row,))
        parts = row.split(_LIST)
        return map("".join, product(*(self.items[int(p)] if place % 2 else (p,) for place, p in enumerate(parts))))


def _parted(rows: list[str]) -> tuple[list[str], list[str]]:
    """Part the rows that no other can be merged with from the rest, cheaply.

    Rows that differ in one segment only have as many dots, and their first or their second half is equal.
    """
    firsts = [_first_half(row) for row in rows]
    seconds = [row[len(first) :] for row, first in zip(rows, firsts, strict=True)]
    alike, too = Counter(firsts), Counter(seconds)
    parted: tuple[list[str], list[str]] = ([], [])
    for row, first, second in zip(rows, firsts, seconds, strict=True):
        parted[alike[first] > 1 or too[second] > 1].append(row)
    return parted


def _first_half(row: str) -> str:
    dots = row.count(".")
    return row.rsplit(".", dots // 2 + 1)[0] if dots else ""


def _number_at(row: str, place: int) -> tuple[str, str] | None:
    """The number at a place counted from the right, and the row without it."""
    parts = _PLACE.split(row)
    if len(parts) < 2 * place:
        return None
    number = parts[-2 * place]
    parts[-2 * place] = _GAP
    return "".join(parts), number


def _word_at(row: str, place: int) -> tuple[str, str] | None:
    """The segment at a place counted from the right, if a list can hold it, and the row without it."""
    parts = row.rsplit(".", place)
    if len(parts) < place:
        return None
    index = len(parts) - place
    word = parts[index]
    if not word or not NOT_IN_WORDS.isdisjoint(word) or word[0].isspace() or word[-1].isspace() or _LIST in word:
        return row, ""
    parts[index] = _GAP
    return ".".join(parts), word


def _spelled_numbers(digits: list[str]) -> str:
    return str(Choice(tuple(numbered(digits))))


def _spelled_words(words: list[str]) -> str:
    return f"{{{','.join(words)}}}"


def expand(pattern: str) -> Iterator[str]:
    """Every key that a family's pattern stands for; the last list varies fastest."""
    pools: list[tuple[str, ...] | Choice] = []
    for piece in scan(pattern, longest=len(pattern)):
        if piece.kind == "stars":
            raise DocumentError(f"{pattern!r} is not a family of keys: it has a star")
        pools.append((piece.text,) if piece.kind == "literal" else Choice.parse(piece.text))
    return map("".join, product(*pools))


def natural(key: str) -> tuple[tuple[str | tuple[int, str], ...], str]:
    """A sort key under which `layers.2` comes before `layers.10`; for display only."""
    parts = enumerate(_DIGITS.split(key))
    return tuple((len(part.lstrip("0")), part.lstrip("0")) if place % 2 else part for place, part in parts), key


def numbered(digits: Iterable[str]) -> Iterator[str | Run]:
    """Write different digit strings as runs and single numbers; those with leading zeros apart, by their length."""
    texts = sorted(digits, key=lambda text: (len(text), text))
    padded = {len(text) for text in texts if len(text) > 1 and text[0] == "0"}
    for width in (0, *sorted(padded)):
        chosen = [text for text in texts if (len(text) == width if width else len(text) not in padded)]
        yield from _runs(chosen)


def _runs(texts: list[str]) -> Iterator[str | Run]:
    """Runs of three or more consecutive numbers, and what is left; the texts are sorted by their numbers."""
    start = 0
    for index in range(1, len(texts) + 1):
        if index < len(texts) and int(texts[index]) == int(texts[index - 1]) + 1:
            continue
        if index - start > 2:
            first = texts[start]
            yield Run(int(first), int(texts[index - 1]), len(first) if first[0] == "0" and len(first) > 1 else 0)
        else:
            yield from texts[start:index]
        start = index
