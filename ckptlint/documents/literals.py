"""Read the values that Python source states outright, without running it: constants, tables, lists, and calls by name with their arguments.

Names are followed to what was assigned to them before, tables and lists may be copied, joined and added to, also in loops and
comprehensions over what is stated outright (`for i in range(12)`). Anything else is `Unknown`, with its line: what only running the code
would tell is never guessed, and what such code may have changed is not known any more.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from ckptlint.documents.plain_values import OF_TABLES, Allowance, Called, Unknown, counted, joined, made, part
from ckptlint.errors import DocumentError

_MOST: Final = 4_000_000  # bytes of source
_CHANGES: Final = frozenset(
    ["append", "extend", "update", "insert", "pop", "popitem", "remove", "clear", "setdefault", "sort", "reverse"]
)
_ARITHMETIC: Final[Mapping[type[ast.operator], Callable[[int, int], int]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}


@dataclass(slots=True)
class _Scope:
    """The names of a module, class or function, as they stand after its statements."""

    prefix: str
    outer: _Scope | None
    names: dict[str, object] = field(default_factory=dict)
    allowed: Allowance = field(default_factory=Allowance)  # of the whole file

    def inner(self, prefix: str) -> _Scope:
        return _Scope(prefix, self, allowed=self.allowed)

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
            below = _given(statement, scope).inner(f"{scope.prefix}{statement.name}.")
            inner += _run(statement.body, below)
        else:
            _follow(statement, scope)
    yield from ((scope.prefix + name, value) for name, value in scope.names.items())
    yield from inner


def _given(statement: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, scope: _Scope) -> _Scope:
    """The scope of a function's parameters, which only a call tells; of a class the one around it."""
    if isinstance(statement, ast.ClassDef):
        return scope
    given = scope.inner(scope.prefix)
    given.names = {
        each.arg: Unknown(each.lineno, each.arg) for each in ast.walk(statement.args) if isinstance(each, ast.arg)
    }
    return given


