"""Do the steps of `tree:` to a tree that is being edited, and keep a record of what each changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ckptlint.core.guard import Guard
from ckptlint.core.paths import step as written_key
from ckptlint.core.tree import Dict, Global, List, Node, Set, Tuple, Value
from ckptlint.core.tree_path import Binding, Route, TreePattern, TreeTarget, written
from ckptlint.core.tree_steps import (
    ComputeValue,
    CopyPlace,
    DeletePlaces,
    Each,
    Plain,
    Refuse,
    RenameClasses,
    RenamePlaces,
    SetValue,
    TreeStep,
    Unmake,
)
from ckptlint.engine.faults import BAD_PLACE, MATCHES_NOTHING, REFUSED, PlanFaults, fault
from ckptlint.engine.guards import Scene
from ckptlint.engine.held import reached
from ckptlint.engine.numbers import computed
from ckptlint.engine.params import Params
from ckptlint.engine.tree_editor import Found, TreeEditor, mark
from ckptlint.engine.tree_moves import delete, move
from ckptlint.engine.tree_routes import Routes
from ckptlint.engine.tree_words import in_short
from ckptlint.errors import CkptlintError, PlanError

_MOST_BINDINGS = 1_000_000
_IDLE = "say `optional: true` where it may be absent"


@dataclass(frozen=True, slots=True)
class TreeChange:
    """One place that a step changed: what stood there and what does now, in words ('' for nothing)."""

    form: str
    place: str
    before: str
    after: str
    where: str = ""
    reason: str = ""


@dataclass(slots=True)
class TreeRun:
    """The tree steps of one migration: `base` is where the section lies that `./` means, `scene` what conditions see of its keys."""

    editor: TreeEditor
    scene: Scene
    base: Route = ()
    classes: dict[str, str] = field(default_factory=dict)
    changes: list[TreeChange] = field(default_factory=list)

    @property
    def params(self) -> Params:
        return self.scene.params

    def run(self, one: TreeStep) -> None:
        """Do one step; `PlanFaults` where it does not fit, at its place in the file."""
        try:
            self._run(one)
        except PlanFaults:
            raise
        except CkptlintError as error:
            raise fault(BAD_PLACE, error.message, where=error.where or one.where, hint=error.hint) from error

    def _run(self, one: TreeStep) -> None:
        match one.action:
            case SetValue() | ComputeValue() | Unmake():
                for binding in self._active(one):
                    self._value(one, binding)
            case CopyPlace() as action:
                for binding in self._ranged(one):
                    self._copy(one, action, binding)
            case RenamePlaces() as action:
                self._rename(one, action)
            case DeletePlaces() as action:
                self._delete(one, action)
            case Refuse() | RenameClasses() as action:
                if self._holds(one.when, Binding()):
                    self._whole(one, action)

    def _value(self, one: TreeStep, binding: Binding) -> None:
        match one.action:
            case SetValue() as action:
                self._set(one, action, binding)
            case ComputeValue() as action:
                self._compute(one, action, binding)
            case Unmake(made):
                self._unmake(one, made, binding)

    def _whole(self, one: TreeStep, action: Refuse | RenameClasses) -> None:
        if isinstance(action, Refuse):
            raise fault(REFUSED, action.message, where=one.where)
        self._rename_classes(one, action)

    # --- what a step ranges over

    def _ranged(self, one: TreeStep) -> Iterator[Binding]:
        bindings: list[Binding] = [Binding()]
        for each in one.each:
            bindings = [more for binding in bindings for more in self._ranging(one, each, binding)]
            if len(bindings) > _MOST_BINDINGS:
                raise PlanError(f"`each` ranges over more than {_MOST_BINDINGS} members")
        return iter(bindings)

    def _active(self, one: TreeStep) -> Iterator[Binding]:
        return (binding for binding in self._ranged(one) if self._holds(one.when, binding))

    def _ranging(self, one: TreeStep, each: Each, binding: Binding) -> Iterator[Binding]:
        pattern = each.path
        if pattern is None:
            for text in each.listed:
                yield binding.joined(Binding({each.name: text}))
            return
        found = list(self.editor.find(pattern, self.base, binding))
        if not found and not one.optional and self._holds(one.when, binding):
            raise fault(MATCHES_NOTHING, f"there is nothing at {pattern}", where=one.where, hint=_IDLE)
        for place in found:
            yield from [place.binding] if each.match else (binding.joined(more) for more in self._members(each, place))

    def _members(self, each: Each, place: Found) -> Iterator[Binding]:
        if each.keys is not None:
            for key, _ in self.editor.members(place.value):
                yield Binding({each.name: key if isinstance(key, str) else written_key(key)}, {each.name: key})
            return
        node = place.value
        for item in node.items if isinstance(node, List | Tuple | Set) else ():
            if not isinstance(item, str | int) or isinstance(item, bool):
                raise PlanError(f"{in_short(item)} in {each.values} is no text or integer")
            yield Binding({each.name: item})

    def _holds(self, guard: Guard | None, binding: Binding) -> bool:
        if guard is None:
            return True

        def places(path: str) -> Sequence[Value]:
            pattern = TreePattern.parse(path)
            return [found.value for found in self.editor.find(pattern, self.base, binding)]

        return replace(self.scene, facts=replace(self.scene.facts, places=places)).holds(guard)

    def _route(self, target: TreeTarget, binding: Binding, *, make: bool) -> Route | None:
        return Routes(self.editor, self.scene.params, self.base).route(target, binding, make=make)

    # --- the steps

    def _put(self, one: TreeStep, route: Route, value: Value) -> None:
        before = self.editor.lookup(route)
        after = in_short(value)
        old = in_short(before[0]) if before else ""
        if before and not isinstance(value, Node) and mark(before[0]) == mark(value):
            return
        self.editor.put(route, value)
        self.changes.append(TreeChange(one.form, written(route), old, after, one.where))

    def _set(self, one: TreeStep, action: SetValue, binding: Binding) -> None:
        if not (action.if_absent and self._is_there(action.target, binding)):
            route = self._route(action.target, binding, make=True)
            if route is not None:
                self._put(one, route, node_of(action.value))

    def _is_there(self, target: TreeTarget, binding: Binding) -> bool:
        route = self._route(target, binding, make=False)
        return route is not None and bool(self.editor.lookup(route))

    def _compute(self, one: TreeStep, action: ComputeValue, binding: Binding) -> None:
        for bound, numbers in self._numbers(one, action.read, binding):
            if action.if_absent and self._is_there(action.target, bound):
                continue
            names = {**self.params.values, **bound.captures, **numbers}
            self.params.require(action.expression.names - names.keys())
            value = computed(action.expression, names, self.params)
            route = self._route(action.target, bound, make=True)
            if route is not None:
                self._put(one, route, value)

    def _numbers(
        self, one: TreeStep, read: Mapping[str, TreePattern], binding: Binding
    ) -> Iterator[tuple[Binding, dict[str, int | float]]]:
        """Every way to read the numbers, with what the captures of their paths took."""
        ways: list[tuple[Binding, dict[str, int | float]]] = [(binding, {})]
        for name, pattern in read.items():
            further: list[tuple[Binding, dict[str, int | float]]] = []
            for bound, numbers in ways:
                found = list(self.editor.find(pattern, self.base, bound))
                if not found and not one.optional:
                    raise fault(MATCHES_NOTHING, f"there is nothing at {pattern}", where=one.where, hint=_IDLE)
                further += [(place.binding, {**numbers, name: _number(place)}) for place in found]
            ways = further
        return iter(ways)

    def _copy(self, one: TreeStep, action: CopyPlace, binding: Binding) -> None:
        found = list(self.editor.find(action.source, self.base, binding))
        for place in found:
            if self._holds(one.when, place.binding):
                self._copy_one(one, action, place)
        if found or not self._holds(one.when, binding):
            return
        if action.has_otherwise:
            self._set(one, SetValue(action.target, action.otherwise, action.if_absent), binding)
        elif not one.optional:
            raise fault(MATCHES_NOTHING, f"there is nothing at {action.source}", where=one.where, hint=_IDLE)

    def _copy_one(self, one: TreeStep, action: CopyPlace, place: Found) -> None:
        if action.if_absent and self._is_there(action.target, place.binding):
            return
        value = place.value if action.tie else self.editor.own_copy(place.value)
        route = self._route(action.target, place.binding, make=True)
        if route is None:
            return
        if action.tie and not place.stored and route[: len(place.route)] == place.route:
            raise PlanError(f"{written(route)} is inside {written(place.route)}, which cannot hold itself")
        self._put(one, route, value)

    def _rename(self, one: TreeStep, action: RenamePlaces) -> None:
        moves: list[tuple[Found, TreeTarget]] = []
        for binding in self._ranged(one):
            for source, target in action.pairs:
                every = list(self.editor.find(source, self.base, binding))
                found = [place for place in every if self._holds(one.when, place.binding)]
                if not every and not one.optional and self._holds(one.when, binding):
                    raise fault(MATCHES_NOTHING, f"there is nothing at {source}", where=one.where, hint=_IDLE)
                moves += [(place, target) for place in found]
        routes = Routes(self.editor, self.scene.params, self.base)
        moved = move(routes, moves, prune=action.prune)
        for old, new, value in moved:
            told = in_short(value)
            self.changes.append(TreeChange(one.form, f"{written(old)} -> {written(new)}", told, told, one.where))

    def _delete(self, one: TreeStep, action: DeletePlaces) -> None:
        gone: dict[Route, Found] = {}
        for binding in self._ranged(one):
            for pattern in action.paths:
                every = list(self.editor.find(pattern, self.base, binding))
                if not every and not one.optional and self._holds(one.when, binding):
                    raise fault(MATCHES_NOTHING, f"there is nothing at {pattern}", where=one.where, hint=_IDLE)
                gone.update((place.route, place) for place in every if self._holds(one.when, place.binding))
        for place in delete(self.editor, gone):
            told = in_short(place.value)
            self.changes.append(TreeChange(one.form, written(place.route), told, "", one.where, action.reason))

    def _unmake(self, one: TreeStep, made: SetValue | ComputeValue | CopyPlace, binding: Binding) -> None:
        """Leave out what was made where nothing was, if it is still what was made."""
        for bound, value in self._makes(one, made, binding):
            route = self._route(made.target, bound, make=False)
            there = self.editor.lookup(route) if route is not None else ()
            if route is not None and there and self.editor.equal(there[0], value):
                self.editor.remove(route[:-1], [route[-1]])
                self.changes.append(TreeChange(one.form, written(route), in_short(value), "", one.where))

    def _makes(
        self, one: TreeStep, made: SetValue | ComputeValue | CopyPlace, binding: Binding
    ) -> Iterator[tuple[Binding, Value]]:
        if isinstance(made, SetValue):
            yield binding, node_of(made.value)
        elif isinstance(made, ComputeValue):
            for bound, numbers in self._numbers(one, made.read, binding):
                yield bound, computed(made.expression, {**self.params.values, **bound.captures, **numbers}, self.params)
        else:
            found = list(self.editor.find(made.source, self.base, binding))
            yield from ((place.binding, place.value) for place in found)
            if not found and made.has_otherwise:
                yield binding, node_of(made.otherwise)

    def _rename_classes(self, one: TreeStep, action: RenameClasses) -> None:
        names = dict.fromkeys(
            str(node) for node in reached(self.editor.now(self.editor.root)) if isinstance(node, Global)
        )
        for template, target in action.pairs:
            found = [(name, template.match(self.classes.get(name, name))) for name in names]
            hits = [(name, taken) for name, taken in found if taken is not None]
            if not hits and not one.optional:
                raise fault(MATCHES_NOTHING, f"the file refers to no {template}", where=one.where, hint=_IDLE)
            for name, taken in hits:
                new = target.fill(taken, self.params.values, self.params.lookups, self.params.ranks)
                self.changes.append(TreeChange(one.form, "", self.classes.get(name, name), new, one.where))
                self.classes[name] = new


def node_of(value: Plain) -> Value:
    """A value of the file as a tree of its own."""
    if isinstance(value, dict):
        return Dict([(key, node_of(each)) for key, each in value.items()])
    if isinstance(value, list):
        return List([node_of(each) for each in value])
    return value


def _number(place: Found) -> int | float:
    value = place.value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PlanError(f"{written(place.route)} is {in_short(value)}, not a number")
    return value
