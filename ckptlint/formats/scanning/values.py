"""What the tracer's stack holds: just enough of each value to know what is called with what, and what hashing it would cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

_DEEP = 1000  # nested tuples from which hashing one runs out of C stack
MOST: Final = 1 << 62  # of any count
_HEAVY = 1 << 22  # visits from which hashing one takes seconds


class Unknown:
    """A value nobody keeps track of."""

    __slots__ = ()


UNKNOWN: Final = Unknown()


class Named:
    """A global: `number` is its place among the trace's imports."""

    __slots__ = ("module", "name", "number")

    def __init__(self, module: str, name: str, number: int) -> None:
        self.module = module
        self.name = name
        self.number = number

    @property
    def full(self) -> str:
        return f"{self.module}.{self.name}"


class Row:
    """A tuple: its items, how deep it is nested, and how many values it unfolds to, which its hash visits."""

    __slots__ = ("depth", "items", "visits")

    def __init__(self, items: tuple[Thing, ...]) -> None:
        self.items = items
        self.depth: int = 1 + max((item.depth for item in items if type(item) is Row), default=0)
        self.visits: int = min(MOST, 1 + sum(map(visits, items)))

    @property
    def harmful(self) -> bool:
        """Whether hashing it crashes or hangs the process."""
        return self.depth > _DEEP or self.visits > _HEAVY


class Box:
    """A mutable value by its class (`list`, `collections.OrderedDict` ...); `maker` is what made an object of another class."""

    __slots__ = ("harmful", "kind", "maker", "visits")

    def __init__(self, kind: str, maker: Named | None = None) -> None:
        self.kind = kind
        self.maker = maker
        self.harmful = False  # whether it holds a tuple that cannot be hashed without harm
        self.visits = 1  # values that it unfolds to


def visits(value: Thing) -> int:
    """Count what a walk through a value comes by that does not remember where it was."""
    return value.visits if type(value) is Row or type(value) is Box else 1


Thing: TypeAlias = "bool | int | float | str | bytes | Unknown | Named | Row | Box | None"


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes inside a pickle that could be a file of their own; `offset` is that of the opcode that brings them.

    `loaded` where the pickle has them loaded, so that what they name runs with it.
    """

    content: bytes
    offset: int
    loaded: bool = False


def shown(value: Thing) -> str:
    """Write an argument for people, shortly."""
    if isinstance(value, str | bytes):
        return repr(value[:60]) + ("..." if len(value) > 60 else "")
    if isinstance(value, Row):
        inner = ", ".join(map(shown, value.items[:4])) if value.depth < 4 else "..."
        return f"({inner}{', ...' if len(value.items) > 4 else ''})"
    if isinstance(value, Named):
        return value.full
    if isinstance(value, Box):
        return value.maker.full if value.maker else f"a {value.kind}"
    return "?" if isinstance(value, Unknown) else _number(value)


def _number(value: object) -> str:
    if isinstance(value, int) and value.bit_length() > 200:
        return f"an integer of {value.bit_length()} bits"
    return repr(value)
