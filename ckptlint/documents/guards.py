"""`when:`, the conditions of a migration."""

from __future__ import annotations

from collections.abc import Callable

from ckptlint.core.dtype import DType
from ckptlint.core.migration import Guard
from ckptlint.core.template import Selector
from ckptlint.core.tree_path import TreePattern
from ckptlint.documents.nodes import Entry, Kind, Node
from ckptlint.documents.scope import Scope, literal
from ckptlint.errors import DocumentError

TESTS = {
    "has": "a key that a selector matches is there",
    "lacks": "no key that a selector matches is there",
    "shape": "a key has this shape",
    "dtype": "a key has this dtype",
    "tree": "the tree has this scalar, or one of these, at a path",
    "type": "what is at a path of the tree is of this type",
    "present": "something is at a path of the tree, null included",
    "absent": "nothing is at a path of the tree",
    "falsy": "at a path of the tree is nothing, null, false, zero, or something empty",
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
    if test in ("present", "absent", "falsy"):
        return [Guard(test, (item.read(tree_pattern),), item.where) for item in node.one_or_more()]
    if test == "tree":
        return [_tree(pair) for pair in node.pairs()]
    compared = _COMPARED[test]
    return [Guard(test, compared(pair, scope), pair.value.where) for pair in node.pairs()]


def _shape(pair: Entry, scope: Scope) -> tuple[object, ...]:
    return literal(pair.key), tuple(scope.number(size) for size in pair.value.items())


def _dtype(pair: Entry, scope: Scope) -> tuple[object, ...]:
    del scope
    return literal(pair.key), pair.value.read(DType.parse)


def _tree(pair: Entry) -> Guard:
    path, node = pair.key.read(tree_pattern), pair.value
    if node.kind is Kind.MAPPING:
        raise node.fail(f"should be one value or a list of values, not {node.kind}")
    if node.kind is Kind.LIST:
        return Guard("in", (path, tuple(each.scalar() for each in node.one_or_more())), node.where)
    return Guard("tree", (path, node.scalar()), node.where)


def _type(pair: Entry, scope: Scope) -> tuple[object, ...]:
    del scope
    return pair.key.read(tree_pattern), pair.value.choice(TYPES)


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


def tree_pattern(text: str) -> str:
    """Read a path that may have captures, or begin with `./`."""
    return str(TreePattern.parse(text))


TYPES = (
    *("dict", "list", "tuple", "set", "tensor", "object", "class", "storage"),
    *("null", "bool", "int", "float", "number", "complex", "text", "bytes"),
)
_COMPARED: dict[str, Callable[[Entry, Scope], tuple[object, ...]]] = {
    "shape": _shape,
    "dtype": _dtype,
    "type": _type,
    "param": _param,
}
