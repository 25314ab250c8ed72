"""The line that defines a key: found by the classes of a model's modules, in the text of these classes and of what they inherit from.

A key's *owner* is the deepest module on its path whose class is the project's and registers the next name. What torch's own containers
hold (`Sequential`, `ModuleList` ...) belongs to the statement that made the container, down to the expression that made the entry where
that is in the statement; entries that are added later belong to the statement that adds them. A statement further out wins where it
registers the same place again (`self.backbone.fc = ...`, `model.head = ...` in a factory). Where branches differ, the class that the
module has in the lock says which was taken.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ckptlint.core.place import Definition, Place
from ckptlint.source.where.choosing import Choice, Chooser, Wanted, names_within
from ckptlint.source.where.entries import Entries, Made, Scope
from ckptlint.source.where.library import Library
from ckptlint.source.where.modules import ClassCode, ModuleCode, dotted
from ckptlint.source.where.names import Name
from ckptlint.source.where.registrations import Function, Registration

_TORCH = "torch."
_CONTAINERS = ("Sequential", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict")
_LONGEST = 160  # characters of code that a place says


@dataclass(frozen=True)
class _Step:
    """A registration on the way to a key: `start` names lead to its owner, `end` to what it registers."""

    registration: Registration
    scope: Scope
    owner: str
    start: int
    end: int
    others: tuple[Registration, ...] = ()


@dataclass
class Keys:
    """Finds the definitions of one model's keys: `modules` is the class of each of its modules, `factory` what builds it."""

    library: Library
    modules: Mapping[str, str]
    factory: str = ""
    parameters: frozenset[str] | None = None
    _known: dict[tuple[object, ...], Choice | None] = field(default_factory=dict)

    def definition(self, key: str) -> Definition | None:
        """Where a key, or a module, is defined; None where the text of no class on its path says it."""
        names = tuple(key.split("."))
        steps = self._steps(key, names)
        if not steps:
            return self._from_factory(names)
        return self._definition(steps, names)

    def neighbourhood(self, key: str) -> Definition | None:
        """Where a key would be defined that is not there: the nearest module on its path that is, else the factory."""
        names = tuple(key.split("."))
        for length in range(len(names) - 1, -1, -1):
            path = ".".join(names[:length])
            kind = self._class(path)
            if kind is not None:
                made = self.definition(path) if length else None
                flow = (*made.flow, _of_class(kind)) if made else (_of_class(kind),)
                return Definition(flow[-1], flow, sure=False)
            if length and path in self.modules:
                found = self.definition(path)
                if found is not None:
                    return replace(found, sure=False)
        built = self._factory()
        if built is None:
            return None
        place = _place(built[1], built[0].node, built[0].node.name, first_line=True)
        return Definition(place, (place,), sure=False)

    # -- the way to a key

    def _steps(self, key: str, names: tuple[str, ...]) -> list[_Step]:
        found: list[_Step] = []
        for start in range(len(names)):
            kind = self._class(".".join(names[:start]))
            step = self._step(kind, key, names, start) if kind is not None else None
            if step is not None:
                found.append(step)
        return self._overridden(found, key, names)

    def _class(self, path: str) -> ClassCode | None:
        name = self.modules.get(path, "")
        return self.library.find_class(name) if name and not name.startswith(_TORCH) else None

    def _step(self, kind: ClassCode, key: str, names: tuple[str, ...], start: int) -> _Step | None:
        wanted = self._wanted(key, names, start + 1)
        memo = (id(kind.node), names[start], wanted)
        if memo not in self._known:
            self._known[memo] = Chooser(self.library, kind).choose((names[start],), wanted) or self._inherited(
                kind, names[start]
            )
        chosen = self._known[memo]
        if chosen is None:
            return None
        registration, scope, others = chosen
        step = _Step(registration, scope, kind.name, start, start + 1, others)
        return self._added(step, kind, key, names)

    def _added(self, step: _Step, kind: ClassCode, key: str, names: tuple[str, ...]) -> _Step:
        """The statement that adds the entry to the container, where it is one of the owner's own: `self.layers.append(...)`."""
        end = step.end
        while end < len(names) and self._holds(names[:end]):
            end += 1
            wanted = self._wanted(key, names, end)
            chosen = Chooser(self.library, kind).choose(names[step.start : end], wanted, adding=True)
            if chosen is not None and not self._written(step, names, end):
                step = _Step(chosen[0], chosen[1], kind.name, step.start, end, chosen[2])
        return step

    def _written(self, step: _Step, names: tuple[str, ...], end: int) -> bool:
        """Whether the statement itself says what makes the entry, with the class that it has."""
        made = self._made(step, names[:end])
        return made is not None and step.end + made.taken >= end and self._fits(made, names[:end])

    def _holds(self, path: Sequence[str]) -> bool:
        """Whether a module is a container of torch's, or of a class that is nothing more."""
        return self.modules.get(".".join(path), "").rpartition(".")[2] in _CONTAINERS

    def _wanted(self, key: str, names: tuple[str, ...], end: int) -> Wanted:
        """What is known of what the first `end` names lead to."""
        kind = self.modules.get(".".join(names[:end]), "").rpartition(".")[2]
        if end < len(names) or self.parameters is None:
            return Wanted(kind)
        return Wanted(kind, "parameter" if key in self.parameters else "buffer" if not kind else "")

    def _inherited(self, kind: ClassCode, name: str) -> Choice | None:
        """What a class of torch's registers for its subclass: `super().__init__(nn.Conv2d(...), nn.BatchNorm2d(...))`."""
        foreign = [each for each in self.library.foreign_bases(kind) if each.startswith("torch.nn.")]
        base = next((last for each in foreign if (last := each.rpartition(".")[2]) != "Module"), "")
        for each in self.library.order(kind) if base else ():
            method = each.methods.get("__init__")
            for statement in method.statements if method else ():
                value = getattr(statement, "value", None)
                if method and isinstance(statement, ast.Expr) and isinstance(value, ast.Call) and _is_init(value, base):
                    given = value.args[0 if _is_super(value) else 1 :]
                    made = ast.copy_location(ast.Call(ast.Name(base), given, value.keywords), value)
                    return (
                        Registration((Name((name,)),), made, statement, "__init__", handed=True),
                        Scope(method, kind, each.module),
                        (),
                    )
        return None

    def _overridden(self, steps: list[_Step], key: str, names: tuple[str, ...]) -> list[_Step]:
        """The steps, ended by one from further out where that registers as much of the key, and later."""
        deepest = steps[-1].end if steps else 1
        for number, step in enumerate(steps):
            kind = self._class(".".join(names[: step.start]))
            found = self._outer(kind, key, names, step.start, deepest) if kind else None
            if found is not None:
                return [*steps[:number], found]
        return steps

    def _outer(self, kind: ClassCode, key: str, names: tuple[str, ...], start: int, deepest: int) -> _Step | None:
        for end in range(len(names), max(deepest, start + 2) - 1, -1):
            chosen = Chooser(self.library, kind).choose(names[start:end], self._wanted(key, names, end), literal=True)
            if chosen is not None:
                return _Step(chosen[0], chosen[1], kind.name, start, end, chosen[2])
        return None

    # -- what is said of it

    def _definition(self, steps: list[_Step], names: tuple[str, ...]) -> Definition:
        flow = [_place(step.scope.module, step.registration.statement, step.owner) for step in steps]
        last, place = steps[-1], flow[-1]
        made = self._made(last, names)
        if made is not None:
            inside = made.scope.module is last.scope.module and _within(made.node, last.registration.statement)
            narrow = _place(made.scope.module, made.node, _named(made.scope, last.owner))
            if inside:
                place = flow[-1] = narrow
            else:
                flow.append(narrow)
        place, flow = self._own(place, flow, steps)
        related = tuple(_place(last.scope.module, each.statement, last.owner) for each in last.others)
        late = self._from_factory(names, overriding=True)
        if late is not None:
            return replace(late, flow=(*late.flow, *flow), related=(place,))
        return Definition(place, tuple(dict.fromkeys(flow)), related)

    def _own(self, place: Place, flow: list[Place], steps: list[_Step]) -> tuple[Place, list[Place]]:
        """The deepest place in the project itself, where the last is in an installed package."""
        if steps[-1].scope.module.own:
            return place, flow
        own = [at for at, step in zip(flow, steps, strict=False) if step.scope.module.own]
        return (own[-1] if own else place), flow

    def _made(self, step: _Step, names: tuple[str, ...]) -> Made | None:
        """The expression that makes what is behind a registration, as far as it can be followed."""
        value = step.registration.value
        rest = names[step.end :]
        if step.registration.handed:
            rest = names[step.start :]
        if value is None or not rest or step.registration.several:
            return None
        depth = self._depth(names, step.start if step.registration.handed else step.end)
        found = Entries(self.library).find(value, rest[: depth or 1], step.scope)
        start = step.start if step.registration.handed else step.end
        fitting = [each for each in found if each.taken and self._fits(each, names[: start + each.taken])]
        taken = fitting or [each for each in found if each.taken]
        return max(taken, key=lambda each: each.taken, default=None)

    def _depth(self, names: tuple[str, ...], end: int) -> int:
        """How many names behind `end` are entries of torch's containers."""
        depth = 0
        while end + depth < len(names) and self._holds(names[: end + depth]):
            depth += 1
        return depth

    def _fits(self, made: Made, path: tuple[str, ...]) -> bool:
        """Whether an expression names the class of the module that it should make, or no class."""
        kind = self.modules.get(".".join(path), "").rpartition(".")[2]
        said = names_within(made.node)
        return not kind or kind in said or not any(each[:1].isupper() for each in said)

    # -- factories

    def _factory(self) -> tuple[Function, ModuleCode] | None:
        place, _, name = self.factory.rpartition(":")
        module = place.replace("\\", "/").rpartition("/")[2].removesuffix(".py") if place.endswith(".py") else place
        return self.library.find_function(f"{module}.{name}") if module and name else None

    def _from_factory(self, names: tuple[str, ...], *, overriding: bool = False) -> Definition | None:
        """What a factory function registers in the model that it returns, or the entry of the container that it returns."""
        found = self._factory()
        if found is None:
            return None
        function, module = found
        scope = Scope(function, None, module)
        for returned in function.returned:
            late = self._late(returned, function, names)
            if late is not None:
                place = _place(module, late.statement, function.node.name)
                return Definition(place, (place,))
            if overriding:
                continue
            made = [each for each in Entries(self.library).find(returned, names, scope) if each.taken]
            fitting = [each for each in made if self._fits(each, names[: each.taken])] or made
            if fitting:
                places = [_place(module, returned, function.node.name)]
                narrow = _place(fitting[0].scope.module, fitting[0].node, function.node.name)
                inside = fitting[0].scope.module is module and _within(fitting[0].node, returned)
                places = [narrow] if inside else [*places, narrow]
                return Definition(places[0], tuple(places))
        return None

    @staticmethod
    def _late(returned: ast.expr, function: Function, names: tuple[str, ...]) -> Registration | None:
        if not isinstance(returned, ast.Name):
            return None
        exact = (
            each
            for each in function.registrations(returned.id)
            if each.path and not each.adds and not each.is_none and all(name.literal is not None for name in each.path)
        )
        found = [each for each in exact if each.defines(names[: len(each.path)]) and len(each.path) <= len(names)]
        return found[-1] if found else None


