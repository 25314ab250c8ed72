"""Selectors: patterns that only choose keys, in the form that reports print (`layers.{0..31}.attn.{q,k}.*`, `aux.**`).

A selector may have everything a template has, and more than one way to match a key, since nobody asks which.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Final, TypeAlias

from ckptlint.core.holes import (
    MOST_DIGITS,
    PATH,
    TEXT,
    Capture,
    Kind,
    Piece,
    ambiguity,
    compiled,
    cut,
    escaped,
    fault,
    scan,
)
from ckptlint.errors import DocumentError

NOT_IN_WORDS: Final = frozenset("{}*.,:")  # what an item of a list cannot hold
_RANGE: Final = re.compile(r"([0-9]{1,18})\.\.([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive numbers, `0..31`; `01..12` are written with as many digits."""

    first: int
    last: int
    width: int = 0

    def __str__(self) -> str:
        return f"{self.first:0{self.width}d}..{self.last:0{self.width}d}"

    def __iter__(self) -> Iterator[str]:
        """The numbers as they are written."""
        return (f"{number:0{self.width}d}" for number in range(self.first, self.last + 1))

    def __contains__(self, digits: str) -> bool:
        if self.width:
            return len(digits) == self.width and self.first <= int(digits) <= self.last
        return (digits == "0" or digits[0] != "0") and self.first <= int(digits) <= self.last


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a list, `{q,k,v}` or `{0..3,5..7}`."""

    items: tuple[str | Run, ...]

    @classmethod
    def parse(cls, text: str) -> Choice:
        """Read what stands between the braces."""
        items = tuple(_item(item.strip()) for item in text.split(","))
        if items == (text.strip(),):
            raise DocumentError(f"{{{text}}}: a list has a comma, or is a run such as 0..31")
        if "" in items or any(isinstance(item, str) and set(item) & NOT_IN_WORDS for item in items):
            raise DocumentError(
                f"{{{text}}}: items are words without a dot, colon, brace or star, or runs such as 0..31"
            )
        return cls(items)

    def __str__(self) -> str:
        return f"{{{','.join(map(str, self.items))}}}"

    def __iter__(self) -> Iterator[str]:
        """Every word it stands for, in its order."""
        for item in self.items:
            yield from (item,) if isinstance(item, str) else item


def _item(text: str) -> str | Run:
    found = _RANGE.fullmatch(text)
    if found is None:
        return text
    first, last = found[1], found[2]
    padded = len(first) > 1 and first[0] == "0"
    if (
        (padded and len(first) != len(last))
        or int(first) > int(last)
        or (last[0] == "0" and len(last) > 1 and not padded)
    ):
        raise DocumentError(
            f"{text} is not a run of numbers", hint="write it as 0..31, or 00..31 where all have two digits"
        )
    return Run(int(first), int(last), len(first) if padded else 0)


@dataclass(frozen=True, slots=True)
class Stars:
    """`*`: any characters of one segment, also none. `**`: any segments, also none (`any_segments`)."""

    any_segments: bool = False

    def __str__(self) -> str:
        return "**" if self.any_segments else "*"


Token: TypeAlias = str | Capture | Choice | Stars
Segment: TypeAlias = tuple[Token, ...]


@dataclass(frozen=True)
class Selector:
    """A pattern that says yes or no to a whole key, in time linear in the key's length."""

    tokens: tuple[Token, ...]

    @classmethod
    def parse(cls, text: str) -> Selector:
        """Read a selector; `DocumentError` says at which column it is wrong."""
        selector = cls(tuple(_token(text, piece) for piece in scan(text)))
        names = [token.name for token in selector.tokens if isinstance(token, Capture)]
        if len(set(names)) < len(names) and selector._template is None:
            raise DocumentError(
                f"{text!r}: a name that stands twice cannot be beside stars, lists or unclear neighbours"
            )
        for segment in selector.segments:
            if len(segment) > 1 and any(map(_spans_segments, segment)):
                raise DocumentError(f"{text!r}: '**' and path captures stand for whole segments, between dots")
        return selector

    def __str__(self) -> str:
        return "".join(escaped(token) if isinstance(token, str) else str(token) for token in self.tokens)

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """The tokens between dots."""
        return cut(self.tokens)

    @property
    def literal(self) -> str | None:
        """The one key it matches, where it is nothing but literal text."""
        return "".join(map(str, self.tokens)) if all(isinstance(token, str) for token in self.tokens) else None

    def matches(self, key: str) -> bool:
        if self._template is None:
            if not key.endswith(self._ending):  # most keys of most files, at once
                return False
            return _selects(self.segments, key.split("."))
        found = self._template.fullmatch(key)
        if found is None:
            return False
        names = [token.name for token in self.tokens if isinstance(token, Capture)]
        return len(set(zip(names, found.groups(), strict=True))) == len(set(names))

    def match(self, key: str) -> Mapping[str, int | str] | None:
        """As a template's, with nothing captured."""
        return _NOTHING if self.matches(key) else None

    @cached_property
    def _ending(self) -> str:
        """The literal text that every key it matches ends with."""
        last = self.segments[-1]
        return last[-1] if last and isinstance(last[-1], str) else ""

    @cached_property
    def _template(self) -> re.Pattern[str] | None:
        """One regular expression, where this could be a template."""
        plain = tuple(token for token in self.tokens if isinstance(token, str | Capture))
        parts = cut(plain)
        return compiled(parts) if len(plain) == len(self.tokens) and not ambiguity(parts) else None


