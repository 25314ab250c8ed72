"""Integer expressions over names: `i+1`, `c*B+j`, `heads/kv + 2`, `lookup(table, k)`, `rank(network.{n:int}.proj, n)`.

A bare word is a name. `//` and `%` round as in Python, `/` must divide exactly. Numbers stay below 2**63 in size, an expression below
1,000 characters and 64 levels, so that no text costs more than its length.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

from ckptlint.errors import DocumentError, PlanError

Value: TypeAlias = int | str
Tables: TypeAlias = Mapping[str, Mapping[str, str]]
RankKey: TypeAlias = tuple[str, str]  # a template's text and the name of its capture
Ranks: TypeAlias = Mapping[RankKey, Sequence[Value]]
NO_TABLES: Final[Tables] = MappingProxyType({})
NO_RANKS: Final[Ranks] = MappingProxyType({})

LARGEST: Final = 2**63
_LONGEST: Final = 1000
_DEEPEST: Final = 64
_SYMBOL = re.compile(r"\s*(?:([0-9]+)|([A-Za-z_][A-Za-z0-9_]*)|(//|[-+*/%(),]))")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
FUNCTIONS: Final = ("lookup", "reverse_lookup", "rank")
_BINDING: Final = {"+": 1, "-": 1, "*": 2, "/": 2, "//": 2, "%": 2}


@dataclass(frozen=True, slots=True)
class Infix:
    """Two operands and `+ - * // / %`; a negation is `0 - x`."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Call:
    """`lookup(table, x)`, its inverse `reverse_lookup(table, x)`, or `rank(template, x)`; `subject` is the table or template."""

    function: str
    subject: str
    argument: Node


Node: TypeAlias = int | str | Infix | Call  # an int is a number, a str a name


@dataclass(frozen=True, slots=True)
class Expression:
    """An integer expression. `str()` writes what `parse` reads, with no more parentheses than it needs."""

    root: Node

    @classmethod
    def parse(cls, text: str) -> Expression:
        """Read an expression; `DocumentError` says at which column of the text it is wrong."""
        return cls(_Parser(text).whole())

    @classmethod
    def of(cls, value: Value) -> Expression:
        """The expression that is one number, or one name."""
        return cls(value)

    def __str__(self) -> str:
        return _written(self.root, 0)

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


def walk(node: Node) -> Iterator[Node]:
    """Every node, operands after what they belong to."""
    waiting = [node]
    while waiting:
        here = waiting.pop()
        yield here
        if isinstance(here, Infix):
            waiting += (here.right, here.left)
        elif isinstance(here, Call):
            waiting.append(here.argument)


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
    if not isinstance(here, Infix):
        return None
    left, right = here.left, here.right
    inside_left = name in walk(left)
    match here.operator, inside_left:
        case "+", _:
            return (left, simple("-", found, right)) if inside_left else (right, simple("-", found, left))
        case "-", _:
            return (left, simple("+", found, right)) if inside_left else (right, simple("-", left, found))
        case "*", _:
            return (left, simple("/", found, right)) if inside_left else (right, simple("/", found, left))
        case "/", _:
            return (left, simple("*", found, right)) if inside_left else (right, simple("/", left, found))
    return None


def simple(sign: str, left: Node, right: Node) -> Node:
    """`left sign right` as a person would write it: `i-1+1` is `i`, `i--1` is `i+1`."""
    if sign in {"+", "-"} and isinstance(right, int):
        if isinstance(left, Infix) and left.operator in {"+", "-"} and isinstance(left.right, int) and left.left != 0:
            inner = left.right if left.operator == "+" else -left.right
            left, right = left.left, inner + (right if sign == "+" else -right)
            sign = "+"
        if right == 0:
            return left
        if right < 0:
            sign, right = ("-" if sign == "+" else "+"), -right
    if sign in {"*", "/"} and right == 1:
        return left
    return Infix(sign, left, right)


def _written(node: Node, binding: int) -> str:
    """Write a node; in parentheses where it binds less tightly than `binding`."""
    if isinstance(node, int | str):
        return str(node)
    if isinstance(node, Call):
        return f"{node.function}({_written_subject(node)}, {_written(node.argument, 0)})"
    if node.operator == "-" and node.left == 0:
        return f"-{_written(node.right, 3)}"
    mine = _BINDING[node.operator]
    text = f"{_written(node.left, mine)}{node.operator}{_written(node.right, mine + 1)}"
    return f"({text})" if mine < binding else text


def _written_subject(call: Call) -> str:
    text = call.subject
    if call.function != "rank" or (_bare_template(text + ",", 0) == len(text) and text == text.strip() != ""):
        return text
    return f'"{text}"' if '"' not in text else f"'{text}'"


def _bare_template(text: str, start: int) -> int | None:
    """Where an unquoted template ends: at the first comma outside braces. None where there is no such, or it looks quoted."""
    depth = 0
    if text[start : start + 1] in {'"', "'"}:
        return None
    for column in range(start, len(text)):
        character = text[column]
        depth += (character == "{") - (character == "}")
        if character == "," and depth <= 0:
            return column
    return None


