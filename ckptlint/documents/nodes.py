"""A value of a parsed document that knows its place, and the questions one may ask it.

A document is read by asking its root for what it should hold; whatever it holds instead is a `DocumentError` that names the place:
`file.yaml:12:7: rewrites[2].ops[0].split: should be a mapping, not a list`. What a plain scalar is, is decided here and not by YAML:
integers, floats, `true`, `false` and `null` (or nothing); `no`, `on`, `0x1F`, `1_000`, `007` and `12:30:45` are text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, TypeAlias, TypeVar

from ckptlint.errors import CkptlintError, DocumentError

T = TypeVar("T")
L = TypeVar("L", bound=str)
Plain: TypeAlias = "str | int | float | bool | list[Plain] | dict[str, Plain] | None"

_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?\Z")
_ENDLESS = re.compile(r"[-+]?\.(?:inf|Inf|INF)\Z|\.(?:nan|NaN|NAN)\Z")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")
_LARGEST = 2**63
_SHOWN = 60  # characters of a foreign text that a message repeats


class Kind(StrEnum):
    """What a node holds, in the words of a message."""

    TEXT = "text"
    INTEGER = "an integer"
    NUMBER = "a number"
    BOOLEAN = "true or false"
    NOTHING = "nothing"
    LIST = "a list"
    MAPPING = "a mapping"


class Trail(NamedTuple):
    """The way from the root to a node, last step first; None is the root's."""

    parent: Trail | None
    step: str | int


class Entry(NamedTuple):
    """One `key: value` of a mapping; the key is a node too, for it may be a template."""

    key: Node
    value: Node


