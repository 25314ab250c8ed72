"""What a user decided about keys that nothing else decides, and what that means for the keys of two schemas.

A pattern is the beginning of keys, segment by segment; `*` stands for a number. So `layers.*.attn.q` is about every tensor below it. The
longest pattern that fits a key is the one that counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from ckptlint.core.schema import Schema
from ckptlint.errors import UsageError

ANY: Final = "*"


@dataclass(frozen=True, slots=True)
class Answers:
    """`rename`: old to new pattern; `drop`: old pattern to reason; `new`: new pattern to what fills it; `accept`: new patterns of joins.

    `seen` are keys whose renaming the source code of both versions shows; answers about them come before it.
    """

    rename: Mapping[str, str] = field(default_factory=dict)
    drop: Mapping[str, str] = field(default_factory=dict)
    new: Mapping[str, float] = field(default_factory=dict)
    accept: tuple[str, ...] = ()
    seen: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decided:
    """Answers over real keys: old to new key, old key to reason, new key to filling value."""

    renamed: Mapping[str, str]
    dropped: Mapping[str, str]
    filled: Mapping[str, float]


def both(one: Answers, other: Answers) -> Answers:
    """The answers of two, where both have one the second's."""
    return Answers(
        {**one.rename, **other.rename},
        {**one.drop, **other.drop},
        {**one.new, **other.new},
        tuple(dict.fromkeys((*one.accept, *other.accept))),
    )


def narrowed(answers: Answers, old: Schema, new: Schema) -> Answers:
    """The answers that are about some key of two schemas, of a model with variants, where one may be about another variant."""

    def about(patterns: Iterable[str], keys: Iterable[str]) -> set[str]:
        known = list(keys)
        return {each for each in patterns if any(beneath(key, each) is not None for key in known)}

    olds, news = (
        about((*answers.rename, *answers.drop), old.tensors),
        about((*answers.new, *answers.accept), new.tensors),
    )
    return Answers(
        {pattern: to for pattern, to in answers.rename.items() if pattern in olds},
        {pattern: why for pattern, why in answers.drop.items() if pattern in olds},
        {pattern: fill for pattern, fill in answers.new.items() if pattern in news},
        tuple(each for each in answers.accept if each in news),
        answers.seen,
    )


def over_keys(answers: Answers, old: Schema, new: Schema) -> Decided:
    """Apply answers to the keys they are about; `UsageError` where one fits no key or means what cannot be."""
    sources = _longest((*answers.rename, *answers.drop), old.tensors)
    targets = _longest(answers.new, new.tensors)
    renamed = {key: _renamed(key, pattern, answers) for key, pattern in sources.items() if pattern in answers.rename}
    dropped = {key: answers.drop[pattern] for key, pattern in sources.items() if pattern in answers.drop}
    filled = {key: answers.new[pattern] for key, pattern in targets.items()}
    taken = {*renamed.values(), *filled}
    shown = {key: to for key, to in answers.seen.items() if key not in sources and to not in taken}
    renamed = {**shown, **renamed}
    _check(renamed, old, new)
    twice = sorted(filled.keys() & set(renamed.values()))
    if twice:
        raise UsageError(f"the answers both rename to {twice[0]!r} and make it new")
    return Decided(renamed, dropped, filled)


def beneath(key: str, pattern: str) -> tuple[list[str], list[str]] | None:
    """The numbers at the `*` of a pattern and the segments behind it, where the key begins with it."""
    segments, wanted = key.split("."), pattern.split(".")
    numbers: list[str] = []
    if len(segments) < len(wanted):
        return None
    for segment, part in zip(segments, wanted, strict=False):
        if part == ANY and segment.isdigit():
            numbers.append(segment)
        elif part != segment:
            return None
    return numbers, segments[len(wanted) :]


def _longest(patterns: Iterable[str], keys: Iterable[str]) -> dict[str, str]:
    """Each key's pattern; `UsageError` for one that fits none, or that longer ones leave nothing."""
    ranked = sorted(patterns, key=lambda each: (-each.count("."), each.count(ANY)))
    found: dict[str, str] = {}
    for key in keys:
        fitting = next((pattern for pattern in ranked if beneath(key, pattern) is not None), None)
        if fitting is not None:
            found[key] = fitting
    unused = sorted(set(ranked).difference(found.values()))
    if unused:
        raise UsageError(f"the answer about {unused[0]!r} fits no key", hint="take it out, or see the questions again")
    return found


def _renamed(key: str, pattern: str, answers: Answers) -> str:
    numbers, rest = beneath(key, pattern) or ([], [])
    target = answers.rename[pattern].split(".")
    if target.count(ANY) != len(numbers):
        raise UsageError(f"the answer {answers.rename[pattern]!r} about {pattern!r} has another number of *")
    filling = iter(numbers)
    return ".".join([*(next(filling) if part == ANY else part for part in target), *rest])


def _check(renamed: Mapping[str, str], old: Schema, new: Schema) -> None:
    taken: dict[str, str] = {}
    for key, target in renamed.items():
        if target not in new.tensors:
            raise UsageError(f"the answers rename {key!r} to {target!r}, which the target does not have")
        if old.tensors[key].shape != new.tensors[target].shape:
            raise UsageError(f"the answers rename {key!r} to {target!r}, which has another shape")
        if target in taken:
            raise UsageError(f"the answers rename both {taken[target]!r} and {key!r} to {target!r}")
        taken[target] = key
