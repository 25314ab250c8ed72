"""How several variants of a model stand in one lock: a line that all of them have once, what only some have behind their names.

    embed.weight  @large P f32[100,16] | @small P f32[100,8]
    layers.{i=0..11}:
      scale  P f32[1]
    layers.{i=12..23}:
      scale  @large P f32[1]

The lines are one sequence of which each variant's own lines, in their order, are a part. Where two variants have keys in contradicting
orders, such a key stands there once for either. Law: what was put together for a name comes apart again for it.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

from ckptlint.errors import DocumentError

MARK: Final = "@"
OR: Final = " | "
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

W = TypeVar("W", bound=Hashable)


class Marked(NamedTuple):
    """What stands behind a key for some variants; no names: for all of them."""

    names: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        return f"{MARK}{','.join(self.names)} {self.text}".rstrip(" ") if self.names else self.text


def together(sides: Mapping[str, Sequence[tuple[str, W]]]) -> list[tuple[str, dict[str, W]]]:
    """The rows of all sides as one sequence, each with the words of the sides that have it; in time n log n."""
    rows: list[tuple[str, dict[str, W]]] = []
    for name, side in sides.items():
        rows = list(_with(rows, name, side))
    return rows


def _with(
    rows: Sequence[tuple[str, dict[str, W]]], name: str, side: Sequence[tuple[str, W]]
) -> Iterator[tuple[str, dict[str, W]]]:
    """The rows with one more side: a key of it joins the row that is there, where that keeps the order of both."""
    places: dict[str, int] = {}
    for at, (key, _) in enumerate(rows):
        places.setdefault(key, at)
    shared = [(places[key], at) for at, (key, _) in enumerate(side) if key in places]
    before, mine = 0, 0
    for place, at in _rising(shared):
        yield from rows[before:place]
        yield from ((key, {name: word}) for key, word in side[mine:at])
        yield rows[place][0], {**rows[place][1], name: side[at][1]}
        before, mine = place + 1, at + 1
    yield from rows[before:]
    yield from ((key, {name: word}) for key, word in side[mine:])


def _rising(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest part of the pairs, in their order, of which the first numbers rise."""
    ends: list[int] = []  # the least end of a rising part of each length
    owners: list[int] = []  # and the pair that it ends with
    before: list[int] = []
    for at, (place, _) in enumerate(pairs):
        length = bisect_left(ends, place)
        before.append(owners[length - 1] if length else -1)
        ends[length : length + 1] = [place]
        owners[length : length + 1] = [at]
    found: list[tuple[int, int]] = []
    here = owners[-1] if owners else -1
    while here >= 0:
        found.append(pairs[here])
        here = before[here]
    return found[::-1]


def grouped(words: Mapping[str, W], names: Sequence[str]) -> list[tuple[tuple[str, ...], W]]:
    """The words with the names that have each; one word of all names has none."""
    found: dict[W, list[str]] = {}
    for name, word in words.items():
        found.setdefault(word, []).append(name)
    if len(found) == 1 and len(words) == len(names):
        return [((), next(iter(found)))]
    return [(tuple(having), word) for word, having in found.items()]


def written(alternatives: Iterable[Marked], names: Sequence[str]) -> str:
    """The text behind a key. A text of all that could be taken for a name has theirs before it."""
    said = [
        Marked(tuple(names), each.text) if each.text.startswith(MARK) and not each.names else each
        for each in alternatives
    ]
    return OR.join(map(str, said))


def read_marked(text: str, names: Sequence[str]) -> dict[str, str]:
    """Read the text behind a key: what each variant has there, of those that have the key."""
    if not text.startswith(MARK):
        return dict.fromkeys(names, text)
    found: dict[str, str] = {}
    for part in text[1:].split(OR + MARK):
        said, _, word = part.partition(" ")
        for name in said.split(","):
            if name not in names:
                raise DocumentError(f"{name[:40]!r} is no variant of this lock", hint=f"there are {', '.join(names)}")
            if name in found:
                raise DocumentError(f"says of {name!r} twice what it is")
            found[name] = word
    return found


def variant_name(text: str) -> str:
    """Read the name of a variant; `DocumentError` where it is none."""
    if not NAME.fullmatch(text):
        raise DocumentError(
            f"{text[:40]!r} is no name of a variant", hint="such as large: letters, digits, '.', '_' and '-'"
        )
    return text
