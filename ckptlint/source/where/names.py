"""Names that are computed: what an expression for an attribute's name can be, as far as its text says."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_PERCENT = re.compile(r"%[-+ #0]*\d*(?:\.\d+)?[a-zA-Z]")
_DEEPEST = 8  # names that are made of names


@dataclass(frozen=True, slots=True)
class Name:
    """A name, or all names of a form: `parts` are literal texts, lists of texts, and None for what only runs can tell."""

    parts: tuple[str | tuple[str, ...] | None, ...]

    @property
    def literal(self) -> str | None:
        """The name, where it is only one."""
        return "".join(map(str, self.parts)) if all(isinstance(each, str) for each in self.parts) else None

    @property
    def exactness(self) -> int:
        """How much of the name is written down: more is more exact, 0 is any name."""
        texts = (each if isinstance(each, str) else max(each, key=len, default="") for each in self.parts if each)
        return sum(map(len, texts)) + (1000 if self.literal is not None else 0)

    def matches(self, name: str) -> bool:
        return self.literal == name or re.fullmatch("".join(map(_form, self.parts)), name, re.DOTALL) is not None

    def __str__(self) -> str:
        return "".join("*" if each is None else each if isinstance(each, str) else _listed(each) for each in self.parts)


def _listed(texts: tuple[str, ...]) -> str:
    return "{" + ",".join(texts) + "}"


def _form(part: str | tuple[str, ...] | None) -> str:
    if part is None:
        return ".*"
    return re.escape(part) if isinstance(part, str) else f"(?:{'|'.join(map(re.escape, part))})"


def read_name(node: ast.expr, known: Mapping[str, ast.expr | ast.For | ast.comprehension]) -> Name:
    """What an expression gives as a name; `known` has what a name of the function is assigned, or the loop over it."""
    return Name(tuple(_merged(_parts(node, known, _DEEPEST))))


def _parts(node: ast.expr, known: Mapping[str, object], depth: int) -> Iterator[str | tuple[str, ...] | None]:
    if depth == 0:
        yield None
    elif isinstance(node, ast.Constant):
        yield str(node.value)
    elif isinstance(node, ast.JoinedStr):
        for each in node.values:
            yield from _parts(each, known, depth - 1)
    elif isinstance(node, ast.FormattedValue):
        yield from [None] if node.format_spec else _parts(node.value, known, depth - 1)
    elif isinstance(node, ast.BinOp):
        yield from _joined(node, known, depth)
    elif isinstance(node, ast.Call):
        yield from _called(node, known, depth)
    elif isinstance(node, ast.Name) and node.id in known:
        yield from _named(node.id, known, depth)
    else:
        yield None


def _joined(node: ast.BinOp, known: Mapping[str, object], depth: int) -> Iterator[str | tuple[str, ...] | None]:
    if isinstance(node.op, ast.Mod) and isinstance(node.left, ast.Constant) and isinstance(node.left.value, str):
        yield from _between(_PERCENT.split(node.left.value))
    elif isinstance(node.op, ast.Add):
        for side in (node.left, node.right):
            number = isinstance(side, ast.Constant) and not isinstance(side.value, str)
            yield from [None] if number else _parts(side, known, depth - 1)
    else:
        yield None


def _called(node: ast.Call, known: Mapping[str, object], depth: int) -> Iterator[str | tuple[str, ...] | None]:
    function = node.func
    if isinstance(function, ast.Attribute) and function.attr == "format" and isinstance(function.value, ast.Constant):
        yield from _between(re.split(r"\{[^{}]*\}", str(function.value.value)))
    elif isinstance(function, ast.Name) and function.id == "str" and len(node.args) == 1:
        yield from _parts(node.args[0], known, depth - 1)
    else:
        yield None


def _named(name: str, known: Mapping[str, object], depth: int) -> Iterator[str | tuple[str, ...] | None]:
    value = known[name]
    if isinstance(value, ast.For | ast.comprehension):
        yield _looped(value, name)
    elif isinstance(value, ast.expr):
        yield from _parts(value, {key: other for key, other in known.items() if key != name}, depth - 1)
    else:
        yield None


def _looped(loop: ast.For | ast.comprehension, name: str) -> tuple[str, ...] | None:
    """What a loop's variable can be, where it runs over what is written down."""
    over, target = _plainly(loop.iter, loop.target)
    items = over.keys if isinstance(over, ast.Dict) else over.elts if isinstance(over, ast.Tuple | ast.List) else []
    texts = [_text(_picked(each, target, name)) for each in items]
    known = [text for text in texts if text is not None]
    return tuple(known) if known and len(known) == len(texts) else None


def _plainly(over: ast.expr, target: ast.expr) -> tuple[ast.expr, ast.expr]:
    """What `enumerate(x)` and `x.items()` run over, and the part of the target that is its item or key."""
    pair = target.elts if isinstance(target, ast.Tuple) and len(target.elts) == 2 else [target, target]
    if not isinstance(over, ast.Call):
        return over, target
    if isinstance(over.func, ast.Name) and over.func.id == "enumerate" and over.args:
        return _plainly(over.args[0], pair[1])
    if isinstance(over.func, ast.Attribute) and over.func.attr in ("items", "keys"):
        return over.func.value, pair[0]
    return over, target


def _picked(item: ast.expr | None, target: ast.expr, name: str) -> ast.expr | None:
    """What a loop's target calls `name` of an item."""
    if not isinstance(target, ast.Tuple):
        return item
    places = [number for number, each in enumerate(target.elts) if isinstance(each, ast.Name) and each.id == name]
    whole = isinstance(item, ast.Tuple | ast.List) and len(item.elts) == len(target.elts)
    return item.elts[places[0]] if places and whole and isinstance(item, ast.Tuple | ast.List) else None


def _text(node: ast.expr | None) -> str | None:
    return str(node.value) if isinstance(node, ast.Constant) else None


def _between(texts: list[str]) -> Iterator[str | None]:
    for number, text in enumerate(texts):
        if number:
            yield None
        yield text


def _merged(parts: Iterator[str | tuple[str, ...] | None]) -> Iterator[str | tuple[str, ...] | None]:
    """Join texts that follow each other."""
    text = ""
    for part in parts:
        if isinstance(part, str):
            text += part
            continue
        if text:
            yield text
        text = ""
        yield part
    if text:
        yield text
