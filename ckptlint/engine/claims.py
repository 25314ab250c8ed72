"""Say which rewrite claims which key of a stage's input: each key exactly one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from ckptlint.core.migration import Copy, Drop, Keep, Move, Rewrite
from ckptlint.core.template import Captures, Selector, Template
from ckptlint.engine.faults import OVERLAPPING, Faults
from ckptlint.engine.matcher import Matcher

Match: TypeAlias = tuple[str, Captures]


@dataclass(slots=True)
class Claims:
    """`matches[rewrite][pattern]` are the keys that a rewrite's pattern claims, in order; `owners` which rewrite claims a key.

    `crowded` are the rewrites that match a key which another one claims.
    """

    matches: Mapping[int, Sequence[list[Match]]]
    owners: dict[str, int] = field(default_factory=dict)
    crowded: set[int] = field(default_factory=set)

    def keys(self, rewrite: int) -> list[str]:
        """Return the keys of a rewrite, pattern by pattern."""
        return [key for matches in self.matches[rewrite] for key, _ in matches]

    def idle(self, number: int, rewrite: Rewrite) -> list[str]:
        """Return the patterns of a rewrite that claim no key, as text."""
        pairs = zip(patterns_of(rewrite), self.matches[number], strict=True)
        return [str(pattern) for pattern, matches in pairs if not matches]


def patterns_of(rewrite: Rewrite) -> tuple[Template | Selector, ...]:
    """Return the patterns by which a rewrite claims keys; ties, and what is new, claim none."""
    match rewrite:
        case Move():
            return rewrite.sources
        case Copy():
            return (rewrite.source,)
        case Keep() | Drop():
            return rewrite.keys
        case _:
            return ()


def claim(rewrites: Mapping[int, Rewrite], keys: Iterable[str], faults: Faults) -> Claims:
    """Match all patterns of these rewrites (by number) against the keys; a key claimed twice is a fault."""
    places = [(number, slot) for number, each in rewrites.items() for slot in range(len(patterns_of(each)))]
    patterns = [pattern for each in rewrites.values() for pattern in patterns_of(each)]
    claims = Claims({number: [[] for _ in patterns_of(each)] for number, each in rewrites.items()})
    for key, found in Matcher(patterns).matches(keys):
        owner, slot = places[found[0][0]]
        for other, _ in found[1:]:
            _check(key, rewrites, (owner, slot), places[other], faults)
            claims.crowded.add(places[other][0])
        claims.owners[key] = owner
        claims.matches[owner][slot].append((key, found[0][1]))
    return claims


def _check(
    key: str, rewrites: Mapping[int, Rewrite], one: tuple[int, int], other: tuple[int, int], faults: Faults
) -> None:
    """Note that a key is claimed a second time, by another rewrite or by another pattern of the same."""
    first, second = rewrites[one[0]], rewrites[other[0]]
    if first is not second:
        hint = (
            "a key has one fate in a stage; put the second rewrite into a later one of `stages`, or make one narrower"
        )
        faults.add(
            OVERLAPPING, f"is claimed by this rewrite, and by {first.where}", keys=[key], where=second.where, hint=hint
        )
    elif isinstance(first, Move):
        hint = "give the captures types, so that the templates match different keys"
        faults.add(OVERLAPPING, "is matched by two templates of one rewrite", keys=[key], where=first.where, hint=hint)
