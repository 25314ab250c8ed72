"""The names that expressions and targets may use at one place of a migration file, and reading with them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar

from ckptlint.core.expression import Expression
from ckptlint.core.template import Fill, Selector, Target, Template
from ckptlint.documents.nodes import Kind, Node, nearest, shown
from ckptlint.errors import DocumentError

Number: TypeAlias = "int | Expression"
C = TypeVar("C", bound=Expression | Template)


@dataclass(frozen=True, slots=True)
class Scope:
    """`params` and lookup `tables` of the file, and `captures` of the rewrite; `gathered` is the axis that `over` takes away.

    `before` and `after` are what stands before every old and every new key: those of the rewrites within a `scope`.
    """

    params: frozenset[str] = frozenset()
    tables: frozenset[str] = frozenset()
    captures: frozenset[str] = frozenset()
    gathered: str = ""
    before: str = ""
    after: str = ""
    moves: bool = False  # whether the keys after are below another path

    def inside(self, before: str, after: str, *, moves: bool) -> Scope:
        """Return the scope of rewrites within a module that is at one path before and at another after."""
        moves = moves or self.moves
        return replace(self, before=f"{self.before}{before}.", after=f"{self.after}{after}.", moves=moves)

    def template(self, node: Node) -> Template:
        """Read the old keys of a rewrite."""
        return node.located(Template.parse, self.before + node.text())

    def selector(self, node: Node) -> Selector:
        """Read keys that are only selected."""
        return node.located(Selector.parse, self.before + node.text())

    def within(self, node: Node, templates: Iterable[Template], gathered: str = "") -> Scope:
        """Return the scope of a rewrite that matches these templates."""
        captures = frozenset(name for template in templates for name in template.names)
        for name in sorted(captures & self.params):
            raise node.fail(
                f"{{{name}}} is a capture here and a param of the file", hint="give one of them another name"
            )
        return replace(self, captures=captures - {gathered}, gathered=gathered)

    def number(self, node: Node) -> Number:
        """Read an integer, or the text of an expression for one."""
        if node.kind is Kind.INTEGER:
            return node.integer()
        if node.kind is not Kind.TEXT:
            raise node.fail(f"should be an integer or an expression, not {node.kind}")
        expression = node.read(Expression.parse)
        self._check(node, expression)
        return expression

    def expression_of(self, node: Node, text: str) -> Expression:
        """Read an expression that is a part of a text."""
        expression = node.located(Expression.parse, text)
        self._check(node, expression)
        return expression

    def expression(self, node: Node) -> Expression:
        """Read a number as an expression."""
        number = self.number(node)
        return Expression.of(number) if isinstance(number, int) else number

    def target(self, node: Node) -> Target:
        """Read a key to be written."""
        target = node.located(Target.parse, self.after + node.text())
        self.check_fills(node, target.fills)
        return target

    def check_fills(self, node: Node, fills: Iterable[Fill]) -> None:
        """Refuse holes that name what there is not."""
        for fill in fills:
            self._check(node, fill.expression)

    def _check(self, node: Node, expression: Expression) -> None:
        known = self.params | self.captures
        for name in sorted(expression.names - known):
            if name == self.gathered:
                raise node.fail(f"{{{name}}} is gathered by `over`, so it has no single value here")
            kinds = "capture of `from` nor a param" if self.captures else "param"
            raise node.fail(
                f"{shown(name)} is {'neither a' if self.captures else 'no'} {kinds}", hint=nearest(name, sorted(known))
            )
        for table in sorted(expression.tables - self.tables):
            raise node.fail(f"there is no lookup table {shown(table)}", hint=nearest(table, sorted(self.tables)))
        for text, capture in sorted(expression.ranks):
            if capture not in node.located(Template.parse, text).names:
                raise node.fail(f"rank({text}, {capture}): the template has no capture {shown(capture)}")


def distinct(nodes: Iterable[Node], templates: Iterable[object]) -> None:
    """Refuse a template that stands twice in one list."""
    seen: set[str] = set()
    for node, template in zip(nodes, templates, strict=True):
        if str(template) in seen:
            raise node.fail(f"{shown(str(template))} stands here twice")
        seen.add(str(template))


def literal(node: Node, before: str = "") -> str:
    """Read one key, without captures; `before` is the path that it is relative to."""
    template = node.located(Template.parse, before + node.text())
    if template.literal is None:
        raise node.fail("should be one key, without captures")
    return template.literal


def identifier(text: str) -> str:
    """Read a name that expressions can use."""
    if not text.isascii() or not text.isidentifier() or text in ("lookup", "rank"):
        raise DocumentError(f"{shown(text)} is not a name", hint="letters, digits and _, not first a digit")
    return text
