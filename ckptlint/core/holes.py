"""The text of a key pattern: literal characters, and holes in braces with what may fill them.

`{{`, `}}` and `{*}` stand for a brace or a star that is meant literally. A pattern is cut into dotted segments here, and a pattern is
refused here whose match would not be unique: matching must never have to guess, nor cost more than a key's length.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final, NamedTuple, TypeAlias, TypeVar

from ckptlint.errors import DocumentError

LONGEST: Final = 4096  # characters of a pattern
MOST_DIGITS: Final = 18  # a longer run of digits is no index
IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KIND: Final = re.compile(r"int|path|int\(([1-9]|1[0-8])\)|one\(([^()]*)\)")


@dataclass(frozen=True, slots=True)
class Kind:
    """What a capture takes: `text` (one or more characters without a dot), `int`, `int(2)`, `one(a|b)` or `path`."""

    name: str = "text"
    width: int = 0  # digits, of int(2); 0 is any
    options: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Kind:
        """Read what stands after the colon of `{k:one(a|b)}`."""
        found = _KIND.fullmatch(text)
        if found is None:
            raise DocumentError(f"{text!r} is not a type of capture", hint="there are int, int(2), one(a|b) and path")
        if found[1]:
            return cls("int", width=int(found[1]))
        if found[2] is None:
            return cls(text)
        options = tuple(option.strip() for option in found[2].split("|"))
        if "" in options or len(set(options)) < len(options) or any(set(option) & set(".{}*") for option in options):
            raise DocumentError(f"{text}: alternatives are different, not empty, and without a dot, brace or star")
        return cls("one", options=options)

    def __str__(self) -> str:
        if self.name == "one":
            return f"one({'|'.join(self.options)})"
        return f"{self.name}({self.width})" if self.width else self.name


TEXT: Final = Kind()
INT: Final = Kind("int")
PATH: Final = Kind("path")


@dataclass(frozen=True, slots=True)
class Capture:
    """A named hole of a template, `{i:int}`."""

    name: str
    kind: Kind = TEXT

    @classmethod
    def parse(cls, text: str) -> Capture:
        """Read what stands between the braces."""
        name, colon, kind = (part.strip() for part in text.partition(":"))
        if not IDENTIFIER.fullmatch(name):
            raise DocumentError(
                f"{name!r} is not a name", hint="a capture is {x} or {i:int}; a literal brace is {{ or }}"
            )
        return cls(name, Kind.parse(kind) if colon else TEXT)

    def __str__(self) -> str:
        return f"{{{self.name}}}" if self.kind == TEXT else f"{{{self.name}:{self.kind}}}"


Token: TypeAlias = str | Capture
Segment: TypeAlias = tuple[Token, ...]


class Piece(NamedTuple):
    """A stretch of a pattern's text; `kind` is literal, hole (without its braces) or stars."""

    kind: str
    text: str
    column: int  # from 1


def scan(text: str, longest: int = LONGEST) -> Iterator[Piece]:
    """Cut a pattern into literal text (escapes undone), holes and runs of stars."""
    if len(text) > longest:
        raise DocumentError(f"a pattern of {len(text)} characters; at most {longest} are allowed")
    literal, start, column = "", 0, 0
    while column < len(text):
        plain, after = _literal(text, column)
        if after:
            start = column if not literal else start
            literal, column = literal + plain, after
            continue
        if literal:
            yield Piece("literal", literal, start + 1)
            literal = ""
        piece, column = _hole(text, column) if text[column] == "{" else _stars(text, column)
        yield piece
    if literal:
        yield Piece("literal", literal, start + 1)


def _literal(text: str, column: int) -> tuple[str, int]:
    """The literal text at `column` and where it ends; 0 where a hole or a star stands."""
    if text.startswith(("{{", "}}"), column):
        return text[column], column + 2
    if text.startswith("{*}", column):
        return "*", column + 3
    if text[column] == "}":
        raise fault(text, column, "'}' closes nothing; a literal one is }}")
    if text[column] in "{*":
        return "", 0
    end = _SPECIAL.search(text, column)
    stop = end.start() if end else len(text)
    return text[column:stop], stop


_SPECIAL: Final = re.compile(r"[{}*]")


def _hole(text: str, column: int) -> tuple[Piece, int]:
    depth = 0
    for brace in _BRACE.finditer(text, column):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return Piece("hole", text[column + 1 : brace.start()], column + 1), brace.end()
    raise fault(text, column, "'{' is never closed; a literal one is {{")


_BRACE: Final = re.compile(r"[{}]")


def _stars(text: str, column: int) -> tuple[Piece, int]:
    end = column
    while end < len(text) and text[end] == "*":
        end += 1
    return Piece("stars", text[column:end], column + 1), end


def fault(text: str, column: int, message: str, hint: str = "") -> DocumentError:
    """An error about the character at `column` (from 0) of a pattern."""
    shown = text if len(text) <= 80 else f"{text[:77]}..."
    return DocumentError(f"{shown!r}: column {column + 1}: {message}", hint=hint)


