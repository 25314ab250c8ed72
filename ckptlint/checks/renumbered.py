"""The check of numbered layers that come under other numbers: a layer inserted or removed in the middle, a list that became a Sequential.

Equal names then mean different layers, and where shapes agree a load puts weights into the wrong ones without a word.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ckptlint.checks.base import MODEL, Check, Comparison, Explained, NoOptions
from ckptlint.core.families import fold

_NUMBER = re.compile(r"(?:^|(?<=\.))(0|[1-9][0-9]{0,5})(?=\.|$)")
_DIGIT = re.compile("[0-9]")
_MOST_STEPS = 1_000_000  # of aligning all stacks of a model
_NAMED = 6  # numbers that a message lists

Shape = tuple[int, ...]
Signature = frozenset[tuple[str, Shape]]


@dataclass(slots=True)
class _Layer:
    """What lies under one number of a stack: the key of each tensor by the rest of its name, and its shape."""

    keys: dict[str, str] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)

    @property
    def signature(self) -> Signature:
        return frozenset(self.shapes.items())


Stack = dict[int, _Layer]


@dataclass(frozen=True, slots=True)
class _Shift:
    """How the numbers of a stack changed: pairs of the checkpoint's number and the model's, then those with no counterpart."""

    pairs: tuple[tuple[int, int], ...]
    new: tuple[int, ...]
    gone: tuple[int, ...]
    alike: bool  # whether one of those with no counterpart is like one that has

    @property
    def moved(self) -> list[tuple[int, int]]:
        return [(have, want) for have, want in self.pairs if have != want]


def renumbered(seen: Comparison, _: NoOptions) -> Iterator[Explained]:
    """Stacks whose layers, in their order, fit under other numbers better than under their own.

    A layer is known by the names and shapes of its tensors. It speaks where every layer of the shorter side finds its place.
    """
    stems = _touched(seen)
    if not stems or not (seen.pairs or seen.unexpected):
        return
    stored = _stacks(_named(seen, stems), stems)
    wanted = _stacks(((key, key, spec.shape) for key, spec in seen.wanted.items()), stems)
    for shift, alike in _shifts(stored, wanted).items():
        words = _words(shift, alike)
        for stem in alike:
            yield from _explained(shift, stored[stem], wanted[stem], words)


def _shifts(stored: Mapping[str, Stack], wanted: Mapping[str, Stack]) -> dict[_Shift, list[str]]:
    """Return the stems whose numbers changed, by how; none inside another one, whose layers are other ones then."""
    found: dict[_Shift, list[str]] = {}
    outer: tuple[str, ...] = ()
    steps = 0
    for stem in sorted(stored.keys() & wanted.keys(), key=lambda stem: (stem.count("."), stem)):
        if f"{stem}.".startswith(outer):
            continue
        steps += len(stored[stem]) * len(wanted[stem])
        shift = _shift(stored[stem], wanted[stem]) if steps <= _MOST_STEPS else None
        if shift is not None:
            outer += (f"{stem}." if stem else "",)
            found.setdefault(shift, []).append(stem)
    return found


def _touched(seen: Comparison) -> frozenset[str]:
    """Return the stems of numbers in keys that differ (`a.1.b.2.w` has `a` and `a.1.b`), of those that both sides have."""
    hopeless = _hopeless(seen)
    missing = _stems((*seen.missing, *(key for key in seen.mismatched if key not in hopeless)))
    unexpected = _stems(seen.unclaimed)
    common = _stems(seen.pairs) if missing or unexpected else Counter()
    touched = (missing.keys() & (unexpected.keys() | common.keys())) | unexpected.keys() & common.keys()
    small = (stem for stem in touched - _stems(hopeless).keys() if missing[stem] * unexpected[stem] <= _MOST_STEPS)
    return frozenset(small)


def _hopeless(seen: Comparison) -> frozenset[str]:
    """Return the keys of pairs with neither shape on the other side: both layers are without a place, so one of the shorter side is."""
    stored, wanted = ({spec.shape for spec in side.values()} for side in (seen.file.tensors, seen.wanted))
    pairs = seen.mismatched.values() if seen.mismatched else ()
    return frozenset(
        pair.key for pair in pairs if pair.actual.shape not in wanted and pair.expected.shape not in stored
    )


def _stems(keys: Iterable[str]) -> Counter[str]:
    """Count the numbers under each stem of keys, level by level: many keys share what they lie in."""
    found: Counter[str] = Counter()
    left = set(keys)
    known = {""}
    if _DIGIT.search("\n".join(left)) is None:
        return found
    while left:
        for key in left:
            if key[-1:].isdecimal() and _NUMBER.fullmatch(key.rpartition(".")[2]):
                found[key.rpartition(".")[0].rstrip(".")] += 1
        left = {key.rpartition(".")[0] for key in left} - known
        known |= left
    return found


def _places(key: str) -> Iterator[tuple[str, int, str]]:
    for number in _NUMBER.finditer(key):
        yield key[: number.start()].rstrip("."), int(number[1]), key[number.end() :]


def _named(seen: Comparison, stems: frozenset[str]) -> Iterator[tuple[str, str, Shape]]:
    """Yield the checkpoint's keys, in the order of its file, by the name they have in the model once prefixes are gone."""
    if len(seen.prefixes) == 1:  # what is unexpected then has no other name
        yield from ((key, key, spec.shape) for key, spec in seen.file.tensors.items())
        return
    names = {pair.stored: pair.key for pair in seen.pairs.values()}
    for key, spec in seen.file.tensors.items():
        name = names.get(key)
        if name is None and key in seen.unexpected:
            name = next((name for name in reversed([*seen.names(key)]) if _known(name, seen, stems)), None)
        if name is not None:
            yield name, key, spec.shape