_NOTHING: Final[Mapping[str, int | str]] = MappingProxyType({})


def _token(text: str, piece: Piece) -> Token:
    if piece.kind == "literal":
        return piece.text
    if piece.kind == "stars":
        if len(piece.text) > 2:
            raise fault(text, piece.column - 1, "there are * (in a segment) and ** (any segments)")
        return Stars(any_segments=len(piece.text) == 2)
    try:
        listed = ":" not in piece.text and ("," in piece.text or ".." in piece.text)
        return Choice.parse(piece.text) if listed else Capture.parse(piece.text)
    except DocumentError as error:
        raise fault(text, piece.column, error.message, error.hint) from None


def _spans_segments(token: Token) -> bool:
    return (isinstance(token, Stars) and token.any_segments) or (isinstance(token, Capture) and token.kind == PATH)


def _selects(parts: tuple[Segment, ...], key: list[str]) -> bool:
    """Follow every way to read the key at once: `reached` holds how many of its segments the pattern so far can take."""
    reached = {0}
    for segment in parts:
        if len(segment) == 1 and _spans_segments(segment[0]):
            least = min(reached)
            first = least if isinstance(segment[0], Stars) else least + (2 if key[least : least + 1] == [""] else 1)
            reached = set(range(first, len(key) + 1))
        else:
            reached = {at + 1 for at in reached if at < len(key) and _takes(segment, key[at])}
        if not reached:
            return False
    return len(key) in reached


def _takes(segment: Segment, text: str) -> bool:
    """Whether one segment's tokens can read one segment of a key, again every way at once."""
    if len(segment) == 1 and isinstance(segment[0], str):
        return segment[0] == text
    reached = {0}
    for token in segment:
        if isinstance(token, Stars) or (isinstance(token, Capture) and token.kind == TEXT):
            reached = set(range(min(reached) + (not isinstance(token, Stars)), len(text) + 1))
        else:
            reached = {end for at in reached for end in _ends(token, text, at)}
        if not reached:
            return False
    return len(text) in reached


def _ends(token: str | Capture | Choice, text: str, at: int) -> Iterator[int]:
    """Where a token that starts at `at` may end."""
    if isinstance(token, str):
        words: tuple[str | Run, ...] = (token,)
    elif isinstance(token, Choice):
        words = token.items
    else:
        words = token.kind.options
        yield from _number_ends(token.kind, text, at)
    yield from (at + len(word) for word in words if isinstance(word, str) and text.startswith(word, at))
    runs = [word for word in words if isinstance(word, Run)]
    longest = min(_digits(text, at), MOST_DIGITS) if runs else 0
    yield from (end for end in range(at + 1, at + longest + 1) if any(text[at:end] in run for run in runs))


def _number_ends(kind: Kind, text: str, at: int) -> Iterator[int]:
    """Where an integer may end; nowhere for a kind that is none."""
    digits = _digits(text, at) if kind.name == "int" else 0
    if kind.width:
        yield from (at + kind.width for _ in range(digits >= kind.width))
        return
    longest = 1 if text.startswith("0", at) else MOST_DIGITS
    yield from range(at + 1, at + min(digits, longest) + 1)


def _digits(text: str, at: int) -> int:
    """How many digits stand at `at`, counted to one more than any number has."""
    found = _DIGITS.match(text, at)
    return found.end() - at if found else 0


_DIGITS: Final = re.compile(r"[0-9]{1,19}")
