"""Where a class, or any function, registers modules, parameters and buffers: every statement that gives one its name."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from ckptlint.source.where.names import Name, read_name

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_REGISTERS = ("register_buffer", "register_parameter", "register_module", "add_module", "__setattr__")
_FILLS = ("append", "extend", "insert", "update", "add_module", "register_module")  # of containers
_TABLES = ("_modules", "_parameters", "_buffers")
_ANY = Name((None,))


@dataclass(frozen=True)
class Registration:
    """A statement that registers `path` below `self` (attributes, then entries of containers), made of `value`.

    `adds` is true where it adds entries to a container instead: what they are called, their order says. `kind` is `buffer`, `parameter`
    or '' where the value decides. `several` says that the value it adds holds the entries, and is none itself,
    `handed` that it is what a class hands to the one that it inherits from.
    """

    path: tuple[Name, ...]
    value: ast.expr | None
    statement: ast.stmt
    method: str
    adds: bool = False
    kind: str = ""
    several: bool = False
    handed: bool = False

    def defines(self, names: tuple[str, ...]) -> bool:
        """Whether it registers what these names lead to."""
        if len(self.path) != len(names) - (1 if self.adds else 0):
            return False
        return all(own.matches(name) for own, name in zip(self.path, names, strict=False))

    @property
    def exactness(self) -> int:
        return min((name.exactness for name in self.path), default=0)

    @property
    def is_none(self) -> bool:
        return isinstance(self.value, ast.Constant) and self.value.value is None


@dataclass(frozen=True)
class Function:
    """A function, and what its names are assigned: all values, in the order of the lines."""

    node: ast.FunctionDef | ast.AsyncFunctionDef
    own: str = ""  # what it calls its object, '' where it is no method

    @cached_property
    def statements(self) -> list[ast.stmt]:
        return list(_statements(self.node.body))

    @cached_property
    def known(self) -> Mapping[str, ast.expr | ast.For | ast.comprehension]:
        """For names of names: the latest value of each local name, or the loop over it."""
        found: dict[str, ast.expr | ast.For | ast.comprehension] = {}
        for statement in self.statements:
            for target, value in _assigned(statement):
                if isinstance(target, ast.Name):
                    found[target.id] = value
            if isinstance(statement, ast.For):
                found.update({each.id: statement for each in ast.walk(statement.target) if isinstance(each, ast.Name)})
        return found

    @cached_property
    def values(self) -> Mapping[str, list[ast.expr]]:
        """Every value that a local name is assigned, or that is added to the list it is."""
        found: dict[str, list[ast.expr]] = {}
        for statement in self.statements:
            for target, value in _assigned(statement):
                if isinstance(target, ast.Name):
                    found.setdefault(target.id, []).append(value)
        return found

    @cached_property
    def additions(self) -> Mapping[str, list[tuple[ast.stmt, ast.expr, bool]]]:
        """What is added to each local list or mapping: the statement, the value, and whether it is one entry or several."""
        found: dict[str, list[tuple[ast.stmt, ast.expr, bool]]] = {}
        for statement in self.statements:
            for target, value, several in _added(statement):
                if isinstance(target, ast.Name):
                    found.setdefault(target.id, []).append((statement, value, several))
        return found

    @cached_property
    def branches(self) -> Mapping[int, Mapping[int, str]]:
        """By statement, the branch that it is in of each condition around it; both by identity."""
        found: dict[int, Mapping[int, str]] = {}
        work: list[tuple[list[ast.stmt], Mapping[int, str]]] = [(self.node.body, {})]
        while work:
            body, around = work.pop()
            for statement in body:
                found[id(statement)] = around
                for name, block in _blocks(statement):
                    work.append((block, {**around, id(statement): name} if _divides(statement) else around))
        return found

    @cached_property
    def guards(self) -> Mapping[int, list[tuple[str, ast.expr]]]:
        """By statement, by identity, what decides whether and how often it runs: conditions with their branch, and loops."""
        found: dict[int, list[tuple[str, ast.expr]]] = {}
        work: list[tuple[list[ast.stmt], list[tuple[str, ast.expr]]]] = [(self.node.body, [])]
        while work:
            body, around = work.pop()
            for statement in body:
                found[id(statement)] = around
                decides = _decides(statement)
                for name, block in _blocks(statement):
                    work.append((block, [*around, (name, decides)] if decides is not None else around))
        return found

    @cached_property
    def returned(self) -> list[ast.expr]:
        return [each.value for each in self.statements if isinstance(each, ast.Return) and each.value is not None]

    @cached_property
    def calls(self) -> frozenset[str]:
        """The methods of its own object that it calls."""
        nodes = (node.func for node in ast.walk(self.node) if isinstance(node, ast.Call))
        return frozenset(
            each.attr for each in nodes if isinstance(each, ast.Attribute) and _is(each.value, self.own or "self")
        )

    def registrations(self, owner: str | None = None) -> Iterator[Registration]:
        """What it registers in its object, or in what it calls `owner`."""
        name = owner or self.own
        if not name:
            return
        for statement in self.statements:
            yield from _registered(statement, name, self.known, self.node.name)


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """All statements of a body and of the blocks in it, nested functions among them, in the order of the lines."""
    work = list(reversed(body))
    while work:
        statement = work.pop()
        yield statement
        inner = [each for _, block in _blocks(statement) for each in block]
        work += sorted(inner, key=lambda each: -each.lineno)


def _blocks(statement: ast.stmt) -> Iterator[tuple[str, list[ast.stmt]]]:
    """The blocks of a statement, each with a name of its own; a class is none of the function's business."""
    if isinstance(statement, ast.ClassDef):
        return
    for name in ("body", "orelse", "finalbody"):
        yield name, getattr(statement, name, [])
    for number, each in enumerate([*getattr(statement, "handlers", []), *getattr(statement, "cases", [])]):
        yield f"{number}", each.body


