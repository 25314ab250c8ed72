"""TOML as nodes. Python's parser keeps no places, so the lines are found by looking for the keys; a miss gives the table's line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from datetime import date, datetime, time
from typing import TypeAlias

from ckptlint.documents.nodes import Entry, Kind, Node, Trail
from ckptlint.errors import DocumentError

LARGEST = 1_000_000  # characters

_Steps: TypeAlias = "tuple[str | int, ...]"
_HEADER = re.compile(r"\s*(\[\[?)([^\[\]]+)\]")
_KEY = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
_PART = re.compile(r"""[\w-]+|"[^"]*"|'[^']*'""")


def parse(text: str, origin: str) -> Node:
    """Read a TOML document; what is wrong with it is a `DocumentError`."""
    if len(text) > LARGEST:
        raise DocumentError(f"is larger than {LARGEST} characters", where=origin)
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # int() of too many digits is a ValueError; arrays nest by recursion
        reason = str(error) if isinstance(error, ValueError) else "nested too deep"
        raise DocumentError(f"is not TOML: {reason}", where=origin) from error
    return _Maker(origin, _places(text)).make(values, ())


class _Maker:
    """Makes nodes of plain values. What `tomllib` could nest by recursion, this can too: it takes fewer frames."""

    def __init__(self, origin: str, places: Mapping[_Steps, tuple[int, int]]) -> None:
        self.origin = origin
        self.places = places

    def make(self, value: object, steps: _Steps, trail: Trail | None = None) -> Node:
        line, column = self._place(steps)
        if isinstance(value, dict):
            entries = {key: self._entry(key, member, steps, trail) for key, member in value.items()}
            return Node(Kind.MAPPING, entries, self.origin, line, column, trail)
        if isinstance(value, list):
            nodes = (self.make(each, (*steps, place), Trail(trail, place)) for place, each in enumerate(value))
            return Node(Kind.LIST, tuple(nodes), self.origin, line, column, trail)
        kind, text = _scalar(value)
        return Node(kind, text, self.origin, line, column, trail)

    def _entry(self, key: str, value: object, steps: _Steps, trail: Trail | None) -> Entry:
        inner, way = (*steps, key), Trail(trail, key)
        return Entry(Node(Kind.TEXT, key, self.origin, *self._place(inner), way), self.make(value, inner, way))

    def _place(self, steps: _Steps) -> tuple[int, int]:
        while steps and steps not in self.places:
            steps = steps[:-1]
        return self.places.get(steps, (0, 0))


def _scalar(value: object) -> tuple[Kind, str]:
    if isinstance(value, bool):
        return Kind.BOOLEAN, str(value).lower()
    if isinstance(value, int):
        return Kind.INTEGER, str(max(min(value, 2**63), -(2**63)))  # out of bounds stays so, and has few digits
    if isinstance(value, float):
        return Kind.NUMBER, repr(value).replace("inf", ".inf").replace("nan", ".nan")
    return Kind.TEXT, value.isoformat() if isinstance(value, date | datetime | time) else str(value)


def _places(text: str) -> dict[_Steps, tuple[int, int]]:
    """Return the line and column of every table header and of every `key =` that begins a line."""
    places: dict[_Steps, tuple[int, int]] = {}
    counts: dict[_Steps, int] = {}
    table: _Steps = ()
    for number, line in enumerate(text.splitlines(), 1):
        header, key = _HEADER.match(line), _KEY.match(line)
        if header:
            table = _through_arrays(_parts(header.group(2)), counts, grow=header.group(1) == "[[")
            places.setdefault(table, (number, header.start(1) + 1))
        elif key:
            steps = (*table, *_parts(key.group(1)))
            places.setdefault(steps, (number, key.start(1) + 1))
    return places


def _through_arrays(parts: tuple[str, ...], counts: dict[_Steps, int], *, grow: bool) -> _Steps:
    """Put the index of the current element behind the name of every array of tables in a header."""
    steps: _Steps = ()
    for place, part in enumerate(parts):
        steps = (*steps, part)
        if grow and place == len(parts) - 1:
            counts[steps] = counts.get(steps, 0) + 1
        if steps in counts:
            steps = (*steps, counts[steps] - 1)
    return steps


def _parts(name: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in _PART.findall(name))