def _is_init(call: ast.Call, base: str) -> bool:
    """Whether a call is `super().__init__(...)`, or `nn.Base.__init__(self, ...)`."""
    return _is_super(call) or dotted(call.func).endswith(f"{base}.__init__")


def _is_super(call: ast.Call) -> bool:
    function = call.func
    if not (isinstance(function, ast.Attribute) and function.attr == "__init__"):
        return False
    return isinstance(function.value, ast.Call) and dotted(function.value.func) == "super"


def _named(scope: Scope, owner: str) -> str:
    if scope.function is None or scope.owner is not None:
        return scope.owner.name if scope.owner is not None else owner
    return scope.function.node.name


def _within(node: ast.expr, statement: ast.stmt | ast.expr) -> bool:
    start, end = (statement.lineno, statement.col_offset), (statement.end_lineno or 0, statement.end_col_offset or 0)
    return start <= (node.lineno, node.col_offset) and (node.end_lineno or 0, node.end_col_offset or 0) <= end


def _of_class(kind: ClassCode) -> Place:
    """A class where something is missing from it: its `__init__`, else its own line."""
    method = kind.methods.get("__init__")
    return _place(kind.module, method.node if method else kind.node, kind.name, first_line=True)


def _place(module: ModuleCode, node: ast.stmt | ast.expr, owner: str, *, first_line: bool = False) -> Place:
    line = module.lines[node.lineno - 1] if node.lineno <= len(module.lines) else ""
    column = _column(line, node.col_offset)
    code = line[column - 1 :].strip()
    said = f"{owner}: {code[:_LONGEST]}"
    if first_line:
        return Place(module.path, node.lineno, column, node.lineno, len(line) + 1, said, module.revision)
    last_number = node.end_lineno or node.lineno
    last = module.lines[last_number - 1] if last_number <= len(module.lines) else ""
    end = _column(last, node.end_col_offset or 0)
    return Place(module.path, node.lineno, column, last_number, end, said, module.revision)


def _column(line: str, offset: int) -> int:
    """A column in characters from 1, of an offset in bytes."""
    return offset + 1 if line.isascii() else len(line.encode()[:offset].decode(errors="ignore")) + 1


def distinct(definitions: Iterable[Definition]) -> Iterator[Place]:
    """The places of definitions, each once."""
    yield from dict.fromkeys(each.place for each in definitions)
