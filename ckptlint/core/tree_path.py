"""Places of a tree by patterns: `/loss/weights/{t}` says which, `./finetune_config` is inside a state dict, `{t}` goes where it is written.

A path is cut at its slashes; each step is a whole key. A step that is nothing but `{t}` takes a key of any kind, whatever stands in it;
in a longer step captures are those of keys: `{x}` takes no dot, `{p:path}` any. `@` behind a step is the stored state of an object.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, TypeAlias

from ckptlint.core.expression import Value as Captured
from ckptlint.core.holes import TEXT, Capture, scan
from ckptlint.core.paths import STATE, step
from ckptlint.core.template import Fill, Target, Template
from ckptlint.core.tree import Value
from ckptlint.errors import DocumentError

RELATIVE: Final = "."


@dataclass(frozen=True, slots=True)
class Binding:
    """What captures took: their texts and integers by name, and the keys of those that took a whole step."""

    captures: Mapping[str, Captured] = field(default_factory=dict)
    keys: Mapping[str, Value] = field(default_factory=dict)

    def joined(self, other: Binding) -> Binding:
        return Binding({**self.captures, **other.captures}, {**self.keys, **other.keys})


Route: TypeAlias = tuple[Value, ...]
"""The keys from the root to a place."""


def written(route: Route) -> str:
    """A route as a tree path."""
    return "/" + "/".join(map(step, route)) if route else "/"


@dataclass(frozen=True)
class PatternStep:
    """One step of a pattern: the key's text, or a template for it; `states` counts the `@` behind it."""

    text: str
    template: Template | None
    states: int

    @cached_property
    def whole(self) -> str:
        """The name of the capture that takes the whole step, if that is all there is."""
        tokens = self.template.tokens if self.template else ()
        one = tokens[0] if len(tokens) == 1 else None
        return one.name if isinstance(one, Capture) and one.kind == TEXT else ""

    def match(self, key: Value) -> Binding | None:
        """Return what its captures take of a key; None where it is another key."""
        text = step(key)
        if self.template is None:
            return Binding() if text == self.text else None
        if self.whole:
            plain = key if isinstance(key, str) else text
            return Binding({self.whole: plain}, {self.whole: key}) if plain else None
        found = self.template.match(key if isinstance(key, str) else text)
        return None if found is None else Binding(found)


@dataclass(frozen=True)
class TreePattern:
    """Which places of a tree are meant. `str()` is what was read."""

    text: str
    relative: bool
    steps: tuple[PatternStep, ...]

    @classmethod
    def parse(cls, text: str) -> TreePattern:
        """Read a pattern; `DocumentError` where it is none."""
        relative, parts = _cut(text)
        return cls(text, relative, tuple(_pattern_step(part) for part in parts))

    def __str__(self) -> str:
        return self.text

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The captures in order, each once."""
        found = (name for each in self.steps if each.template for name in each.template.names)
        return tuple(dict.fromkeys(found))

    @property
    def literal(self) -> bool:
        return not self.names


@dataclass(frozen=True)
class TreeTarget:
    """Where something goes: steps with holes that captures and params fill. `str()` is what was read."""

    text: str
    relative: bool
    steps: tuple[Target, ...]

    @classmethod
    def parse(cls, text: str) -> TreeTarget:
        """Read a target; `DocumentError` where it is none, or would write into the state of an object."""
        relative, parts = _cut(text)
        if not parts:
            raise DocumentError(f"{text!r} is the whole; name a place in it")
        for part in parts:
            if part.endswith(STATE):
                raise DocumentError(
                    f"{text!r}: what an object stores is read, never changed", hint="it is carried over as it is"
                )
        return cls(text, relative, tuple(_unescaped(Target.parse(part), part) for part in parts))

    def __str__(self) -> str:
        return self.text

    @cached_property
    def fills(self) -> tuple[Fill, ...]:
        return tuple(fill for each in self.steps for fill in each.fills)

    @cached_property
    def names(self) -> frozenset[str]:
        """Every name that a value is needed for."""
        return frozenset(name for fill in self.fills for name in fill.expression.names)

    def whole(self, place: int) -> str:
        """The capture that is all there is of a step, for the key that it took may be no text."""
        tokens = self.steps[place].tokens
        one = tokens[0] if len(tokens) == 1 else None
        return (one.expression.name or "") if isinstance(one, Fill) and one.kind is None else ""


def _cut(text: str) -> tuple[bool, list[str]]:
    """Whether a path is inside a section, and its steps; slashes in braces are arithmetic."""
    relative = text == RELATIVE or text.startswith("./")
    if not relative and not text.startswith("/"):
        hint = "it begins with /, such as /cfg/num_heads, or with ./ for a place in each state dict"
        raise DocumentError(f"{text!r} is not a tree path", hint=hint)
    rest = text[1:] if relative else text
    if rest in ("", "/"):
        return relative, []
    parts = list(_steps(rest[1:]))
    if not all(parts):
        raise DocumentError(f"{text!r} has an empty step", hint="an empty key is written ~")
    return relative, parts


def _steps(text: str) -> Iterator[str]:
    part, depth = "", 0
    for character in text:
        if character == "/" and depth == 0:
            yield part
            part = ""
            continue
        depth += (character == "{") - (character == "}")
        part += character
    yield part


def _pattern_step(part: str) -> PatternStep:
    bare = part.rstrip(STATE)
    states = len(part) - len(bare)
    if not bare or all(piece.kind == "literal" for piece in scan(bare)):
        return PatternStep("".join(piece.text for piece in scan(bare)), None, states)
    return PatternStep(bare, Template.parse(key_of(bare)), states)


def _unescaped(target: Target, part: str) -> Target:
    if part == "~":
        return Target(("",))
    tokens = (key_of(token) if isinstance(token, str) else token for token in target.tokens)
    return Target(tuple(tokens))


def key_of(text: str) -> str:
    """The key that literal text of a path means: `~1` is a slash, `~0` a tilde."""
    return text.replace("~1", "/").replace("~0", "~")
