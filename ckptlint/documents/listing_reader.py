"""Read the text that `listing` writes; every error is at its line and column."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Final, Generic, NamedTuple, TypeVar

from ckptlint.core.selector import Run
from ckptlint.documents.listing import DEEPEST
from ckptlint.errors import DocumentError

MOST_KEYS: Final = 250_000  # a few bytes must not ask for more time and memory than any model needs
_LINE: Final = re.compile(r"( *+)([^ ]++)(?: ++([^ ].*+)(?<! ))?")
_PLAIN: Final = r"""[!"$-+\--9;<>-Z^-z|~]+"""  # printable ASCII without what has a meaning
_ESCAPE: Final = r"\\(?:e|x(?P<x>[0-9a-f]{2})|u(?P<u>[0-9a-f]{4})|U(?P<U>00(?:0[0-9a-f]|10)[0-9a-f]{4}))"
_SIMPLE: Final = re.compile(_PLAIN)
_TOKEN: Final = re.compile(rf"(?P<plain>{_PLAIN})|{_ESCAPE}|\{{(?:[a-z]=)?(?P<list>[^{{}}=]+)\}}")
_QUOTED: Final = re.compile(rf"(?P<plain>[!-\[\]-~]+)|{_ESCAPE}|(?P<list>(?!))")
_RUN: Final = re.compile(r"([0-9]{1,18})\.\.([0-9]{1,18})")

W = TypeVar("W")


class Row(NamedTuple, Generic[W]):
    """A key, its word, and the number of the line that says so."""

    key: str
    word: W
    line: int


class Numbered(NamedTuple):
    """A line of a file, with its number from 1."""

    number: int
    text: str


@dataclass(slots=True)
class _Block(Generic[W]):
    """A block that is being read: its own keys, and the rows inside, whose keys are None where they are the block's own."""

    head: str
    keys: list[str]
    line: int
    rows: list[tuple[str | None, W, int]] = field(default_factory=list)


@dataclass(slots=True)
class ListingReader(Generic[W]):
    """Reads lines of one file. `parse` reads the word behind a key; its errors need no place."""

    origin: str
    parse: Callable[[str], W]
    words: dict[str, W] = field(default_factory=dict)
    written: dict[str, list[tuple[str | None, W, int]]] = field(
        default_factory=dict
    )  # the rows of the latest block with a head

    def rows(self, lines: Iterable[Numbered]) -> list[Row[W]]:
        """Return all keys in order."""
        blocks: list[_Block[W]] = [_Block("", [""], 0)]
        for line in lines:
            if line.text:
                self._line(blocks, line)
        self._dedent(blocks, 1)
        return [Row(key or "", word, line) for key, word, line in blocks[0].rows]

    def once(self, rows: list[Row[W]]) -> list[Row[W]]:
        """The rows, of which no two may have one key."""
        if len({row.key for row in rows}) < len(rows):
            raise self._twice(rows)
        return rows

    def _line(self, blocks: list[_Block[W]], line: Numbered) -> None:
        found = _LINE.fullmatch(line.text)
        if found is None:
            raise self.fail(line.number, 1, "blanks at the end, or a line of blanks")
        indent, text, word = found.groups()
        depth = len(indent) // 2
        if len(indent) % 2 or depth >= len(blocks):
            raise self.fail(line.number, 1, f"{len(indent)} blanks; inside a block there are two more than at its head")
        self._dedent(blocks, depth + 1)
        if text[0] == "." and not (text == "." and depth):
            raise self.fail(line.number, len(indent) + 1, "a key that begins with a dot is written with \\e in front")
        if text.endswith(":"):
            self._head(blocks, _Block(text[:-1], self._keys(text[:-1], line.number, len(indent)), line.number), word)
            return
        column = found.start(3) + 1 if word else len(line.text) + 1
        self._keyed(blocks[-1].rows, line.number, (len(indent), text), self._word(word or "", line.number, column))

    def _keyed(self, rows: list[tuple[str | None, W, int]], line: int, text: tuple[int, str], word: W) -> None:
        """Add the keys of one line; `text` is its indent and what stands for them."""
        simple = _SIMPLE.fullmatch(text[1]) is not None
        keys: list[str | None] = [text[1]] if simple else [*self._keys(text[1], line, text[0])]
        rows += [(None if text[1] == "." else key, word, line) for key in keys]
        if len(rows) > MOST_KEYS:
            raise self.fail(line, 1, f"more than {MOST_KEYS:,} keys")

    def _head(self, blocks: list[_Block[W]], block: _Block[W], word: str | None) -> None:
        """Open a block, or write it out at once where `word` says like which earlier one it is."""
        if len(blocks) > DEEPEST:
            raise self.fail(block.line, 1, f"more than {DEEPEST} blocks in one another")
        if word is None:
            blocks.append(block)
            return
        like, _, known = word.partition(" ")
        if like != "like" or known not in self.written:
            raise self.fail(block.line, 1, f"{word[:60]!r} names no block above")
        block.rows.extend(self.written[known])
        self._write_out(block, blocks[-1])

    def _dedent(self, blocks: list[_Block[W]], depth: int) -> None:
        """Close the innermost blocks."""
        while len(blocks) > depth:
            block = blocks.pop()
            if not block.rows:
                raise self.fail(block.line, 1, "a block without lines")
            self.written[block.head] = block.rows
            self._write_out(block, blocks[-1])

    def _write_out(self, block: _Block[W], outer: _Block[W]) -> None:
        if len(block.keys) * len(block.rows) + len(outer.rows) > MOST_KEYS:
            raise self.fail(block.line, 1, f"more than {MOST_KEYS:,} keys")
        outer.rows += [
            (own if key is None else f"{own}.{key}", word, line) for own in block.keys for key, word, line in block.rows
        ]

    def _word(self, text: str, line: int, column: int) -> W:
        if text not in self.words:
            try:
                self.words[text] = self.parse(text)
            except DocumentError as error:
                raise self.fail(line, column, error.message, error.hint) from None
        return self.words[text]

    def _keys(self, text: str, line: int, indent: int) -> list[str]:
        """All keys that a text with lists and escapes stands for, the last list varying fastest."""
        pools: list[list[str]] = []
        size, column = 1, 0
        while column < len(text):
            token = _TOKEN.match(text, column)
            if token is None:
                raise self.fail(line, indent + column + 1, f"{text[column]!r} does not belong here, or must be escaped")
            try:
                pools.append(_pool(token))
            except DocumentError as error:
                raise self.fail(line, indent + column + 1, error.message) from None
            size *= len(pools[-1])
            if size > MOST_KEYS:
                raise self.fail(line, indent + column + 1, f"more than {MOST_KEYS:,} keys")
            column = token.end()
        return list(map("".join, product(*pools)))

    def _twice(self, rows: list[Row[W]]) -> DocumentError:
        seen: dict[str, int] = {}
        for row in rows:
            if row.key in seen:
                return self.fail(row.line, 1, f"{row.key!r} is there twice, first in line {seen[row.key]}")
            seen[row.key] = row.line
        raise AssertionError

    def fail(self, line: int, column: int, message: str, hint: str = "") -> DocumentError:
        """An error at a place of the file."""
        return DocumentError(message, where=f"{self.origin}:{line}:{column}", hint=hint)


def unescape(text: str) -> str:
    """Read one whole key, which is in no list."""
    return _read(text, _TOKEN)


def unquote(text: str) -> str:
    """Read a text that is no key."""
    return _read(text, _QUOTED)


def _read(text: str, tokens: re.Pattern[str]) -> str:
    found, column = [], 0
    while column < len(text):
        token = tokens.match(text, column)
        if token is None or token["list"]:
            raise DocumentError(f"{text[column]!r} does not belong here, or must be escaped")
        found += _pool(token)
        column = token.end()
    return "".join(found)


def _pool(token: re.Match[str]) -> list[str]:
    """What a piece of text stands for: one text, or each item of its list."""
    if token["plain"]:
        return [token["plain"]]
    if token["list"]:
        items = token["list"].split(",")
        return [text for item in items for text in _item(item)]
    code = token["x"] or token["u"] or token["U"]
    return [chr(int(code, 16)) if code else ""]


def _item(text: str) -> Iterator[str]:
    run = _RUN.fullmatch(text)
    if run is None:
        if not text:
            raise DocumentError("an item of a list is missing")
        yield unescape(text)
        return
    first, last = run.groups()
    padded = len(first) > 1 and first[0] == "0"
    if int(last) - int(first) >= MOST_KEYS:
        raise DocumentError(f"{text} is more than {MOST_KEYS:,} keys")
    if int(first) > int(last) or (padded and len(first) != len(last)):
        raise DocumentError(f"{text} is not a run of numbers")
    yield from Run(int(first), int(last), len(first) if padded else 0)
