"""The values that Python source can state outright, beside texts, numbers, lists and tables; and what calls of its own make of these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_COPIES: Final = frozenset({"copy", "deepcopy"})
OF_TABLES: Final = frozenset({*_COPIES, "items", "keys", "values"})
_TABLES: Final = frozenset({"dict", "OrderedDict"})
_LISTS: Final = frozenset({"list", "tuple"})
TURNS: Final = 100_000  # of one loop
_STEPS: Final = 2_000_000  # of all loops of a file: nodes of their syntax, once a turn
_ENTRIES: Final = 4_000_000  # characters and entries that joining and copying may make


@dataclass(frozen=True, slots=True)
class Unknown:
    """A value that only running the code would tell."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Called:
    """A call that is not made: the last part of the name that is called, and its arguments."""

    name: str
    arguments: tuple[object, ...]
    options: Mapping[str, object]
    line: int


@dataclass(slots=True)
class Allowance:
    """What following a file may still take: steps of loops, and characters and entries of what is made."""

    steps: int = _STEPS
    entries: int = _ENTRIES

    def loop(self, turns: int, nodes: int) -> bool:
        """Whether a loop may run; what it takes is gone then, and all where it may not, for what is around it would ask again."""
        if turns > TURNS or turns * nodes > self.steps:
            self.steps = 0
            return False
        self.steps -= turns * nodes
        return True

    def make(self, *parts: object) -> bool:
        """Whether something as large as these together may be made; what it takes is gone then."""
        size = sum(len(each) for each in parts if isinstance(each, (str, list, dict)))
        if size > self.entries:
            return False
        self.entries -= size
        return True


def joined(one: object, other: object) -> object | None:
    """What `+` or `|` makes of two values of a kind; None of any others."""
    if isinstance(one, str) and isinstance(other, str):
        return one + other
    if isinstance(one, list) and isinstance(other, list):
        return [*one, *other]
    if isinstance(one, dict) and isinstance(other, dict):
        return {**one, **other}
    if isinstance(one, Called) and isinstance(other, Called):
        return Called("|", (*_united(one), *_united(other)), {}, one.line)
    return None


def _united(call: Called) -> tuple[object, ...]:
    return call.arguments if call.name == "|" else (call,)


def counted(call: Called) -> list[object] | None:
    """What `range`, `enumerate` and `zip` give for what is stated outright."""
    if call.options or not call.arguments:
        return None
    if call.name == "range":
        return _range([each for each in call.arguments if isinstance(each, int)], len(call.arguments))
    lists = [each for each in call.arguments if isinstance(each, list)]
    if len(lists) < len(call.arguments):
        return None
    if call.name == "enumerate" and len(lists) == 1:
        return [[number, each] for number, each in enumerate(lists[0])]
    return [list(each) for each in zip(*lists, strict=False)] if call.name == "zip" else None


def _range(numbers: list[int], given: int) -> list[object] | None:
    if len(numbers) < given or given > 3 or numbers[2:] == [0]:
        return None
    counted = range(*numbers)
    return None if counted[TURNS:] else list(counted)  # its length may be more than a number of C


def part(name: str, owner: object) -> object | None:
    """What a method of a table gives, `items` of one or a copy; None where it is none of these."""
    if name in _COPIES:
        return copied(owner)
    if not isinstance(owner, dict):
        return None
    return [list(each) for each in owner.items()] if name == "items" else list(getattr(owner, name)())


def made(name: str, arguments: tuple[object, ...], options: dict[str, object]) -> object | None:
    """What a call is that builds a plain value or a pattern; None where it is any other."""
    if name in _TABLES and not arguments:
        return options
    if len(arguments) != 1 or options:
        return None
    if name in _TABLES and isinstance(arguments[0], list):
        return _of_pairs(arguments[0])
    if name in _COPIES or name in _TABLES or name in _LISTS:
        return copied(arguments[0])
    return arguments[0] if name == "compile" and isinstance(arguments[0], str) else None


def _of_pairs(rows: list[object]) -> dict[object, object] | None:
    """The table of `dict([(key, value), ...])`; None where a row is no pair, or its key is not stated."""
    pairs = [
        (row[0], row[1]) for row in rows if isinstance(row, list) and len(row) == 2 and isinstance(row[0], (str, int))
    ]
    return dict(pairs) if len(pairs) == len(rows) else None


def copied(value: object) -> object:
    """A list or table of its own."""
    if isinstance(value, dict):
        return dict(value)
    return list(value) if isinstance(value, list) else value