class _Parser:
    """A recursive-descent parser, depth counted, over one text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.column = 0
        self.depth = 0
        if len(text) > _LONGEST:
            raise DocumentError(f"an expression of {len(text)} characters; at most {_LONGEST} are allowed")

    def whole(self) -> Node:
        node = self.sum()
        if self.text[self.column :].strip():
            raise self.fail(f"{self.upcoming()} does not belong here")
        if _depth(node) > _DEEPEST:
            raise self.fail("too many levels")
        return node

    def sum(self) -> Node:
        node = self.product()
        while sign := self.accept("+", "-"):
            node = Infix(sign, node, self.product())
        return node

    def product(self) -> Node:
        node = self.factor()
        while sign := self.accept("*", "//", "/", "%"):
            node = Infix(sign, node, self.factor())
        return node

    def factor(self) -> Node:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise self.fail("too many levels")
        if self.accept("-"):
            inner = self.factor()
            node: Node = -inner if isinstance(inner, int) else Infix("-", 0, inner)
        else:
            node = self.atom()
        self.depth -= 1
        return node

    def atom(self) -> Node:
        symbol = _SYMBOL.match(self.text, self.column)
        digits, name, sign = symbol.groups() if symbol else (None, None, None)
        if symbol is None or (sign and sign != "("):
            raise self.fail(f"a number, a name or '(' is missing before {self.upcoming()}")
        self.column = symbol.end()
        if digits:
            return self.number(digits)
        if name:
            return self.call(name) if self.accept("(") else name
        node = self.sum()
        self.expect(")")
        return node

    def number(self, digits: str) -> int:
        if len(digits) > 18:
            raise self.fail("numbers have at most 18 digits")
        return int(digits)

    def call(self, function: str) -> Node:
        if function not in FUNCTIONS:
            raise self.fail(f"there is no function {function!r}; there are {', '.join(FUNCTIONS)}")
        subject = self.template() if function == "rank" else self.table()
        self.expect(",")
        argument = self.sum()
        self.expect(")")
        if function == "rank" and not isinstance(argument, str):
            raise self.fail("rank takes a capture of its template as its second argument")
        return Call(function, subject, argument)

    def table(self) -> str:
        symbol = _SYMBOL.match(self.text, self.column)
        if symbol is None or not symbol[2]:
            raise self.fail("the name of a lookup table is missing")
        self.column = symbol.end()
        return symbol[2]

    def template(self) -> str:
        start = len(self.text) - len(self.text[self.column :].lstrip())
        quote = self.text[start : start + 1]
        if quote in {'"', "'"} and quote:
            end: int | None = self.text.find(quote, start + 1)
            begin, after = start + 1, (end or 0) + 1
        else:
            end = _bare_template(self.text, start)
            begin, after = start, end or 0
        if end is None or end <= begin or not self.text[begin:end].strip():
            raise self.fail("rank takes a template and one of its captures: rank(blocks.{i:int}.norm, i)")
        self.column = after
        return self.text[begin:end] if quote in {'"', "'"} else self.text[begin:end].strip()

    def accept(self, *signs: str) -> str:
        symbol = _SYMBOL.match(self.text, self.column)
        if symbol is None or symbol[3] not in signs:
            return ""
        self.column = symbol.end()
        return symbol[3]

    def expect(self, sign: str) -> None:
        if not self.accept(sign):
            raise self.fail(f"{sign!r} is missing before {self.upcoming()}")

    def upcoming(self) -> str:
        rest = self.text[self.column :].strip()[:20]
        return repr(rest) if rest else "the end"

    def fail(self, message: str) -> DocumentError:
        rest = self.text[self.column :]
        column = self.column + len(rest) - len(rest.lstrip()) + 1
        shown = self.text if len(self.text) <= 60 else f"{self.text[:57]}..."
        return DocumentError(f"{shown!r} is not an expression: column {column}: {message}")


def _depth(node: Node) -> int:
    level, waiting = 0, [node]
    while waiting:
        level += 1
        waiting = [part for here in waiting for part in _operands(here)]
    return level


def _operands(node: Node) -> tuple[Node, ...]:
    if isinstance(node, Infix):
        return node.left, node.right
    return (node.argument,) if isinstance(node, Call) else ()


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
            raise PlanError(
                f"{_written(node, 0)} is the text {value!r}; arithmetic needs an integer, as from {{i:int}}"
            )
        return value

    def called(self, call: Call) -> Value:
        value = self.value(call.argument)
        if call.function == "rank":
            values = self.ranks.get(rank_key(call), ())
            if value not in values:
                raise PlanError(f"{value!r} is not among the values that {call.subject} takes")
            return values.index(value)
        if call.subject not in self.lookups:
            raise PlanError(f"there is no lookup table {call.subject!r}; there are {', '.join(self.lookups) or 'none'}")
        table = self.lookups[call.subject]
        found = [table[str(value)]] if call.function == "lookup" and str(value) in table else []
        if call.function == "reverse_lookup":
            found = [key for key, entry in table.items() if entry == str(value)]
        if len(found) != 1:
            raise PlanError(
                f"{str(value)!r} is {'in' if found else 'not in'} {call.subject}{' more than once' * bool(found)}"
            )
        return _as_number(found[0])


def _as_number(text: str) -> Value:
    """A table's entry that is written as a plain integer is one."""
    plain = text.isascii() and text.isdigit() and len(text) <= 18 and str(int(text)) == text
    return int(text) if plain else text
