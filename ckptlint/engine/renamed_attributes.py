"""Which attributes of a class were renamed, told from two versions of its syntax: what is certain, and what is likely.

Certain (T1): the one attribute that went and the one that came whose expressions are equal, with no other such on either side. Likely
(T2): the best pair by what is called, its arguments, name, uses and neighbours, clearly before the next best. Where more than four went
at once nothing is certain, for then a class was rewritten. Attributes that hold no parameters are not looked at: they have no keys.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final

from ckptlint.engine.registrations import Registered, Registration

MOST: Final = 4  # attributes of one class that may have gone at once
_LIKELY: Final = 0.45
_AHEAD: Final = 0.05
_EQUAL: Final = "made by the same expression"
_TOKEN: Final = re.compile(r"[A-Za-z_]\w*|\d+|\S")
_WORD: Final = re.compile(r"[a-z]+|[0-9]+")


@dataclass(frozen=True, slots=True)
class RenamedAttribute:
    """`old` became `new` in a class; `certain`, else likely with a `score` from 0 to 1. `evidence` is what speaks for it."""

    owner: str
    old: str
    new: str
    certain: bool
    score: float
    evidence: tuple[str, ...]


Holds = Callable[[Registration], bool]


def holds_parameters(registration: Registration) -> bool:
    """What syntax alone says of whether an attribute has keys."""
    return not registration.free


def renamed(
    before: Mapping[str, Registered], after: Mapping[str, Registered], holds: Holds = holds_parameters
) -> Iterator[RenamedAttribute]:
    """Compare the classes that both versions have; `holds` tells attributes that have keys from others."""
    for name, old in before.items():
        if name in after:
            yield from _of_class(old, after[name], holds)


def _of_class(old: Registered, new: Registered, holds: Holds) -> Iterator[RenamedAttribute]:
    gone = [each for name, each in old.attributes.items() if name not in new.attributes and holds(each)]
    come = [each for name, each in new.attributes.items() if name not in old.attributes and holds(each)]
    if not gone or not come or len(gone) > MOST:
        return
    pairs = _equal(gone, come)
    for one, other in pairs:
        yield RenamedAttribute(old.name, one.name, other.name, certain=True, score=1.0, evidence=(_EQUAL,))
    taken = {name for pair in pairs for name in (pair[0].name, pair[1].name)}
    left = [[each for each in side if each.name not in taken] for side in (gone, come)]
    yield from _likely(old, new, *left)


def _equal(gone: Sequence[Registration], come: Sequence[Registration]) -> list[tuple[Registration, Registration]]:
    """The pairs whose expressions are equal, and nobody else's on either side."""
    found: list[tuple[Registration, Registration]] = []
    for one in gone:
        there = [each for each in come if each.made == one.made]
        rivals = [each for each in gone if each.made == one.made]
        if len(there) == len(rivals) == 1:
            found.append((one, there[0]))
    return found


def _likely(
    old: Registered, new: Registered, gone: Sequence[Registration], come: Sequence[Registration]
) -> Iterator[RenamedAttribute]:
    scores = {
        (one.name, other.name): _score(old, new, one, other)
        for one in gone
        for other in come
        if _kind(one) == _kind(other)
    }
    ranked = sorted(scores.items(), key=lambda item: -item[1][0])
    done: set[str] = set()
    for (one, other), (score, evidence) in ranked:
        if score < _LIKELY or {f"-{one}", f"+{other}"} & done:
            continue
        rivals = [
            each
            for pair, (each, _) in scores.items()
            if pair != (one, other)
            and (pair[0] == one or pair[1] == other)
            and not {f"-{pair[0]}", f"+{pair[1]}"} & done
        ]
        if score - max(rivals, default=0.0) >= _AHEAD:
            done |= {f"-{one}", f"+{other}"}
            yield RenamedAttribute(old.name, one, other, certain=False, score=round(score, 3), evidence=evidence)


def _kind(registration: Registration) -> str:
    """What keeps its keys below it when it is renamed: a tensor, a container and a module do not become one another so."""
    if registration.maker in ("Parameter", "register_parameter", "register_buffer"):
        return "tensor"
    return registration.maker if registration.maker in ("ModuleList", "ModuleDict") else "module"


def _score(old: Registered, new: Registered, one: Registration, other: Registration) -> tuple[float, tuple[str, ...]]:
    tokens = _alike(_TOKEN.findall(one.made), _TOKEN.findall(other.made))
    uses = _overlap(one.uses, other.uses)
    near = _neighbours(old, new, one.name, other.name)
    parts = (
        (0.34 * tokens, "arguments alike" if tokens > 0.6 else ""),
        (0.10 * (one.made == other.made), "the same expression"),
        (0.10 * (one.maker == other.maker), f"both are {one.maker}"),
        (0.14 * _names(one.name, other.name), "names alike"),
        (0.20 * uses, "used in the same place"),
        (0.12 * near, "the same neighbours"),
    )
    return sum(points for points, _ in parts), tuple(text for points, text in parts if text and points > 0.03)


def _alike(one: Sequence[str], other: Sequence[str]) -> float:
    return float(SequenceMatcher(None, one, other, autojunk=False).ratio())


def _names(one: str, other: str) -> float:
    words, others = set(_WORD.findall(one.lower())), set(_WORD.findall(other.lower()))
    shared = len(words & others) / max(len(words | others), 1)
    return max(shared, _alike(one.lower(), other.lower()))


def _overlap(one: frozenset[str], other: frozenset[str]) -> float:
    if not one or not other:
        return 0.0
    best: list[float] = [
        max(_alike(_TOKEN.findall(each), _TOKEN.findall(its)) for its in other) for each in sorted(one)[:8]
    ]
    return sum(best) / len(best)


def _neighbours(old: Registered, new: Registered, one: str, other: str) -> float:
    """How many of the attributes before and behind are the same in both versions."""
    sides: list[tuple[str, str]] = []
    for attributes, name in ((list(old.attributes), one), (list(new.attributes), other)):
        at = attributes.index(name)
        sides.append((attributes[at - 1] if at else "", attributes[at + 1] if at + 1 < len(attributes) else ""))
    (before, behind), others = sides
    return ((before == others[0]) + (behind == others[1])) / 2
