"""Read the text of an expression: linear in its length, bounded in its depth, every error at its column."""

from __future__ import annotations

import re
from typing import Final

from ckptlint.core.expression_nodes import Call, Infix, Node, bare_template, depth
from ckptlint.errors import DocumentError

FUNCTIONS: Final = ("lookup", "reverse_lookup", "rank")
_LONGEST: Final = 1000
_DEEPEST: Final = 64
_SYMBOL: Final = re.compile(r"\s*(?:([0-9]+)|([A-Za-z_][A-Za-z0-9_]*)|(//|[-+*/%(),]))")


def read_expression(text: str) -> Node:
    """Return what a text says; `DocumentError` says at which column it is wrong."""
    return _Parser(text).whole()


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
        if depth(node) > _DEEPEST:
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
            end = bare_template(self.text, start)
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