def _known(name: str, seen: Comparison, stems: frozenset[str]) -> bool:
    return any(stem in stems for stem, _number, _rest in _places(name)) and name not in seen.pairs


def _stacks(keys: Iterable[tuple[str, str, Shape]], stems: frozenset[str]) -> dict[str, Stack]:
    found: dict[str, Stack] = {}
    for name, key, shape in keys if stems else ():
        for stem, number, rest in _places(name):
            if stem in stems:
                stack = found.setdefault(stem, {})
                layer = stack.get(number)
                if layer is None:
                    layer = stack[number] = _Layer()
                layer.keys[rest], layer.shapes[rest] = key, shape
    return found


def _shift(stored: Stack, wanted: Stack) -> _Shift | None:
    """Return how the numbers changed, None where they did not, or not so that it explains the shorter side."""
    have = [(number, stored[number].signature) for number in sorted(stored)]
    want = [(number, wanted[number].signature) for number in sorted(wanted)]
    staying = sum(number in stored and stored[number].signature == signature for number, signature in want)
    few = min(len(have), len(want))
    possible = (Counter(signature for _, signature in have) & Counter(signature for _, signature in want)).total()
    if possible < few or staying >= few or (few == 1 and len(have) != len(want)):
        return None
    pairs = _aligned(have, want)
    if len(pairs) < few:
        return None
    new, gone = wanted.keys() - {number for _, number in pairs}, stored.keys() - {number for number, _ in pairs}
    placed = {stored[number].signature for number, _ in pairs}
    left = {wanted[number].signature for number in new} | {stored[number].signature for number in gone}
    return _Shift(tuple(pairs), tuple(sorted(new)), tuple(sorted(gone)), not placed.isdisjoint(left))


def _aligned(have: Sequence[tuple[int, Signature]], want: Sequence[tuple[int, Signature]]) -> list[tuple[int, int]]:
    """Return the longest common subsequence, of equally long ones that in which most numbers stay."""
    best = [[(0, 0)] * (len(want) + 1) for _ in range(len(have) + 1)]
    for i in range(len(have) - 1, -1, -1):
        for j in range(len(want) - 1, -1, -1):
            best[i][j] = max(best[i + 1][j], best[i][j + 1])
            if have[i][1] == want[j][1]:
                length, staying = best[i + 1][j + 1]
                best[i][j] = max(best[i][j], (length + 1, staying + (have[i][0] == want[j][0])))
    pairs = []
    i = j = 0
    while i < len(have) and j < len(want):
        if best[i][j] == best[i + 1][j]:
            i += 1
        elif best[i][j] == best[i][j + 1]:
            j += 1
        else:
            pairs.append((have[i][0], want[j][0]))
            i, j = i + 1, j + 1
    return pairs