def _follow(statement: ast.stmt, scope: _Scope) -> None:
    if isinstance(statement, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
        _store(statement, scope)
    elif isinstance(statement, (ast.If, ast.With)):
        for branch in (*statement.body, *getattr(statement, "orelse", ())):
            _follow(branch, scope)
    elif isinstance(statement, ast.Return) and statement.value is not None and scope.prefix:
        scope.names.setdefault("return", _value(statement.value, scope))
    elif isinstance(statement, ast.For):
        _loop(statement, scope)
    elif isinstance(statement, ast.Expr):
        _change(statement, scope)
    elif isinstance(statement, (ast.While, ast.Try, ast.Match, ast.AsyncFor, ast.Delete)):
        _forget(statement, scope)


def _store(statement: ast.Assign | ast.AnnAssign | ast.AugAssign, scope: _Scope) -> None:
    if isinstance(statement, ast.AugAssign):
        _assign(statement.target, _added(statement, scope), scope)
    elif statement.value is not None:
        value = _value(statement.value, scope)
        for target in statement.targets if isinstance(statement, ast.Assign) else [statement.target]:
            _assign(target, value, scope)


def _added(statement: ast.AugAssign, scope: _Scope) -> object:
    """What `+=` makes; a list is added to in its place, as Python does."""
    one, other = _value(statement.target, scope), _value(statement.value, scope)
    if not isinstance(statement.op, (ast.Add, ast.BitOr)):
        return _unknown(statement)
    if isinstance(one, list) and isinstance(other, list) and scope.allowed.make(other):
        one.extend(other)
        return one
    return _joined(statement, one, other, scope)


def _loop(statement: ast.For, scope: _Scope) -> None:
    """Follow the body for each item of what is stated outright; else, or where turns may differ, forget what it changes."""
    items = _items(statement.iter, statement, scope)
    early = any(isinstance(each, (ast.If, ast.Break, ast.Continue, ast.Return)) for each in ast.walk(statement))
    if items is None or early or statement.orelse:
        _forget(statement, scope)
        return
    for item in items:
        _turn(statement, item, scope)
    if not scope.allowed.steps:
        _forget(statement, scope)


def _turn(statement: ast.For, item: object, scope: _Scope) -> None:
    if scope.allowed.steps:
        _assign(statement.target, item, scope)
        for each in statement.body:
            _follow(each, scope)


def _items(node: ast.expr, loop: ast.AST, scope: _Scope) -> list[object] | None:
    """What a loop runs over, where that is stated outright and short enough."""
    found = _value(node, scope)
    if isinstance(found, Called):
        found = counted(found) if scope.allowed.steps else None
    if isinstance(found, dict):
        found = list(found)
    if not isinstance(found, list) or not scope.allowed.loop(len(found), sum(1 for _ in ast.walk(loop))):
        return None
    return list(found)


def _change(statement: ast.Expr, scope: _Scope) -> None:
    """What a call does to the list or table that it is a method of."""
    call = statement.value
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
        return
    owner, name = _value(call.func.value, scope), call.func.attr
    if isinstance(owner, (list, dict)) and name in _CHANGES and not _filled(owner, name, call, scope):
        _forget(statement, scope)


def _filled(owner: list[object] | dict[object, object], name: str, call: ast.Call, scope: _Scope) -> bool:
    """Add what is stated outright; false where a call does anything else."""
    if len(call.args) != 1 or call.keywords:
        return False
    given = _value(call.args[0], scope)
    if not scope.allowed.make(given):
        return False
    if isinstance(owner, dict):
        known = name == "update" and isinstance(given, dict)
        owner.update(given if known and isinstance(given, dict) else {})
        return known
    if name == "append":
        owner.append(given)
        return True
    known = name == "extend" and isinstance(given, list)
    owner.extend(given if known and isinstance(given, list) else [])
    return known


def _forget(statement: ast.stmt, scope: _Scope) -> None:
    """Know no more what a statement may have changed: what it assigns, and what it calls a method of."""
    for node in ast.walk(statement):
        name = _last(node) if isinstance(getattr(node, "ctx", None), (ast.Store, ast.Del)) else ""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _CHANGES:
            name = _last(node.func.value)
        known = scope.find(name) if name else None
        if known is not None and not _is_registry(known):
            scope.names[name] = _unknown(statement)


def _is_registry(value: object) -> bool:
    """Whether a table has mappings as its entries: code that adds another leaves these as they are."""
    return isinstance(value, dict) and any(isinstance(each, (list, dict, Called)) for each in value.values())


def _last(node: ast.AST) -> str:
    """The last part of the name of a variable, or of that whose entry this is; '' of anything else."""
    while isinstance(node, ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _assign(target: ast.expr, value: object, scope: _Scope) -> None:
    if isinstance(target, ast.Name):
        scope.names[target.id] = value
    elif isinstance(target, ast.Attribute):
        scope.names[target.attr] = value
    elif isinstance(target, ast.Subscript):
        _put(target, value, scope)
    elif isinstance(target, (ast.Tuple, ast.List)):
        fits = isinstance(value, list) and len(value) == len(target.elts)
        values = value if fits and isinstance(value, list) else [_unknown(target)] * len(target.elts)
        for each, its in zip(target.elts, values, strict=True):
            _assign(each, its, scope)


def _put(target: ast.Subscript, value: object, scope: _Scope) -> None:
    """`table[key] = value`; under a key that nobody knows, the table is not known any more."""
    table, key = _value(target.value, scope), _value(target.slice, scope)
    if isinstance(table, dict) and isinstance(key, (str, int)):
        table[key] = value
    elif isinstance(table, (dict, list)) and _last(target) and not _is_registry(table):
        scope.names[_last(target)] = _unknown(target)


def _value(node: ast.expr, scope: _Scope) -> object:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Dict):
        return _table(node, scope)
    if isinstance(node, (ast.List, ast.Tuple)) and not any(isinstance(item, ast.Starred) for item in node.elts):
        return [_value(item, scope) for item in node.elts]
    if isinstance(node, (ast.BinOp, ast.JoinedStr, ast.ListComp, ast.DictComp)):
        return _made(node, scope)
    if isinstance(node, (ast.Name, ast.Attribute, ast.Subscript)):
        return _looked_up(node, scope)
    if isinstance(node, ast.Call):
        return _called(node, scope)
    return _unknown(node)


def _made(node: ast.BinOp | ast.JoinedStr | ast.ListComp | ast.DictComp, scope: _Scope) -> object:
    if isinstance(node, ast.BinOp):
        return _combined(node, scope)
    return _formatted(node, scope) if isinstance(node, ast.JoinedStr) else _comprehended(node, scope)


def _combined(node: ast.BinOp, scope: _Scope) -> object:
    one, other = _value(node.left, scope), _value(node.right, scope)
    if type(one) is int and type(other) is int and type(node.op) in _ARITHMETIC and max(abs(one), abs(other)) < 2**31:
        return _ARITHMETIC[type(node.op)](one, other)
    if isinstance(node.op, (ast.Add, ast.BitOr)):
        return _joined(node, one, other, scope)
    return _unknown(node)


def _formatted(node: ast.JoinedStr, scope: _Scope) -> object:
    """The text of an f-string of texts and whole numbers."""
    parts: list[str] = []
    for each in node.values:
        plain = (
            each.value
            if isinstance(each, ast.FormattedValue) and each.format_spec is None and each.conversion == -1
            else each
        )
        value = _value(plain, scope)
        if isinstance(plain, ast.FormattedValue) or not (_is_short(value) and scope.allowed.make(value)):
            return _unknown(node)
        parts.append(str(value))
    return "".join(parts)


def _is_short(value: object) -> bool:
    """Whether it is a text, or a number that Python writes out."""
    return isinstance(value, str) or (type(value) is int and abs(value) < 2**63)


def _comprehended(node: ast.ListComp | ast.DictComp, scope: _Scope) -> object:
    """The list or table of a comprehension over what is stated outright."""
    inner = scope.inner(scope.prefix)
    rows: list[tuple[object, object]] = []
    if not _each_turn(node, node.generators, inner, rows):
        return _unknown(node)
    if isinstance(node, ast.ListComp):
        return [value for _, value in rows]
    table = {key: value for key, value in rows if isinstance(key, (str, int))}
    return table if all(isinstance(key, (str, int)) for key, _ in rows) else _unknown(node)


def _each_turn(
    node: ast.ListComp | ast.DictComp,
    generators: list[ast.comprehension],
    scope: _Scope,
    rows: list[tuple[object, object]],
) -> bool:
    """Add the entries of all turns; false where something of them is not stated outright."""
    if not generators:
        if isinstance(node, ast.ListComp):
            rows.append((None, _value(node.elt, scope)))
        else:
            rows.append((_value(node.key, scope), _value(node.value, scope)))
        return True
    first, *others = generators
    items = None if first.ifs or first.is_async else _items(first.iter, node, scope)
    if items is None:
        return False
    for item in items:
        _assign(first.target, item, scope)
        if not _each_turn(node, others, scope, rows):
            return False
    return True


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


def _joined(whole: ast.expr | ast.stmt, one: object, other: object, scope: _Scope) -> object:
    found = joined(one, other) if scope.allowed.make(one, other) else None
    return _unknown(whole) if found is None else found


def _looked_up(node: ast.Name | ast.Attribute | ast.Subscript, scope: _Scope) -> object:
    if isinstance(node, ast.Subscript):
        inside, key = _value(node.value, scope), _value(node.slice, scope)
        if isinstance(inside, dict) and isinstance(key, (str, int)) and key in inside:
            return inside[key]
        return _unknown(node)
    found = scope.find(node.id if isinstance(node, ast.Name) else node.attr)
    return _unknown(node) if found is None else found


def _part(name: str, node: ast.expr, scope: _Scope) -> object | None:
    owner = _value(node, scope)
    return part(name, owner) if scope.allowed.make(owner) else None


def _called(node: ast.Call, scope: _Scope) -> object:
    function = node.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if isinstance(function, ast.Attribute) and not node.args and name in OF_TABLES:
        given = _part(name, function.value, scope)
        if given is not None:
            return given
    starred = any(isinstance(item, ast.Starred) for item in node.args) or any(not word.arg for word in node.keywords)
    if not name or starred:
        return _unknown(node)
    arguments = tuple(_value(item, scope) for item in node.args)
    options = {word.arg: _value(word.value, scope) for word in node.keywords if word.arg}
    known = made(name, arguments, options) if scope.allowed.make(*arguments) else None
    return Called(name, arguments, options, node.lineno) if known is None else known


def _unknown(node: ast.expr | ast.stmt) -> Unknown:
    try:
        text = ast.unparse(node)
    except ValueError:  # a number with more digits than Python writes out
        text = type(node).__name__
    return Unknown(node.lineno, text.partition("\n")[0][:80])
