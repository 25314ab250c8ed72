"""Templates that keys are matched with (`layers.{i:int}.{p:path}`), and the targets that their captures fill (`blocks.{i+1}.{p}`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Final, TypeAlias

from ckptlint.core.expression import NO_RANKS, NO_TABLES, Expression, RankKey, Ranks, Tables, Value
from ckptlint.core.holes import (
    INT,
    PATH,
    TEXT,
    Capture,
    Kind,
    Segment,
    Token,
    ambiguity,
    compiled,
    cut,
    escaped,
    fault,
    literal_only,
    scan,
)
from ckptlint.core.selector import Selector
from ckptlint.errors import DocumentError, PlanError

__all__ = [
    "INT",
    "PATH",
    "TEXT",
    "Capture",
    "Captures",
    "Fill",
    "Kind",
    "PaddedInt",
    "Selector",
    "Target",
    "Template",
    "rank_values",
]

Captures: TypeAlias = Mapping[str, Value]
_NOTHING: Final[Captures] = MappingProxyType({})
_TYPED: Final = re.compile(
    r"""([^:{}"']*):(.*)"""
)  # an expression with a colon of its own has braces or quotes before it
_WHOLE: Final = re.compile("0|[1-9][0-9]*")


class PaddedInt(int):
    """What `{i:int(2)}` captured: an integer that is written with its leading zeros until arithmetic makes it a plain one."""

    width: int

    @classmethod
    def of(cls, digits: str) -> PaddedInt:
        padded = cls(digits)
        padded.width = len(digits)
        return padded

    def __str__(self) -> str:
        return f"{int(self):0{self.width}d}"


@dataclass(frozen=True)
class Template:
    """A pattern that matches a whole key in at most one way, in time linear in the key's length.

    `str()` writes the canonical form that `parse` reads.
    """

    tokens: tuple[Token, ...]

    @classmethod
    def parse(cls, text: str) -> Template:
        """Read a template; `DocumentError` says at which column it is wrong, or why its match would be ambiguous."""
        tokens: list[Token] = []
        for piece in scan(text):
            if piece.kind == "stars":
                raise literal_only(text, piece)
            tokens.append(piece.text if piece.kind == "literal" else _capture(text, piece.text, piece.column))
        template = cls(_with_kinds(text, tuple(tokens)))
        if reason := ambiguity(template.segments):
            raise DocumentError(f"{text!r} is ambiguous: {reason}")
        return template

    def __str__(self) -> str:
        return "".join(escaped(token) if isinstance(token, str) else str(token) for token in self.tokens)

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """The tokens between dots."""
        return cut(self.tokens)

    @cached_property
    def kinds(self) -> Mapping[str, Kind]:
        """What each capture takes, in order of appearance."""
        return MappingProxyType({token.name: token.kind for token in self.tokens if isinstance(token, Capture)})

    @property
    def names(self) -> tuple[str, ...]:
        """The captures, in order of appearance, each once."""
        return tuple(self.kinds)

    @property
    def literal(self) -> str | None:
        """The one key it matches, where it captures nothing."""
        return None if self.kinds else "".join(map(str, self.tokens))

    def match(self, key: str) -> Captures | None:
        """Return what the captures take, `int` captures as integers; None where the key does not match."""
        found = self._pattern.fullmatch(key)
        if found is None:
            return None
        if not self._distinct:
            return self._equal(found.groups())
        return {name: read(text) for (name, read), text in zip(self._readers, found.groups(), strict=True)}

    def _equal(self, texts: tuple[str, ...]) -> Captures | None:
        """The captures, where every name that stands twice took the same text twice."""
        taken: dict[str, str] = {}
        for (name, _), text in zip(self._readers, texts, strict=True):
            if taken.setdefault(name, text) != text:
                return None
        readers = dict(self._readers)
        return {name: readers[name](text) for name, text in taken.items()}

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return compiled(self.segments)

    @cached_property
    def _readers(self) -> tuple[tuple[str, Callable[[str], Value]], ...]:
        return tuple((token.name, _reader(token.kind)) for token in self.tokens if isinstance(token, Capture))

    @cached_property
    def _distinct(self) -> bool:
        return len(self._readers) == len(self.kinds)


def _capture(text: str, hole: str, column: int) -> Capture:
    try:
        return Capture.parse(hole)
    except DocumentError as error:
        raise fault(text, column, error.message, error.hint) from None


def _with_kinds(text: str, tokens: tuple[Token, ...]) -> tuple[Token, ...]:
    """Give a name that stands twice the one type that it is given."""
    kinds: dict[str, Kind] = {}
    for token in tokens:
        if isinstance(token, Capture) and token.kind != TEXT and kinds.setdefault(token.name, token.kind) != token.kind:
            raise DocumentError(f"{text!r}: {token.name} is both {kinds[token.name]} and {token.kind}")
    return tuple(
        Capture(token.name, kinds.get(token.name, TEXT)) if isinstance(token, Capture) else token for token in tokens
    )


def _reader(kind: Kind) -> Callable[[str], Value]:
    """What reads a captured text: whole numbers to choose from, `{i:one(2|3|4)}`, are numbers that can be computed with."""
    if kind.name == "one" and all(_WHOLE.fullmatch(word) for word in kind.options):
        return int
    if kind.name != "int":
        return str
    return PaddedInt.of if kind.width else int


@dataclass(frozen=True, slots=True)
class Fill:
    """A hole of a target: an expression, and the type that says how to write its value (`{i+1:int(2)}`)."""

    expression: Expression
    kind: Kind | None = None

    @classmethod
    def parse(cls, text: str) -> Fill:
        """Read what stands between the braces."""
        typed = _TYPED.fullmatch(text)
        if typed is None or typed[1].count("(") != typed[1].count(")"):
            return cls(Expression.parse(text))
        return cls(Expression.parse(typed[1]), Kind.parse(typed[2].strip()))

    def __str__(self) -> str:
        return f"{{{self.expression}:{self.kind}}}" if self.kind else f"{{{self.expression}}}"

    def write(self, value: Value) -> str:
        """Write a value into a key; `PlanError` where it is negative, empty, or does not fit the type."""
        number = isinstance(value, int)
        if self.kind is not None and self.kind.name == "int":
            text = f"{int(value):0{self.kind.width}d}" if number else str(value)
            fits = number and (not self.kind.width or len(text) == self.kind.width)
        else:
            text = str(value)
            fits = self.kind is None or self.kind.name != "one" or text in self.kind.options
        if not fits or not text or (isinstance(value, int) and value < 0):
            raise PlanError(f"{self} cannot be {text!r}")
        return text


@dataclass(frozen=True)
class Target:
    """A key to be written: literal text and holes that captures, parameters and expressions over them fill."""

    tokens: tuple[str | Fill, ...]

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read a target; `DocumentError` says at which column it is wrong."""
        tokens: list[str | Fill] = []
        for piece in scan(text):
            if piece.kind == "stars":
                raise literal_only(text, piece)
            tokens.append(piece.text if piece.kind == "literal" else _fill(text, piece.text, piece.column))
        return cls(tuple(tokens))

    def __str__(self) -> str:
        return "".join(escaped(token) if isinstance(token, str) else str(token) for token in self.tokens)

    @cached_property
    def fills(self) -> tuple[Fill, ...]:
        """The holes, from left to right."""
        return tuple(token for token in self.tokens if isinstance(token, Fill))

    @cached_property
    def names(self) -> frozenset[str]:
        """Every name that a value is needed for: captures and parameters."""
        return frozenset(name for fill in self.fills for name in fill.expression.names)

    @property
    def literal(self) -> str | None:
        """The one key it writes, where it has no holes."""
        return None if self.fills else "".join(map(str, self.tokens))

    def fill(
        self,
        captures: Captures,
        params: Mapping[str, Value] = _NOTHING,
        lookups: Tables = NO_TABLES,
        ranks: Ranks = NO_RANKS,
    ) -> str:
        """Write the key; `PlanError` where a name is unknown, or a value is negative or does not fit its hole."""
        names: Mapping[str, Value] = {**params, **captures} if params else captures
        try:
            return "".join(
                token if isinstance(token, str) else token.write(token.expression.evaluate(names, lookups, ranks))
                for token in self.tokens
            )
        except PlanError as error:
            raise PlanError(f"{self}: {error.message}") from None


def _fill(text: str, hole: str, column: int) -> Fill:
    try:
        return Fill.parse(hole)
    except DocumentError as error:
        raise fault(text, column, error.message, error.hint) from None


def rank_values(wanted: RankKey, keys: Iterable[str]) -> tuple[Value, ...]:
    """The values, sorted, that a template's capture takes over `keys`: what `rank(template, x)` counts in."""
    text, name = wanted
    template = Template.parse(text)
    if name not in template.names:
        raise DocumentError(f"rank({text}, {name}): the template captures no {name!r}")
    values = {found[name] for found in map(template.match, keys) if found is not None}
    return tuple(sorted(values, key=lambda value: (isinstance(value, str), value)))
