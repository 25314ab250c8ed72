"""Integer expressions over names: `i+1`, `c*B+j`, `heads/kv + 2`, `lookup(table, k)`, `rank(network.{n:int}.proj, n)`.

A bare word is a name. `//` and `%` round as in Python, `/` must divide exactly. Numbers stay below 2**63 in size, an expression below
1,000 characters and 64 levels, so that no text costs more than its length.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

from ckptlint.core.expression_nodes import Call, Infix, Node, walk, written
from ckptlint.core.expression_reader import read_expression
from ckptlint.errors import PlanError

__all__ = [
    "NO_RANKS",
    "NO_TABLES",
    "Call",
    "Expression",
    "Infix",
    "Node",
    "RankKey",
    "Ranks",
    "Tables",
    "Value",
    "inverted",
    "simple",
]

Value: TypeAlias = int | str
Tables: TypeAlias = Mapping[str, Mapping[str, str]]
RankKey: TypeAlias = tuple[str, str]  # a template's text and the name of its capture
Ranks: TypeAlias = Mapping[RankKey, Sequence[Value]]
NO_TABLES: Final[Tables] = MappingProxyType({})
NO_RANKS: Final[Ranks] = MappingProxyType({})

LARGEST: Final = 2**63


@dataclass(frozen=True, slots=True)
class Expression:
    """An integer expression. `str()` writes what `parse` reads, with no more parentheses than it needs."""

    root: Node

    @classmethod
    def parse(cls, text: str) -> Expression:
        """Read an expression; `DocumentError` says at which column of the text it is wrong."""
        return cls(read_expression(text))

    @classmethod
    def of(cls, value: Value) -> Expression:
        """The expression that is one number, or one name."""
        return cls(value)

    def __str__(self) -> str:
        return written(self.root, 0)

    @property
    def names(self) -> frozenset[str]:
        """Every name whose value is needed."""
        return frozenset(node for node in walk(self.root) if isinstance(node, str))

    @property
    def tables(self) -> frozenset[str]:
        """The lookup tables it reads."""
        return frozenset(c.subject for c in walk(self.root) if isinstance(c, Call) and c.function != "rank")

    @property
    def ranks(self) -> frozenset[RankKey]:
        """The (template, capture) pairs whose sorted values `evaluate` needs as `ranks`."""
        return frozenset(rank_key(c) for c in walk(self.root) if isinstance(c, Call) and c.function == "rank")

    @property
    def constant(self) -> int | None:
        """The number, where it is nothing but one."""
        return self.root if isinstance(self.root, int) else None

    @property
    def name(self) -> str | None:
        """The name, where it is nothing but one."""
        return self.root if isinstance(self.root, str) else None

    def evaluate(self, names: Mapping[str, Value], lookups: Tables = NO_TABLES, ranks: Ranks = NO_RANKS) -> Value:
        """Compute the value; `PlanError` where a name is unknown or a division is by zero or not exact."""
        try:
            return _Scope(names, lookups, ranks).value(self.root)
        except PlanError as error:
            raise PlanError(f"{self}: {error.message}") from None

    def integer(self, names: Mapping[str, Value], lookups: Tables = NO_TABLES, ranks: Ranks = NO_RANKS) -> int:
        """Compute a value that must be an integer."""
        value = self.evaluate(names, lookups, ranks)
        if isinstance(value, str):
            raise PlanError(f"{self}: is the text {value!r}, not an integer")
        return value

    def solve(self, name: str, value: Value, others: Mapping[str, Value], lookups: Tables = NO_TABLES) -> Value | None:
        """Return the one value of `name` that gives `value`, None where there is none or more than one is possible."""
        solution = inverted(self, name, "value of the expression")
        try:
            found = solution.evaluate({**others, "value of the expression": value}, lookups) if solution else None
            return found if found is not None and self.evaluate({**others, name: found}, lookups) == value else None
        except PlanError:
            return None


def rank_key(call: Call) -> RankKey:
    """What `ranks` is asked for: the template's text and the capture, which is the argument's name ('' where it has none)."""
    return call.subject, call.argument if isinstance(call.argument, str) else ""


def inverted(expression: Expression, name: str, result: str) -> Expression | None:
    """Return `name` as an expression over `result`, where it stands once and only `+ - * /` and lookups stand above it."""
    here, found = expression.root, Expression.of(result).root
    if sum(node == name for node in walk(here) if isinstance(node, str)) != 1:
        return None
    while not isinstance(here, str):
        peeled = _peeled(here, name, found)
        if peeled is None:
            return None
        here, found = peeled
    return Expression(found)


def _peeled(here: Node, name: str, found: Node) -> tuple[Node, Node] | None:
    """Take what is outermost away: the operand that holds `name`, and what it must be for the whole to be `found`."""
    if isinstance(here, Call) and here.function != "rank":
        opposite = "lookup" if here.function == "reverse_lookup" else "reverse_lookup"
        return here.argument, Call(opposite, here.subject, found)
    if not isinstance(here, Infix) or here.operator not in _UNDONE:
        return None
    undone = _UNDONE[here.operator]
    if name in walk(here.left):
        return here.left, simple(undone, found, here.right)
    if here.operator in {"+", "*"}:
        return here.right, simple(undone, found, here.left)
    return here.right, simple(here.operator, here.left, found)


_UNDONE: Final = {"+": "-", "-": "+", "*": "/", "/": "*"}


def simple(sign: str, left: Node, right: Node) -> Node:
    """`left sign right` as a person would write it: `i-1+1` is `i`, `i--1` is `i+1`."""
    if isinstance(right, int) and sign in {"+", "-"}:
        return _shifted(left, right if sign == "+" else -right)
    return left if right == 1 and sign in {"*", "/"} else Infix(sign, left, right)


def _shifted(node: Node, by: int) -> Node:
    inner = node.right if isinstance(node, Infix) and node.operator in {"+", "-"} and node.left != 0 else None
    if isinstance(node, Infix) and isinstance(inner, int):
        by += inner if node.operator == "+" else -inner
        node = node.left
    if by == 0:
        return node
    return Infix("+", node, by) if by > 0 else Infix("-", node, -by)


def _exact(left: int, right: int) -> int:
    if left % right:
        raise PlanError(f"{left}/{right} is not a whole number")
    return left // right


_COMPUTE: Final[Mapping[str, Callable[[int, int], int]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "//": operator.floordiv,
    "%": operator.mod,
    "/": _exact,
}


@dataclass(frozen=True, slots=True)
class _Scope:
    """What names mean while one expression is evaluated."""

    names: Mapping[str, Value]
    lookups: Tables
    ranks: Ranks

    def value(self, node: Node) -> Value:
        if isinstance(node, int):
            return node
        if isinstance(node, str):
            if node not in self.names:
                known = ", ".join(sorted(self.names)) or "no names"
                raise PlanError(f"{node} is not known here; there are {known}")
            return self.names[node]
        if isinstance(node, Call):
            return self.called(node)
        left, right = self.number(node.left), self.number(node.right)
        if right == 0 and node.operator in {"/", "//", "%"}:
            raise PlanError(f"{left}{node.operator}0 divides by zero")
        result = _COMPUTE[node.operator](left, right)
        if abs(result) >= LARGEST:
            raise PlanError(f"{left}{node.operator}{right} is too large")
        return result

    def number(self, node: Node) -> int:
        value = self.value(node)
        if isinstance(value, str):
            raise PlanError(f"{written(node, 0)} is the text {value!r}; arithmetic needs an integer, as from {{i:int}}")
        return value

    def called(self, call: Call) -> Value:
        value = self.value(call.argument)
        if call.function == "rank":
            values = self.ranks.get(rank_key(call), ())
            if value not in values:
                raise PlanError(f"{value!r} is not among the values that {call.subject} takes")
            return values.index(value)
        return _as_number(self.looked_up(call, str(value)))

    def looked_up(self, call: Call, text: str) -> str:
        if call.subject not in self.lookups:
            raise PlanError(f"there is no lookup table {call.subject!r}; there are {', '.join(self.lookups) or 'none'}")
        table = self.lookups[call.subject]
        if call.function == "lookup":
            found = [table[text]] if text in table else []
        else:
            found = [key for key, entry in table.items() if entry == text]
        if not found:
            raise PlanError(f"{text!r} is not in {call.subject}")
        if len(found) > 1:
            raise PlanError(f"{text!r} is in {call.subject} more than once")
        return found[0]


def _as_number(text: str) -> Value:
    """A table's entry that is written as a plain integer is one."""
    plain = text.isascii() and text.isdigit() and len(text) <= 18 and str(int(text)) == text
    return int(text) if plain else text
