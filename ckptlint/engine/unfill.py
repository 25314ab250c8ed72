"""Read a target backwards: which captures must have filled it, for it to be this key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from ckptlint.core.expression import Expression, Infix, Value
from ckptlint.core.holes import INT, TEXT, Capture, Kind, Token, ambiguity
from ckptlint.core.template import Captures, Fill, Target, Template
from ckptlint.engine.params import Params
from ckptlint.errors import CkptlintError, PlanError

Kinds: TypeAlias = Mapping[str, Kind]
Equation: TypeAlias = tuple[Expression, Value]
_HOLE = "hole {}"  # no capture has a name with a space


@dataclass(frozen=True, slots=True)
class Unfiller:
    """A target as a template. Holes that are no bare capture have an equation each, which gives the captures they were made of."""

    template: Template
    equations: tuple[tuple[str, Expression], ...]
    params: Params
    kinds: Kinds

    def captures(self, key: str) -> Captures | None:
        """Return the captures that give this key; None where it is not the target's, or no captures can have given it."""
        found = self.template.match(key)
        if found is None or not self.equations:
            return found
        known = {name: value for name, value in found.items() if not name.startswith("hole ")}
        open_ = self._left([(expression, found[hole]) for hole, expression in self.equations], known)
        while open_:
            solved = next((answer for answer in self._answers(open_, known)), None)
            if solved is None or any(known.get(name, value) != value for name, value in solved.items()):
                return None
            known.update(solved)
            open_ = self._left(open_, known)
        return known if self._agrees(found, known) and self._may_be(known) else None

    def _may_be(self, known: Captures) -> bool:
        """Whether the source has holes that take these: a number that was computed may be none to choose from."""
        chosen = ((self.kinds[name], value) for name, value in known.items() if name in self.kinds)
        return all(kind.name != "one" or str(value) in kind.options for kind, value in chosen)

    def _left(self, open_: list[Equation], known: Captures) -> list[Equation]:
        """The equations that still have an unknown."""
        return [(each, value) for each, value in open_ if not self._names(each) <= known.keys()]

    def _names(self, expression: Expression) -> frozenset[str]:
        return expression.names - self.params.values.keys()

    def _answers(self, open_: list[Equation], known: Mapping[str, Value]) -> Iterable[dict[str, Value]]:
        """Captures that one equation, or two of them, decide."""
        others = {**self.params.values, **known}
        for expression, value in open_:
            unknown = sorted(self._names(expression) - known.keys())
            if len(unknown) == 1:
                answer = expression.solve(unknown[0], value, others, self.params.lookups)
                if answer is not None:
                    yield {unknown[0]: answer}
            elif len(unknown) == 2 and isinstance(value, int):
                yield from _digits(expression, value, others)
        yield from _number(open_, others)

    def _agrees(self, found: Captures, known: Captures) -> bool:
        try:
            return all(self.params.evaluate(each, known) == found[hole] for hole, each in self.equations)
        except CkptlintError:
            return False


def unfiller(target: Target, kinds: Kinds, params: Params) -> Unfiller:
    """Return a target's reverse; `kinds` are the types of its captures in the source, those it lacks count as integers.

    `PlanError` where no key tells what the captures were.
    """
    tokens: list[Token] = []
    equations: list[tuple[str, Expression]] = []
    for number, token in enumerate(target.tokens):
        if isinstance(token, str):
            tokens.append(token)
            continue
        expression = token.expression
        if not expression.names - params.values.keys():
            tokens.append(token.write(params.evaluate(expression)))
        elif expression.name is not None:
            tokens.append(Capture(expression.name, token.kind or kinds.get(expression.name, INT)))
        else:
            hole = _HOLE.format(number)
            tokens.append(Capture(hole, token.kind or _kind(target, token, params)))
            equations.append((hole, expression))
    template = Template(tuple(tokens))
    reason = ambiguity(template.segments)
    if reason:
        raise PlanError(f"a key that {target} wrote does not tell its parts: {reason}")
    return Unfiller(template, tuple(equations), params, kinds)


def _kind(target: Target, fill: Fill, params: Params) -> Kind:
    """What an expression writes: an integer, or a word of its table."""
    if fill.expression.ranks:
        raise PlanError(f"{target} counts ranks, which only the old keys tell")
    tables = [params.lookups[name] for name in fill.expression.tables if name in params.lookups]
    if not tables:
        return INT
    words = tuple(dict.fromkeys(word for table in tables for word in table.values()))
    if all(word.isdigit() for word in words):
        return INT
    return TEXT if any("." in word for word in words) or not words else Kind("one", options=words)


def _digits(expression: Expression, value: int, others: Mapping[str, Value]) -> Iterable[dict[str, Value]]:
    """`c*B+j` with 0 <= j < B: a number in mixed radix."""
    root = expression.root
    if not isinstance(root, Infix) or root.operator != "+":
        return
    for product, rest in ((root.left, root.right), (root.right, root.left)):
        if isinstance(rest, str) and isinstance(product, Infix) and product.operator == "*":
            for high, base in ((product.left, product.right), (product.right, product.left)):
                radix = _constant(Expression(base), others)
                if isinstance(high, str) and radix:
                    yield {high: value // radix, rest: value % radix}


def _number(open_: list[Equation], others: Mapping[str, Value]) -> Iterable[dict[str, Value]]:
    """`i//B` and `i%B` of one i."""
    parts: dict[tuple[str, int], dict[str, int]] = {}
    for expression, value in open_:
        root = expression.root
        if isinstance(root, Infix) and root.operator in {"//", "%"} and isinstance(root.left, str):
            radix = _constant(Expression(root.right), others)
            if radix and isinstance(value, int):
                parts.setdefault((root.left, radix), {})[root.operator] = value
    for (name, radix), halves in parts.items():
        if len(halves) == 2:
            yield {name: halves["//"] * radix + halves["%"]}


def _constant(expression: Expression, others: Mapping[str, Value]) -> int | None:
    if not expression.names <= others.keys():
        return None
    value = expression.evaluate(others)
    return value if isinstance(value, int) and value > 0 else None