def _explained(shift: _Shift, stored: Stack, wanted: Stack, words: Mapping[str, str]) -> Iterator[Explained]:
    for number in shift.new:
        keys = tuple(wanted[number].keys.values())
        for key in keys:
            yield Explained(key, words, missing=(key,), mismatched=(key,))
    for number in shift.gone:
        for key in stored[number].keys.values():
            yield Explained(key, words, unexpected=(key,))
    for have, want in shift.moved:
        for rest, key in stored[have].keys.items():
            target = wanted[want].keys[rest]
            yield Explained(key, words, mismatched=(target,), pair=(key, target))


def _words(shift: _Shift, stems: Sequence[str]) -> dict[str, str]:
    moved = shift.moved
    like = ", or as many like it," if shift.alike else ""
    also = f"; the model's {_listed(shift.new)}{like} is new" if shift.new else ""
    also += f"; the checkpoint's {_listed(shift.gone)}{like} has no place" if shift.gone else ""
    left = "; give what is new a value with `new`, or allow it with --allow-missing" if shift.new else ""
    left += "; `drop` what has no place" if shift.gone else ""
    return {
        "stem": ", ".join(family.pattern for family in fold(stems)) if stems != [""] else "the root",
        "actual": _listed([have for have, _ in moved]),
        "expected": _listed([want for _, want in moved]),
        "also": also,
        "cure": _cure(shift, stems[0]),
        "left": left,
    }


def _listed(numbers: Sequence[int]) -> str:
    """Write numbers: `4`, `1, 2, 4`, `3..11`."""
    if len(numbers) > 2 and list(numbers) == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]}..{numbers[-1]}"
    shown = ", ".join(map(str, numbers[:_NAMED]))
    return f"{shown} ..." if len(numbers) > _NAMED else shown


def _cure(shift: _Shift, stem: str) -> str:
    """Write the rename: by arithmetic where one formula says it, else number by number."""
    names = iter("jklmnabcdefgh")
    parts = [(part, next(names, "z")) if part.isdecimal() else (part, "") for part in stem.split(".") if part]
    source = "".join(f"{{{name}:int}}." if name else f"{part}." for part, name in parts)
    target = "".join(f"{{{name}}}." if name else f"{part}." for part, name in parts)
    formula = "" if shift.gone else _formula(shift.pairs)
    if formula:
        return f'rename: {{"{source}{{i:int}}.{{p:path}}": "{target}{{{formula}}}.{{p}}"}}'
    lines = [f'"{source}{have}.{{p:path}}": "{target}{want}.{{p}}"' for have, want in shift.moved]
    return f"rename: {{{', '.join(lines[:_NAMED])}{', ...' if len(lines) > _NAMED else ''}}}"


def _formula(pairs: Sequence[tuple[int, int]]) -> str:
    """Return the model's number as an expression over `i`, nothing where no straight line goes through the pairs."""
    straight = _line(pairs)
    if straight is not None:
        slope, offset = straight
        return _plus("i" if slope == 1 else f"{slope}*i", offset)
    thinned = _line([(want, have) for have, want in pairs])
    if thinned is not None:
        slope, offset = thinned
        return f"({_plus('i', -offset)})/{slope}" if offset else f"i/{slope}"
    return ""


def _line(pairs: Sequence[tuple[int, int]]) -> tuple[int, int] | None:
    """Return the whole numbers slope and offset of the line through all pairs."""
    if len(pairs) < 2:
        return None
    (x, y), (other, its) = pairs[:2]
    slope, left = divmod(its - y, other - x)
    offset = y - slope * x
    return None if left or any(slope * at + offset != value for at, value in pairs) else (slope, offset)


def _plus(term: str, offset: int) -> str:
    return term if not offset else f"{term}+{offset}" if offset > 0 else f"{term}-{-offset}"


RENUMBERED_CHECKS = {
    "renumbered": Check(
        renumbered, words=("stem", "actual", "expected", "also", "cure", "left"), needs=MODEL, together=True
    )
}
