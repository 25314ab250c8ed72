"""What key mappings of other tools do to a key: ordered substitutions, and conversions that gather or cut tensors.

Each form keeps the quirks of the code that it comes from (all places or the first one, anchored or anywhere, stop at the first hit),
because a migration that means better than its source would name other keys than the ones people have.
"""

from __future__ import annotations

import re
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from ckptlint.core.expression import Expression
from ckptlint.errors import DocumentError, PlanError

_NAME_ENDS: Final = re.compile(r"[a-zA-Z0-9]$")
_GROUP: Final = re.compile(r"\(.+?\)")
_LOOKAROUND: Final = re.compile(r"\(\?.+?\)?\)")


class Step(Protocol):
    """One rule of a mapping: `where` names it; `apply` gives the new key, the same one, or None where the key is dropped."""

    @property
    def where(self) -> str: ...

    def apply(self, key: str) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Exact:
    """A table of whole keys."""

    where: str
    table: AnyMapping[str, str | None]

    def apply(self, key: str) -> str | None:
        return self.table.get(key, key)


@dataclass(frozen=True, slots=True)
class Substitution:
    """`re.sub`: every place where the pattern is found, or the first `count`. No replacement: a key in which it is found is dropped."""

    where: str
    pattern: re.Pattern[str]
    replacement: str | None
    count: int = 0

    def apply(self, key: str) -> str | None:
        if self.replacement is None:
            return None if self.pattern.search(key) else key
        try:
            return self.pattern.sub(self.replacement, key, count=self.count)
        except (re.error, IndexError) as error:
            raise DocumentError(f"{self.replacement!r} is no replacement: {error}", where=self.where) from error


@dataclass(frozen=True, slots=True)
class First:
    """Of these, the first that changes a key is the only one that does."""

    where: str
    steps: tuple[Substitution, ...]

    def apply(self, key: str) -> str | None:
        return next((new for step in self.steps if (new := step.apply(key)) != key), key)


@dataclass(frozen=True, slots=True)
class Template:
    """torch-state-bridge: `{n}` captures digits, `{(n + 1)}` is arithmetic, and the pattern is looked for anywhere in the key."""

    where: str
    pattern: re.Pattern[str]
    parts: tuple[str | Expression, ...]  # of the new text, in order; a capture is an expression that is one name

    def apply(self, key: str) -> str:
        return self.pattern.sub(self._written, key)

    def _written(self, found: re.Match[str]) -> str:
        digits = found.groupdict()
        numbers = {name: int(text) for name, text in digits.items()}
        return "".join(self._part(part, digits, numbers) for part in self.parts)

    def _part(self, part: str | Expression, digits: AnyMapping[str, str], numbers: AnyMapping[str, int]) -> str:
        if isinstance(part, str):
            return part
        if part.name is not None:
            return digits[part.name]
        try:
            return str(part.integer(numbers))
        except PlanError as error:
            raise DocumentError(str(error), where=self.where) from error


class Alternative(NamedTuple):
    """One source pattern of a transform with its number; the longest are tried first."""

    number: int
    pattern: str


@dataclass(frozen=True, slots=True)
class Transform:
    r"""The patterns of a `WeightRenaming` or `WeightConverter` of transformers 5: what one of them finds becomes a target pattern.

    A pattern that ends in a letter or digit must end a name; `*.` stands for anything up to a point; `\1` is the first group.
    """

    where: str
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    compiled: re.Pattern[str]
    paired: bool = False  # GroupWeightRename: each source has its own target

    @classmethod
    def of(cls, where: str, sources: tuple[str, ...], targets: tuple[str, ...], *, paired: bool = False) -> Transform:
        made = [_plain_target(target) for target in targets]
        group = next((captured for _, captured in made if captured), None)
        ready = tuple(pattern.replace(r"\1", group, 1) if group else pattern for pattern in sources)
        ordered = sorted((Alternative(*each) for each in enumerate(ready)), key=lambda each: -len(each.pattern))
        text = "|".join(f"(?P<g{each.number}>{_bounded(each.pattern)})" for each in ordered)
        try:
            compiled = re.compile(text)
        except re.error as error:
            raise DocumentError(f"{' | '.join(sources)!r} is no pattern: {error}", where=where) from error
        return cls(where, sources, tuple(target for target, _ in made), compiled, paired)

    def apply(self, key: str) -> str:
        return self.taken(key)[0]

    def taken(self, key: str) -> tuple[str, int | None]:
        """The new key, and the number of the source pattern that was found; None where none was."""
        found = self.compiled.search(key)
        if found is None:
            return key, None
        number = next(number for number in range(len(self.sources)) if found.group(f"g{number}") is not None)
        target = self.targets[number if self.paired else 0]
        first = self.compiled.groupindex[f"g{number}"]
        try:
            written = re.sub(r"\\(\d+)", lambda back: found.group(first + int(back.group(1))) or "", target)
        except IndexError as error:
            raise DocumentError(f"{target!r} names a group that its pattern has not", where=self.where) from error
        return key.replace(found.group(0), written, 1), number


def _bounded(pattern: str) -> str:
    anything = pattern.replace("*.", r".*\.")
    return anything + r"(?!\w)" if _NAME_ENDS.search(anything) else anything


def _plain_target(pattern: str) -> tuple[str, str | None]:
    """A target without what only its reverse needs: an anchor, look-arounds, a group written out, escaped points."""
    plain = _LOOKAROUND.sub("", pattern.removeprefix("^"))
    group = _GROUP.search(plain)
    if group is not None:
        plain = plain.replace(group.group(0), r"\1", 1)
    return plain.replace(r"\.", "."), group.group(0) if group else None


@dataclass(frozen=True, slots=True)
class Call:
    """An operation of a conversion by its name, with its options."""

    name: str
    options: AnyMapping[str, object]


@dataclass(frozen=True, slots=True)
class Conversion:
    """A transform whose tensors are gathered or cut by operations; a key takes part in at most one."""

    transform: Transform
    operations: tuple[Call, ...]


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping as it was found: which form it has, its steps in order, then its conversions."""

    form: str
    steps: tuple[Step, ...]
    conversions: tuple[Conversion, ...] = ()
