"""Group the keys that a move's templates match into bindings: what is taken together to make one set of targets.

Captures tell bindings apart. Along the axis of `over`, a slot gathers its keys into a list numbered 0, 1, 2 ... without a gap.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from ckptlint.core.migration import Move
from ckptlint.core.template import Captures, Kind, Template
from ckptlint.engine.faults import GAP, MISSING_COMPANION, Faults

Match: TypeAlias = tuple[str, Captures]
_SHOWN = 8  # missing keys of one gathered list that are named


class Binding(NamedTuple):
    """One application of a move: the keys of each slot in order, and the captures that targets and options are filled with."""

    captures: Captures
    slots: tuple[tuple[str, ...], ...]


def bind(move: Move, matches: Sequence[Sequence[Match]], there: Container[str], faults: Faults) -> list[Binding]:
    """Return the bindings in the order of their first keys; what does not fit is a fault and left out.

    `matches` holds, for each source template, the keys that it claims; of the keys that are `there`, another rewrite has the others.
    """
    if len(move.sources) == 1 and not move.over:
        return [Binding(captures, ((key,),)) for key, captures in matches[0]]
    return list(_Binder(move, there, faults).bindings(matches))


@dataclass(slots=True)
class _Group:
    captures: Captures
    keys: list[dict[int, str]]  # for each slot, by number along the axis (0 where it is no list)


@dataclass(slots=True)
class _Binder:
    move: Move
    there: Container[str]
    faults: Faults
    names: tuple[str, ...] = ()
    groups: dict[tuple[object, ...], _Group] = field(default_factory=dict)

    def __post_init__(self) -> None:
        found = dict.fromkeys(name for source in self.move.sources for name in source.names)
        self.names = tuple(name for name in found if name != self.move.over)

    def bindings(self, matches: Sequence[Sequence[Match]]) -> Iterator[Binding]:
        partial: list[int] = []
        for slot, source in enumerate(self.move.sources):
            if set(self.names) <= set(source.names):
                for key, captures in matches[slot]:
                    self._add(slot, key, captures)
            else:
                partial.append(slot)
        for slot in partial:
            self._attach(slot, matches[slot])
        for group in self.groups.values():
            if self._complete(group):
                yield Binding(group.captures, tuple(tuple(keys[n] for n in range(len(keys))) for keys in group.keys))

    def _add(self, slot: int, key: str, captures: Captures) -> None:
        mark = tuple([captures[name] for name in self.names])
        group = self.groups.get(mark)
        if group is None:
            shared = {name: captures[name] for name in self.names}
            group = self.groups[mark] = _Group(shared, [{} for _ in self.move.sources])
        group.keys[slot][self._number(captures)] = key

    def _number(self, captures: Captures) -> int:
        number = captures.get(self.move.over, 0)
        return number if isinstance(number, int) else 0

    def _attach(self, slot: int, matches: Sequence[Match]) -> None:
        """Add the keys of a slot that does not have all captures; it must belong to one binding, since a key is claimed once."""
        names = [name for name in self.names if name in self.move.sources[slot].names]
        by_part: dict[tuple[object, ...], list[_Group]] = {}
        for group in self.groups.values():
            by_part.setdefault(tuple(group.captures[name] for name in names), []).append(group)
        for key, captures in matches:
            groups = by_part.get(tuple(captures[name] for name in names), [])
            if len(groups) == 1:
                groups[0].keys[slot][self._number(captures)] = key
            elif groups:
                text = f"would be taken {len(groups)} times, once for each {self._free(slot)}"
                hint = "a key is claimed once; put the missing captures into its template, or copy it first"
                self.faults.add(MISSING_COMPANION, text, keys=[key], where=self.move.where, hint=hint)
            else:
                text = f"matches {self.move.sources[slot]}, but nothing that goes with it is there"
                self.faults.add(MISSING_COMPANION, text, keys=[key], where=self.move.where)

    def _free(self, slot: int) -> str:
        return ", ".join(f"{{{name}}}" for name in self.names if name not in self.move.sources[slot].names)

    def _complete(self, group: _Group) -> bool:
        """Note what is missing in a group."""
        length = 1 + max(number for keys in group.keys for number in keys)
        fits = True
        for slot, (source, keys) in enumerate(zip(self.move.sources, group.keys, strict=True)):
            gathered = self.move.over in source.names
            if len(keys) == (length if gathered else 1):
                continue
            fits = False
            if gathered and keys:
                self._note_gap(source, group.captures, keys, length)
            else:
                self._note_missing(slot, group)
        return fits

    def _note_gap(self, source: Template, captures: Captures, keys: Mapping[int, str], length: int) -> None:
        missing = [number for number in range(min(length, len(keys) + _SHOWN)) if number not in keys][:_SHOWN]
        more = length - len(keys) - len(missing)
        text = f"is missing: {{{self.move.over}}} of {source} must count up from 0 without a gap"
        found = [written(source, {**captures, self.move.over: number}) for number in missing]
        names = [name for name in found if name not in self.there]
        rest = f", and {more} more are" if more else ""
        if names:
            self.faults.add(GAP, text + rest, keys=names, where=self.move.where)

    def _note_missing(self, slot: int, group: _Group) -> None:
        source = self.move.sources[slot]
        present = [str(other) for other, keys in zip(self.move.sources, group.keys, strict=True) if keys]
        captures = {**group.captures, self.move.over: 0} if self.move.over in source.names else group.captures
        name = written(source, captures)
        if name not in self.there:
            text = f"is missing beside {' and '.join(present)}"
            self.faults.add(MISSING_COMPANION, text, keys=[name], where=self.move.where)


def written(template: Template, captures: Captures) -> str:
    """The key that a template would match."""
    return "".join(
        token if isinstance(token, str) else _digits(token.kind, captures[token.name]) for token in template.tokens
    )


def _digits(kind: Kind, value: int | str) -> str:
    return f"{int(value):0{kind.width}d}" if kind.width else str(value)
