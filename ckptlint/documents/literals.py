"""Read the values that Python source states outright, without running it: constants, tables, lists, and calls by name with their arguments.

Names are followed to what was assigned to them before, tables and lists may be copied, joined and added to. Anything else is
`Unknown`, with its line: what only running the code would tell is never guessed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from ckptlint.errors import DocumentError

_MOST: Final = 4_000_000  # bytes of source
_COPIES: Final = frozenset({"copy", "deepcopy"})
_TABLES: Final = frozenset({"dict", "OrderedDict"})
_LISTS: Final = frozenset({"list", "tuple"})


@dataclass(frozen=True, slots=True)
class Unknown:
    """A value that only running the code would tell."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Called:
    """A call that is not made: the last part of the name that is called, and its arguments."""

    name: str
    arguments: tuple[object, ...]
    options: Mapping[str, object]
    line: int


@dataclass(slots=True)
class _Scope:
    """The names of a module, class or function, as they stand after its statements."""

    prefix: str
    outer: _Scope | None
    names: dict[str, object] = field(default_factory=dict)

    def find(self, name: str) -> object | None:
        scope: _Scope | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.outer
        return None


def literals(source: bytes, path: str) -> dict[str, object]:
    """All that the source assigns, by dotted name (`Class.attribute`, `function.variable`), in the order of the file."""
    if len(source) > _MOST:
        raise DocumentError(f"is larger than {_MOST:,} bytes, which no mapping needs", where=path)
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise DocumentError(f"is no Python: {error}", where=f"{path}:{line}" if line else path) from error
    except (RecursionError, MemoryError):
        raise DocumentError("is nested too deeply", where=path) from None
    scope = _Scope("", None)
    try:
        return dict(_run(tree.body, scope))
    except RecursionError:
        raise DocumentError("is nested too deeply", where=path) from None


def _run(statements: Iterable[ast.stmt], scope: _Scope) -> Iterator[tuple[str, object]]:
    """Follow the assignments of a scope in order; what other statements would do to a name makes it unknown."""
    inner: list[tuple[str, object]] = []
    for statement in statements:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            below = _Scope(f"{scope.prefix}{statement.name}.", scope)
            inner += _run(statement.body, below)
        else:
            _follow(statement, scope)
    yield from ((scope.prefix + name, value) for name, value in scope.names.items())
    yield from inner


def _follow(statement: ast.stmt, scope: _Scope) -> None:
    if isinstance(statement, ast.Assign):
        value = _value(statement.value, scope)
        for target in statement.targets:
            _assign(target, value, scope)
    elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
        _assign(statement.target, _value(statement.value, scope), scope)
    elif isinstance(statement, ast.AugAssign):
        _assign(statement.target, _joined(statement, statement.target, statement.value, scope), scope)
    elif isinstance(statement, ast.If):
        for branch in (*statement.body, *statement.orelse):
            _follow(branch, scope)
    elif isinstance(statement, ast.Return) and statement.value is not None and scope.prefix:
        scope.names.setdefault("return", _value(statement.value, scope))


def _assign(target: ast.expr, value: object, scope: _Scope) -> None:
    if isinstance(target, ast.Name):
        scope.names[target.id] = value
    elif isinstance(target, ast.Attribute):
        scope.names[target.attr] = value
    elif isinstance(target, ast.Subscript):
        table, key = _value(target.value, scope), _value(target.slice, scope)
        if isinstance(table, dict) and isinstance(key, (str, int)):
            table[key] = value


def _value(node: ast.expr, scope: _Scope) -> object:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Dict):
        return _table(node, scope)
    if isinstance(node, (ast.List, ast.Tuple)) and not any(isinstance(item, ast.Starred) for item in node.elts):
        return [_value(item, scope) for item in node.elts]
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.BitOr)):
        return _joined(node, node.left, node.right, scope)
    if isinstance(node, (ast.Name, ast.Attribute, ast.Subscript)):
        return _looked_up(node, scope)
    if isinstance(node, ast.Call):
        return _called(node, scope)
    return _unknown(node)


def _table(node: ast.Dict, scope: _Scope) -> object:
    found: dict[object, object] = {}
    for key, item in zip(node.keys, node.values, strict=True):
        value = _value(item, scope)
        if key is None:
            if not isinstance(value, dict):
                return _unknown(node)
            found.update(value)
            continue
        name = _value(key, scope)
        if not isinstance(name, (str, int, float, bytes, type(None))):
            return _unknown(key)
        found[name] = value
    return found


def _joined(whole: ast.expr | ast.stmt, left: ast.expr, right: ast.expr, scope: _Scope) -> object:
    one, other = _value(left, scope), _value(right, scope)
    if isinstance(one, str) and isinstance(other, str):
        return one + other
    if isinstance(one, list) and isinstance(other, list):
        return [*one, *other]
    if isinstance(one, dict) and isinstance(other, dict):
        return {**one, **other}
    if isinstance(one, Called) and isinstance(other, Called):
        return Called("|", (one, other), {}, one.line)
    return _unknown(whole)


def _looked_up(node: ast.Name | ast.Attribute | ast.Subscript, scope: _Scope) -> object:
    if isinstance(node, ast.Subscript):
        inside, key = _value(node.value, scope), _value(node.slice, scope)
        if isinstance(inside, dict) and isinstance(key, (str, int)) and key in inside:
            return inside[key]
        return _unknown(node)
    found = scope.find(node.id if isinstance(node, ast.Name) else node.attr)
    return _unknown(node) if found is None else found


def _called(node: ast.Call, scope: _Scope) -> object:
    function = node.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if isinstance(function, ast.Attribute) and name in _COPIES and not node.args:
        return _copy(_value(function.value, scope))
    starred = any(isinstance(item, ast.Starred) for item in node.args) or any(not word.arg for word in node.keywords)
    if not name or starred:
        return _unknown(node)
    arguments = tuple(_value(item, scope) for item in node.args)
    options = {word.arg: _value(word.value, scope) for word in node.keywords if word.arg}
    known = _known(name, arguments, options)
    return Called(name, arguments, options, node.lineno) if known is None else known


def _known(name: str, arguments: tuple[object, ...], options: dict[str, object]) -> object | None:
    """What a call is that builds a plain value or a pattern; None where it is any other."""
    if name in _TABLES and not arguments:
        return options
    if len(arguments) != 1 or options:
        return None
    if name in _COPIES or name in _TABLES or name in _LISTS:
        return _copy(arguments[0])
    return arguments[0] if name == "compile" and isinstance(arguments[0], str) else None


def _copy(value: object) -> object:
    if isinstance(value, dict):
        return dict(value)
    return list(value) if isinstance(value, list) else value


def _unknown(node: ast.expr | ast.stmt) -> Unknown:
    return Unknown(node.lineno, ast.unparse(node)[:80])
