"""Turn templates and targets around: `a.{i:int} -> b.{i+1}` becomes `b.{i:int} -> a.{i-1}`, or the reason why it cannot."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from ckptlint.core.expression import NO_TABLES, Call, Expression, Infix, Node, Tables, Value, inverted, simple
from ckptlint.core.holes import INT, TEXT, Capture, Kind, Token, ambiguity
from ckptlint.core.template import Fill, Target, Template
from ckptlint.errors import PlanError

_NOTHING: Final[Mapping[str, Value]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Reversal:
    """The pair turned around: templates that match what the targets wrote, targets that write what the templates matched."""

    sources: tuple[Template, ...]
    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class OneWay:
    """Why a pair cannot be turned around."""

    reason: str


def invert_pair(
    sources: Sequence[Template],
    targets: Sequence[Target],
    params: Mapping[str, Value] = _NOTHING,
    lookups: Tables = NO_TABLES,
    gathered: Collection[str] = (),
) -> Reversal | OneWay:
    """Turn around. `params` may stand in targets, and `gathered` captures (of `over:`) need not; names of targets that are neither
    these nor captures scatter, and are integers.

    What the reversed templates match that the targets cannot have written, the reversed targets refuse, or write a key of which the
    targets make another: `i%B` cannot be B. Who needs to know fills the targets again.
    """
    kinds = {name: kind for template in sources for name, kind in template.kinds.items()}
    turning = _Turning(kinds, params, lookups, [fill for target in targets for fill in target.fills])
    try:
        turning.solve()
        templates = tuple(map(turning.template, targets))
        turning.check(gathered)
        return Reversal(templates, tuple(map(turning.target, sources)))
    except PlanError as error:
        return OneWay(error.message)


@dataclass(slots=True)
class _Turning:
    """`holes` says which capture reads an expression of the targets; `solutions` what each capture of the sources is, over these."""

    kinds: Mapping[str, Kind]
    params: Mapping[str, Value]
    lookups: Tables
    fills: Sequence[Fill]
    holes: dict[Node, Capture] = field(default_factory=dict)
    solutions: dict[str, Node] = field(default_factory=dict)

    def solve(self) -> None:
        written: dict[str, list[Expression]] = {}  # how each unknown is written, each way once
        for expression in dict.fromkeys(fill.expression for fill in self.fills):
            for name in sorted(self._unknowns(expression)):
                written.setdefault(name, []).append(expression)
        for name, ways in written.items():
            if name not in self.solutions:
                self._solve(name, ways, written)

    def check(self, gathered: Collection[str]) -> None:
        """Every capture must be told by the targets, unless a list is gathered along it."""
        for name in self.kinds:
            if name not in self.solutions and name not in gathered:
                raise PlanError(f"{{{name}}} of the source is not in the target")
        for name, solution in self.solutions.items():
            if name not in self.kinds and solution != name:
                raise PlanError(f"{name} numbers a list that does not count up from 0")

    def _unknowns(self, expression: Expression) -> frozenset[str]:
        if expression.ranks:
            raise PlanError(f"{{{expression}}} counts over the old keys, which are not there any more")
        return expression.names - self.params.keys()

    def _solve(self, name: str, ways: Sequence[Expression], written: Mapping[str, Sequence[Expression]]) -> None:
        if len(ways) == 2 and self._halves(name, ways):
            return
        if len(ways) > 1:
            raise PlanError(
                f"{name} is written in two ways, {{{ways[0]}}} and {{{ways[1]}}}; no template says that both must agree"
            )
        expression = ways[0]
        unknowns = sorted(self._unknowns(expression))
        if len(unknowns) == 2 and all(len(written[each]) == 1 for each in unknowns):
            self._digits(expression, unknowns)
            return
        solution = inverted(expression, name, name) if len(unknowns) == 1 else None
        if solution is None:
            raise PlanError(f"{{{expression}}} does not tell what {name} was")
        self.holes[expression.root] = Capture(name, self._kind(expression))
        self.solutions[name] = solution.root

    def _kind(self, expression: Expression) -> Kind:
        """What an expression over one unknown writes."""
        if expression.name is not None:
            return self.kinds.get(expression.name, INT)
        if not isinstance(expression.root, Call):
            return INT
        table = self.lookups.get(expression.root.subject, {})
        words = tuple(dict.fromkeys(table.values() if expression.root.function == "lookup" else table))
        if any(not word or set(word) & set(".{}*|()") for word in words):
            raise PlanError(f"{{{expression}}} writes words of more than one segment")
        return Kind("one", options=words) if words else TEXT

    def _halves(self, name: str, ways: Sequence[Expression]) -> bool:
        """`{i//B}` and `{i%B}` together tell i."""
        found = {way.root.operator: way.root for way in ways if isinstance(way.root, Infix) and way.root.left == name}
        radix = found["%"].right if "%" in found else name
        if set(found) != {"//", "%"} or found["//"].right != radix or not Expression(radix).names <= self.params.keys():
            return False
        rest = self._fresh(f"{name}_rest")
        self.holes |= {found["//"]: Capture(name, INT), found["%"]: Capture(rest, INT)}
        self.solutions[name] = Infix("+", simple("*", name, radix), rest)
        return True

    def _digits(self, expression: Expression, unknowns: Sequence[str]) -> None:
        """`{c*B+j}` tells c and j, if j is below B."""
        for high, radix, low in _mixed_radix(expression.root):
            if {high, low} == set(unknowns) and Expression(radix).names <= self.params.keys():
                both = self._fresh(f"{high}_{low}")
                self.holes[expression.root] = Capture(both, INT)
                self.solutions |= {high: Infix("//", both, radix), low: Infix("%", both, radix)}
                return
        raise PlanError(f"{{{expression}}} does not tell what {' and '.join(unknowns)} were")

    def _fresh(self, name: str) -> str:
        taken = self.kinds.keys() | self.params.keys() | {each for fill in self.fills for each in fill.expression.names}
        while name in taken:
            name += "_"
        return name

    def template(self, target: Target) -> Template:
        """The template that matches what a target writes."""
        tokens: list[Token] = []
        for token in target.tokens:
            piece = token if isinstance(token, str) else self._hole(token)
            if isinstance(piece, str) and tokens and isinstance(tokens[-1], str):
                tokens[-1] += piece
            else:
                tokens.append(piece)
        template = Template(tuple(tokens))
        kinds = {(token.name, token.kind) for token in tokens if isinstance(token, Capture)}
        reason = ambiguity(template.segments)
        if len({name for name, _ in kinds}) < len(kinds):
            reason = "a capture is written with different widths"
        if reason:
            raise PlanError(f"{target} does not tell its parts: {reason}")
        return template

    def _hole(self, fill: Fill) -> Token:
        if not self._unknowns(fill.expression):
            return fill.write(fill.expression.evaluate(self.params, self.lookups))
        capture = self.holes[fill.expression.root]
        return capture if fill.kind is None else Capture(capture.name, fill.kind)

    def target(self, source: Template) -> Target:
        """The target that writes what a template matched."""
        return Target(tuple(token if isinstance(token, str) else self._fill(token) for token in source.tokens))

    def _fill(self, capture: Capture) -> Fill:
        solution = Expression(self.solutions.get(capture.name, capture.name))
        read = {hole.name: hole.kind for hole in self.holes.values()}
        widths = [read[capture.name]] if solution.name == capture.name and capture.name in read else [INT]
        widths += [fill.kind for fill in self.fills if fill.kind is not None and capture.name in fill.expression.names]
        plain = capture.kind.name != "int" or all(kind == capture.kind for kind in widths)
        return Fill(solution, None if plain else capture.kind)


def _mixed_radix(root: Node) -> Iterator[tuple[str, Node, str]]:
    """The ways to read `high*radix + low`."""
    if not isinstance(root, Infix) or root.operator != "+":
        return
    for product, low in ((root.left, root.right), (root.right, root.left)):
        if isinstance(product, Infix) and product.operator == "*" and isinstance(low, str):
            for high, radix in ((product.left, product.right), (product.right, product.left)):
                if isinstance(high, str):
                    yield high, radix, low