Content: TypeAlias = "str | tuple[Node, ...] | Mapping[str, Entry]"


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A scalar (its text as written), a list or a mapping; `line` and `column` count from 1, 0 where the parser has none."""

    kind: Kind
    content: Content
    origin: str
    line: int = 0
    column: int = 0
    trail: Trail | None = None
    bare: bool = False  # a flow mapping or list, or a plain scalar: what quotes would have made text

    @property
    def path(self) -> str:
        """Its place in the document: `rewrites[2].ops[0].split`, empty for the root."""
        steps: list[str] = []
        trail = self.trail
        while trail is not None:
            steps.append(_written(trail.step))
            trail = trail.parent
        return "".join(reversed(steps)).removeprefix(".")

    @property
    def where(self) -> str:
        """`file:line:column: path`, what an error about it starts with."""
        place = f"{self.origin}:{self.line}:{self.column}" if self.line else self.origin
        return f"{place}: {self.path}" if self.trail else place

    def fail(self, message: str, hint: str = "") -> DocumentError:
        """Return the error to raise about this node."""
        return DocumentError(message, where=self.where, hint=hint)

    def text(self) -> str:
        if self.kind is not Kind.TEXT or not isinstance(self.content, str):
            raise self._not(Kind.TEXT, self._quoting())
        return self.content

    def integer(self) -> int:
        if self.kind is not Kind.INTEGER or not isinstance(self.content, str):
            raise self._not(Kind.INTEGER)
        number = int(self.content) if len(self.content) < 25 else _LARGEST
        if abs(number) >= _LARGEST:
            raise self.fail(f"{shown(self.content)} is too large an integer")
        return number

    def number(self) -> float:
        if self.kind is Kind.INTEGER:
            return self.integer()
        if self.kind is not Kind.NUMBER or not isinstance(self.content, str):
            raise self._not(Kind.NUMBER)
        endless = _ENDLESS.match(self.content) is not None
        number = float(self.content.lower().replace(".", "", 1) if endless else self.content)
        if number in (float("inf"), float("-inf")) and not endless:
            raise self.fail(f"{shown(self.content)} is too large a number")
        return number

    def boolean(self) -> bool:
        if self.kind is not Kind.BOOLEAN:
            raise self._not(Kind.BOOLEAN)
        return self.content == "true"

    def items(self) -> tuple[Node, ...]:
        """Return a list's nodes."""
        if not isinstance(self.content, tuple):
            raise self._not(Kind.LIST)
        return self.content

    def one_or_more(self) -> tuple[Node, ...]:
        """Return a list's nodes, or a scalar as a list of itself; an empty list is an error."""
        nodes = self.content if isinstance(self.content, tuple) else (self,)
        if not nodes:
            raise self.fail("should not be empty")
        return nodes

    def pairs(self) -> tuple[Entry, ...]:
        """Return a mapping's entries in order."""
        return tuple(self._mapping().values())

    def entries(self) -> dict[str, Node]:
        """Return a mapping's values by key, in order."""
        return {key: entry.value for key, entry in self._mapping().items()}

    def find(self, key: str) -> Node | None:
        """Return the value of a key, None where a mapping has none."""
        entry = self._mapping().get(key)
        return entry.value if entry else None

    def get(self, key: str) -> Node:
        found = self.find(key)
        if found is None:
            raise self.fail(f"lacks {key!r}")
        return found

    def only(self, *allowed: str) -> None:
        """Refuse a mapping's unknown keys."""
        for key, entry in self._mapping().items():
            if key not in allowed:
                raise self.at_key(entry).fail(f"unknown key {shown(key)}", hint=nearest(key, allowed))

    def at_key(self, entry: Entry) -> Node:
        """Return this node placed at one of its keys, for an error about the key itself."""
        return Node(self.kind, self.content, self.origin, entry.key.line, entry.key.column, self.trail)

    def choice(self, options: Sequence[L]) -> L:
        """Return the option that the text is."""
        word = self.text()
        for option in options:
            if option == word:
                return option
        raise self.fail(f"{shown(word)} is not one of {', '.join(options)}", hint=_did_you_mean(word, options))

    def read(self, parse: Callable[[str], T]) -> T:
        """Apply a parser of core text, and say where it failed."""
        return self.located(parse, self.text())

    def located(self, parse: Callable[..., T], *arguments: object) -> T:
        """Call what may raise a `CkptlintError` without a place; it gets this node's, and is a fault of the document."""
        try:
            return parse(*arguments)
        except CkptlintError as error:
            raise DocumentError(error.message, where=self.where, hint=error.hint) from error

    def into(self, read: Callable[[Mapping[str, object]], T]) -> T:
        """Make something of a mapping's plain values; an error that names one of the keys gets that key's place."""
        values = {key: value.plain() for key, value in self.entries().items()}
        try:
            return read(values)
        except CkptlintError as error:
            raise (self.find(error.where) or self).fail(error.message, error.hint) from error

    def plain(self) -> Plain:
        """Return the value without its places, as `json.loads` would give it."""
        if isinstance(self.content, str):
            return self.scalar()
        if isinstance(self.content, tuple):
            return [item.plain() for item in self.content]
        return {key: entry.value.plain() for key, entry in self.content.items()}

    def scalar(self) -> str | int | float | bool | None:
        """Return a scalar of whatever kind it is."""
        readers: dict[Kind, Callable[[], str | int | float | bool]] = {
            Kind.INTEGER: self.integer,
            Kind.NUMBER: self.number,
            Kind.BOOLEAN: self.boolean,
        }
        return None if self.kind is Kind.NOTHING else readers.get(self.kind, self.text)()

    def _mapping(self) -> Mapping[str, Entry]:
        if isinstance(self.content, (str, tuple)):
            raise self._not(Kind.MAPPING)
        return self.content

    def _not(self, wanted: Kind, hint: str = "") -> DocumentError:
        has = f"{self.kind} {shown(self.content)}" if isinstance(self.content, str) and self.content else self.kind
        return self.fail(f"should be {wanted}, not {has}", hint)

    def _quoting(self) -> str:
        """Say that quotes would make this text, where that is likely what was meant."""
        if isinstance(self.content, str):
            return f'write "{self.content[:_SHOWN]}" for text' if self.content and self.bare else ""
        if isinstance(self.content, Mapping) and self.bare:
            keys = list(self.content)
            if len(keys) == 1 and self.content[keys[0]].value.kind is Kind.NOTHING:
                return f'a template that starts with a brace must be quoted: "{{{keys[0][:_SHOWN]}}}"'
        return ""


def scalar_kind(text: str) -> Kind:
    """Say what an unquoted scalar is."""
    if text in ("true", "false"):
        return Kind.BOOLEAN
    if text in ("", "null", "~"):
        return Kind.NOTHING
    if text[0] not in "+-.0123456789":
        return Kind.TEXT
    if _INTEGER.match(text):
        return Kind.INTEGER
    if _FLOAT.match(text) or _ENDLESS.match(text):
        return Kind.NUMBER
    return Kind.TEXT


def shown(text: str) -> str:
    """Quote a text of the user's for a message, cut where it is long."""
    return repr(text) if len(text) <= _SHOWN else f"{text[:_SHOWN]!r}..."


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint that names the known words, the most similar first."""
    words = list(known)
    guess = _did_you_mean(word, words)
    return (
        f"{guess + ' ' if guess else ''}There {'is' if len(words) == 1 else 'are'} {', '.join(words)}" if words else ""
    )


def _did_you_mean(word: str, known: Sequence[str]) -> str:
    if len(word) > _SHOWN:
        return ""
    from difflib import get_close_matches

    close = get_close_matches(word, known, n=1)
    return f"did you mean {close[0]!r}?" if close else ""


def _written(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if _WORD.match(step) else f"[{shown(step)}]"