def literal_only(text: str, piece: Piece) -> DocumentError:
    """The error for a star where a pattern must capture."""
    hint = "name it: {x} is part of a segment, {p:path} is any segments; a literal star is {*}"
    return fault(text, piece.column - 1, "a star selects keys, and cannot be carried over to another key", hint)


def escaped(text: str) -> str:
    """Literal text as a pattern writes it."""
    if _SPECIAL.search(text) is None:
        return text
    return text.replace("{", "{{").replace("}", "}}").replace("*", "{*}")


T = TypeVar("T")


def cut(tokens: Sequence[str | T]) -> tuple[tuple[str | T, ...], ...]:
    """Cut tokens at the dots of their literal text; an empty segment has no tokens."""
    parts: list[list[str | T]] = [[]]
    for token in tokens:
        if not isinstance(token, str):
            parts[-1].append(token)
            continue
        first, *rest = token.split(".")
        parts[-1] += [first] if first else []
        parts += [[part] if part else [] for part in rest]
    return tuple(map(tuple, parts))


def ambiguity(parts: Sequence[Segment]) -> str:
    """Why a key could match these segments in more than one way; empty if it cannot."""
    paths = [segment for segment in parts for token in segment if isinstance(token, Capture) and token.kind == PATH]
    if len(paths) > 1:
        return "a template has at most one path capture"
    if any(len(segment) > 1 for segment in paths):
        return "a path capture stands for whole segments, between dots"
    return next(filter(None, map(_ambiguous_segment, parts)), "")


def _ambiguous_segment(segment: Segment) -> str:
    loose = [index for index, token in enumerate(segment) if isinstance(token, Capture) and token.kind == TEXT]
    if len(loose) > 1:
        return f"{segment[loose[0]]} and {segment[loose[1]]} stand in one segment; give one of them a type"
    if not loose:
        return _ambiguous_run(segment, closed=True)
    before, after = segment[: loose[0]], segment[loose[0] + 1 :]
    return _ambiguous_run(before, closed=False) or _ambiguous_run(_mirrored(after), closed=False)


def _mirrored(tokens: Segment) -> Segment:
    """The tokens read from right to left."""
    return tuple(
        token[::-1]
        if isinstance(token, str)
        else Capture(token.name, Kind(token.kind.name, token.kind.width, tuple(o[::-1] for o in token.kind.options)))
        for token in reversed(tokens)
    )


def _ambiguous_run(tokens: Segment, *, closed: bool) -> str:
    """Read tokens from the left: each must end where only it can end. `closed`: after the last comes the segment's end."""
    for index, token in enumerate(tokens):
        following = tokens[index + 1 : index + 3]
        if isinstance(token, str) or token.kind.width or (closed and not following):
            continue
        if token.kind.name == "int" and (not following or _may_start_with_digit(following[0])):
            return f"where {{{token.name}:int}} ends is not clear; put a character that is no digit between it and its neighbour"
        if token.kind.name == "one" and not _told_apart(token.kind.options, following, closed=closed):
            return f"the alternatives of {{{token.name}}} begin or end alike; where it ends is not clear"
    return ""


def _may_start_with_digit(token: Token) -> bool:
    if isinstance(token, str):
        return token[0] in "0123456789"
    starts = [option[0] for option in token.kind.options]
    return token.kind.name != "one" or bool(set(starts) & set("0123456789"))


def _told_apart(options: Sequence[str], following: Sequence[Token], *, closed: bool) -> bool:
    literal = following[0] if following and isinstance(following[0], str) else ""
    if literal and len(following) == 1 and closed:
        return True
    whole = sorted(option + literal for option in options)
    return not any(later.startswith(earlier) for earlier, later in pairwise(whole))


@lru_cache(maxsize=1024)
def compiled(parts: tuple[Segment, ...]) -> re.Pattern[str]:
    """One regular expression for unambiguous segments, a group a capture.

    Linear: a segment is an atomic group up to its dot, in which only its one untyped capture, or after it a bounded number, can give
    characters back; a path gives back whole segments, each tried once against the fixed number of segments behind it.
    """
    return re.compile(r"\.".join(map(_segment_expression, parts)))


def _segment_expression(segment: Segment) -> str:
    loose = [isinstance(token, Capture) and token.kind == TEXT for token in segment]
    if len(segment) == 1 and loose[0]:
        return r"([^.]++)"
    greed = ["" if any(loose[:index]) else "+" for index in range(len(segment))]
    body = "".join(map(_token_expression, segment, greed))
    return rf"(?>{body}(?=\.|\Z))" if any(loose) else body


def _token_expression(token: Token, greed: str) -> str:
    if isinstance(token, str):
        return re.escape(token)
    match token.kind.name:
        case "text":
            return r"([^.]+)"
        case "path":
            return r"([\s\S]+)"
        case "one":
            return f"({'|'.join(map(re.escape, sorted(token.kind.options, reverse=True)))})"
    if token.kind.width:
        return f"([0-9]{{{token.kind.width}}})"
    return f"(0|[1-9][0-9]{{0,{MOST_DIGITS - 1}}}{greed})"