def _decides(statement: ast.stmt) -> ast.expr | None:
    if isinstance(statement, ast.If | ast.While):
        return statement.test
    if isinstance(statement, ast.For | ast.AsyncFor):
        return statement.iter
    return statement.subject if isinstance(statement, ast.Match) else None


def _divides(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If | ast.Match)


def _assigned(statement: ast.stmt) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Each target of an assignment with its value; of `a, b = x, y` each with its own."""
    if isinstance(statement, ast.Assign):
        for target in statement.targets:
            yield from _unpacked(target, statement.value)
    elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
        yield statement.target, statement.value
    for node in ast.walk(statement) if _may_name(statement) else ():
        if isinstance(node, ast.NamedExpr):
            yield node.target, node.value


def _may_name(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr | ast.Assign | ast.Return)


def _unpacked(target: ast.expr, value: ast.expr) -> Iterator[tuple[ast.expr, ast.expr]]:
    if not isinstance(target, ast.Tuple | ast.List):
        yield target, value
        return
    same = isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(target.elts)
    values = value.elts if same and isinstance(value, ast.Tuple | ast.List) else [value] * len(target.elts)
    for each, its in zip(target.elts, values, strict=True):
        yield from _unpacked(each.value if isinstance(each, ast.Starred) else each, its)


def _added(statement: ast.stmt) -> Iterator[tuple[ast.expr, ast.expr, bool]]:
    """`x.append(value)`, `x += [value]`, `x[name] = value`: the container, the value, and whether that holds several entries."""
    if isinstance(statement, ast.AugAssign) and isinstance(statement.op, ast.Add):
        yield statement.target, statement.value, True
    for call in _calls_of(statement):
        if isinstance(call.func, ast.Attribute) and call.func.attr in _FILLS and call.args:
            several = call.func.attr in ("extend", "update")
            yield call.func.value, call.args[-1], several
    if isinstance(statement, ast.Assign):
        for target in statement.targets:
            if isinstance(target, ast.Subscript):
                yield target.value, statement.value, False


def _calls_of(statement: ast.stmt) -> Iterator[ast.Call]:
    """The call that a statement is, or those that a comprehension in its place makes."""
    value = getattr(statement, "value", None)
    if isinstance(statement, ast.Expr | ast.Assign | ast.AnnAssign) and isinstance(value, ast.Call):
        yield value
    elif isinstance(statement, ast.Expr) and isinstance(value, ast.ListComp) and isinstance(value.elt, ast.Call):
        yield value.elt


def _registered(
    statement: ast.stmt, own: str, known: Mapping[str, ast.expr | ast.For | ast.comprehension], method: str
) -> Iterator[Registration]:
    for target, value in _assigned(statement):
        path = _path(target, own, known)
        if path:
            yield Registration(path, value, statement, method)
    if isinstance(statement, ast.AugAssign):
        path = _path(statement.target, own, known)
        if path:
            yield Registration(path, statement.value, statement, method, adds=True, several=True)
    for call in _calls_of(statement):
        yield from _by_call(call, own, known, statement, method)


def _by_call(
    call: ast.Call,
    own: str,
    known: Mapping[str, ast.expr | ast.For | ast.comprehension],
    statement: ast.stmt,
    method: str,
) -> Iterator[Registration]:
    function = call.func
    if isinstance(function, ast.Name) and function.id == "setattr" and len(call.args) == 3:
        path = _path(call.args[0], own, known)
        if path is not None:
            yield Registration((*path, read_name(call.args[1], known)), call.args[2], statement, method)
    if not isinstance(function, ast.Attribute):
        return
    path = _path(function.value, own, known)
    if path is None:
        return
    if function.attr in _REGISTERS:
        yield from _by_name(call, function.attr, path, known, (statement, method))
    elif function.attr in _FILLS and path and call.args:
        several = function.attr in ("extend", "update")
        yield Registration(path, call.args[-1], statement, method, adds=True, several=several)


def _by_name(
    call: ast.Call,
    function: str,
    path: tuple[Name, ...],
    known: Mapping[str, ast.expr | ast.For | ast.comprehension],
    where: tuple[ast.stmt, str],
) -> Iterator[Registration]:
    """`register_buffer("name", value)` and its like."""
    given = {each.arg: each.value for each in call.keywords if each.arg}
    name = call.args[0] if call.args else given.get("name")
    value = (
        call.args[1]
        if len(call.args) > 1
        else next((given[key] for key in ("tensor", "param", "module") if key in given), None)
    )
    if name is not None:
        kind = {"register_buffer": "buffer", "register_parameter": "parameter"}.get(function, "")
        yield Registration((*path, read_name(name, known)), value, *where, kind=kind)


def _path(
    node: ast.expr, own: str, known: Mapping[str, ast.expr | ast.For | ast.comprehension]
) -> tuple[Name, ...] | None:
    """The names from an object to what an expression is: `self.layers[0].norm`; None where it is nothing of the object's."""
    names: list[Name] = []
    while not _is(node, own):
        if isinstance(node, ast.Attribute):
            names.append(Name((node.attr,)))
            node = node.value
        elif isinstance(node, ast.Subscript):
            names.append(read_name(node.slice, known) if not isinstance(node.slice, ast.Slice) else _ANY)
            node = node.value
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "getattr"
            and len(node.args) > 1
        ):
            names.append(read_name(node.args[1], known))
            node = node.args[0]
        else:
            return None
    names.reverse()
    if len(names) > 1 and names[0].literal in _TABLES:
        del names[0]
    return tuple(names)


def _is(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name
