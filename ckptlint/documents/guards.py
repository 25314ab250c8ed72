"""`when:`, the conditions of a migration."""

from __future__ import annotations

from collections.abc import Callable

from ckptlint.core.dtype import DType
from ckptlint.core.migration import Guard
from ckptlint.core.template import Selector
from ckptlint.documents.nodes import Entry, Kind, Node
from ckptlint.documents.scope import Scope, literal
from ckptlint.errors import DocumentError

TESTS = {
    "has": "a key that a selector matches is there",
    "lacks": "no key that a selector matches is there",
    "shape": "a key has this shape",
    "dtype": "a key has this dtype",
    "tree": "the tree has this scalar at a path",
    "param": "a param has this value",
    "all": "all of the conditions hold",
    "any": "one of the conditions holds",
    "not": "the condition does not hold",
}


def read_guard(node: Node, scope: Scope) -> Guard:
    """Read a condition; several tests in one mapping must all hold."""
    node.only(*TESTS)
    guards = [guard for entry in node.pairs() for guard in _tests(entry, scope)]
    if not guards:
        raise node.fail("should hold a condition", hint="such as {has: encoder.weight}")
    return guards[0] if len(guards) == 1 else Guard("all", tuple(guards), node.where)


def optional_guard(node: Node | None, scope: Scope) -> Guard | None:
    return read_guard(node, scope) if node else None


def _tests(entry: Entry, scope: Scope) -> list[Guard]:
    """Read one test; `has: [a, b]` and `shape: {a: ..., b: ...}` are two each."""
    test, node = str(entry.key.content), entry.value
    if test in ("all", "any"):
        return [Guard(test, tuple(read_guard(item, scope) for item in node.one_or_more()), node.where)]
    if test == "not":
        return [Guard(test, (read_guard(node, scope),), node.where)]
    if test in ("has", "lacks"):
        return [Guard(test, (item.read(Selector.parse),), item.where) for item in node.one_or_more()]
    compared = _COMPARED[test]
    return [Guard(test, compared(pair, scope), pair.value.where) for pair in node.pairs()]


def _shape(pair: Entry, scope: Scope) -> tuple[object, ...]:
    return literal(pair.key), tuple(scope.number(size) for size in pair.value.items())


def _dtype(pair: Entry, scope: Scope) -> tuple[object, ...]:
    del scope
    return literal(pair.key), pair.value.read(DType.parse)


def _tree(pair: Entry, scope: Scope) -> tuple[object, ...]:
    del scope
    if pair.value.kind in (Kind.LIST, Kind.MAPPING):
        raise pair.value.fail(f"should be one value, not {pair.value.kind}")
    return pair.key.read(tree_path), pair.value.scalar()


def _param(pair: Entry, scope: Scope) -> tuple[object, ...]:
    name = pair.key.choice(sorted(scope.params)) if scope.params else None
    if name is None:
        raise pair.key.fail("the file has no params")
    return name, pair.value.text() if pair.value.kind is Kind.TEXT else pair.value.integer()


def tree_path(text: str) -> str:
    """Read an absolute path into the checkpoint's tree."""
    if not text.startswith("/"):
        raise DocumentError(f"{text!r} is not a tree path", hint="it begins with /, such as /cfg/num_heads")
    return text


_COMPARED: dict[str, Callable[[Entry, Scope], tuple[object, ...]]] = {
    "shape": _shape,
    "dtype": _dtype,
    "tree": _tree,
    "param": _param,
}
