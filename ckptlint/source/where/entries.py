"""Follow an expression to where one entry of the container that it makes is written: through lists, loops and helper functions."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ckptlint.source.where.library import Library
from ckptlint.source.where.modules import ClassCode, ModuleCode, dotted
from ckptlint.source.where.names import read_name
from ckptlint.source.where.registrations import Function

_CONTAINERS = ("Sequential", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict")
_TABLES = ("OrderedDict", "dict")
_LISTS = ("list", "tuple", "reversed")
_DEEPEST = 24  # steps from an expression to the entry
_MOST = 200  # expressions that an entry may be: of a list that is filled in more places nothing is said


@dataclass(frozen=True)
class Scope:
    """Where an expression stands: its function, the class that the function is a method of, and its module."""

    function: Function | None
    owner: ClassCode | None
    module: ModuleCode


@dataclass(frozen=True)
class Made:
    """An expression that may make an entry; `taken` are the names from the container to it that were followed."""

    node: ast.expr
    scope: Scope
    taken: int = 0


@dataclass(frozen=True)
class Entries:
    """Finds entries in the texts of a library."""

    library: Library

    def find(self, node: ast.expr, names: tuple[str, ...], scope: Scope) -> list[Made]:
        """Every expression that may make what `names` lead to from what `node` makes; itself where it cannot be followed."""
        found: list[Made] = []
        for made in self._follow(Made(node, scope), names, _DEEPEST):
            if len(found) == _MOST:
                return [Made(node, scope)]
            found.append(made)
        return found

    def _follow(self, at: Made, names: tuple[str, ...], depth: int) -> Iterator[Made]:
        node = at.node
        if depth == 0:
            yield at
        elif isinstance(node, ast.IfExp):
            for branch in (node.body, node.orelse):
                yield from self._follow(replace(at, node=branch), names, depth - 1)
        elif isinstance(node, ast.BoolOp):
            for branch in node.values:
                yield from self._follow(replace(at, node=branch), names, depth - 1)
        elif isinstance(node, ast.Name) and at.scope.function and at.scope.function.values.get(node.id):
            yield from self._local(at, node.id, names, depth)
        elif isinstance(node, ast.Call):
            yield from self._call(at, node, names, depth)
        else:
            yield at

    def _local(self, at: Made, name: str, names: tuple[str, ...], depth: int) -> Iterator[Made]:
        """What a local name was assigned, and what was added to it."""
        function = at.scope.function
        values = function.values.get(name, []) if function else []
        inner = [value for value in values if not (isinstance(value, ast.Name) and value.id == name)]
        if at.taken < len(names) and any(_is_list(value) for value in inner):
            yield from self._entry_of(inner[0], at, names, depth)
            return
        for value in inner:
            yield from self._follow(replace(at, node=value), names, depth - 1)

    def _call(self, at: Made, call: ast.Call, names: tuple[str, ...], depth: int) -> Iterator[Made]:
        name = dotted(call.func)
        last = name.rpartition(".")[2]
        if last in _CONTAINERS and at.taken < len(names):
            yield from self._container(at, call, names, depth)
            return
        helper = self._helper(name, at.scope)
        if helper is None:
            yield at
            return
        function, scope = helper
        for returned in function.returned:
            yield from self._follow(Made(returned, scope, at.taken), names, depth - 1)
        if not function.returned:
            yield at

    def _helper(self, name: str, scope: Scope) -> tuple[Function, Scope] | None:
        """The function that a call is of, where its text is there: a method of the same object, or a function."""
        own, _, method = name.partition(".")
        if scope.function and own == (scope.function.own or "self") and scope.owner is not None:
            for kind in self.library.order(scope.owner):
                if method in kind.methods:
                    return kind.methods[method], Scope(kind.methods[method], scope.owner, kind.module)
            return None
        found = self.library.function_called(name, scope.module) if name else None
        return (found[0], Scope(found[0], None, found[1])) if found else None

    def _container(self, at: Made, call: ast.Call, names: tuple[str, ...], depth: int) -> Iterator[Made]:
        """The entry of `Sequential(a, b)`, `ModuleList([...])`, `ModuleDict({...})` and their like."""
        if len(call.args) == 1 and not isinstance(call.args[0], ast.Starred) and not _is_single(call):
            yield from self._entry_of(call.args[0], at, names, depth)
        elif call.args:
            yield from self._item(call.args, at, names, depth)
        else:
            yield at

    def _entry_of(self, node: ast.expr, at: Made, names: tuple[str, ...], depth: int) -> Iterator[Made]:
        """The entry of a list or mapping: written down, made by a comprehension, filled elsewhere, or returned by a helper."""
        if depth == 0:
            yield at
            return
        inner = replace(at, taken=at.taken + 1)
        if isinstance(node, ast.List | ast.Tuple):
            yield from self._item(node.elts, at, names, depth)
        elif isinstance(node, ast.ListComp | ast.GeneratorExp):
            yield from self._pair(node.elt, inner, names, depth)
        elif isinstance(node, ast.DictComp):
            yield from self._follow(replace(inner, node=node.value), names, depth - 1)
        elif isinstance(node, ast.Dict):
            yield from self._of_table(node, at, names, depth)
        elif isinstance(node, ast.Name):
            yield from self._filled(node, at, names, depth)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mult):
            for side in (node.left, node.right) if isinstance(node.op, ast.Add) else (node.left,):
                yield from self._entry_of(side, at, names, depth - 1)
        elif isinstance(node, ast.Call):
            yield from self._of_call(node, at, names, depth)
        else:
            yield at

    def _of_call(self, call: ast.Call, at: Made, names: tuple[str, ...], depth: int) -> Iterator[Made]:
        name = dotted(call.func)
        last = name.rpartition(".")[2]
        if last in _TABLES and (call.keywords or not call.args):
            yield from self._of_keywords(call, at, names, depth)
        elif last in (*_TABLES, *_LISTS) and call.args:
            yield from self._entry_of(call.args[0], at, names, depth - 1)
        else:
            helper = self._helper(name, at.scope)
            for returned in helper[0].returned if helper else ():
                yield from self._entry_of(returned, replace(at, node=returned, scope=helper[1]), names, depth - 1)  # type: ignore[index]
            if helper is None or not helper[0].returned:
                yield at

    def _of_keywords(self, call: ast.Call, at: Made, names: tuple[str, ...], depth: int) -> Iterator[Made]:
        same = [each.value for each in call.keywords if each.arg == names[at.taken]]
        for value in same:
            yield from self._follow(replace(at, node=value, taken=at.taken + 1), names, depth - 1)
        if not same:
            yield at

    def _filled(self, node: ast.Name, at: Made, names: tuple[str, ...], depth: int) -> Iterator[Made]:
        """The entry of a list that is a local name: one that is written down, else one of those that are added."""
        function = at.scope.function
        if function is None or node.id not in {*function.values, *function.additions}:
            yield at
            return
        for value in function.values.get(node.id, []):
            counted = isinstance(value, ast.List | ast.Tuple) and names[at.taken].isdecimal()
            if counted and int(names[at.taken]) >= len(value.elts):  # type: ignore[attr-defined]
                continue
            yield from self._entry_of(value, at, names, depth - 1)
        for statement, value, several in function.additions.get(node.id, []):
            if several:
                yield from self._entry_of(value, at, names, depth - 1)
            elif _may_be(statement, function, names[at.taken]):
                yield from self._pair(value, replace(at, taken=at.taken + 1), names, depth)

    def _pair(self, value: ast.expr, inner: Made, names: tuple[str, ...], depth: int) -> Iterator[Made]:
        """An entry that may be written with its name: `("conv", nn.Conv2d(...))`."""
        if isinstance(value, ast.Tuple) and len(value.elts) == 2:
            known = inner.scope.function.known if inner.scope.function else {}
            if not read_name(value.elts[0], known).matches(names[inner.taken - 1]):
                return
            value = value.elts[1]
        yield from self._follow(replace(inner, node=value), names, depth - 1)

    def _item(self, items: list[ast.expr], at: Made, names: tuple[str, ...], depth: int) -> Iterator[Made]:
        """The entry of a list that is written down; where the number of its items is not, any of them."""
        name = names[at.taken]
        inner = replace(at, taken=at.taken + 1)
        paired = items and all(isinstance(each, ast.Tuple) and len(each.elts) == 2 for each in items)
        if paired:
            for each in items:
                yield from self._pair(each, inner, names, depth)
            return
        before = next((n for n, each in enumerate(items) if isinstance(each, ast.Starred)), len(items))
        if name.isdecimal() and int(name) < before:
            yield from self._follow(replace(inner, node=items[int(name)]), names, depth - 1)
            return
        for each in items[before:]:
            if isinstance(each, ast.Starred):
                yield from self._entry_of(each.value, at, names, depth - 1)
            else:
                yield from self._follow(replace(inner, node=each), names, depth - 1)
        if before == len(items):
            yield at

    def _of_table(self, node: ast.Dict, at: Made, names: tuple[str, ...], depth: int) -> Iterator[Made]:
        known = at.scope.function.known if at.scope.function else {}
        inner = replace(at, taken=at.taken + 1)
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                yield from self._entry_of(value, at, names, depth - 1)
            elif read_name(key, known).matches(names[at.taken]):
                yield from self._follow(replace(inner, node=value), names, depth - 1)


def _is_single(call: ast.Call) -> bool:
    """Whether the one argument of a container is an entry itself: of `Sequential` all but a mapping are."""
    if dotted(call.func).rpartition(".")[2] != "Sequential":
        return False
    argument = call.args[0]
    table = isinstance(argument, ast.Dict) or (
        isinstance(argument, ast.Call) and dotted(argument.func).rpartition(".")[2] in _TABLES
    )
    return not table and not isinstance(argument, ast.Name)


def _is_list(node: ast.expr) -> bool:
    return isinstance(node, ast.List | ast.Tuple | ast.Dict | ast.ListComp | ast.DictComp) or (
        isinstance(node, ast.Call) and dotted(node.func).rpartition(".")[2] in (*_TABLES, *_LISTS)
    )


def _may_be(statement: ast.stmt, function: Function, name: str) -> bool:
    """Whether `table[key] = value` may be about a name; of other ways to add an entry every one may."""
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    subscripts = [each for each in targets if isinstance(each, ast.Subscript)]
    return not subscripts or any(read_name(each.slice, function.known).matches(name) for each in subscripts)
