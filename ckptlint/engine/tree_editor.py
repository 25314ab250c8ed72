"""Change a tree without changing it: new versions of the containers that are touched lie over the old ones until they are settled.

Identity is the file's: a container that stands in two places is one object there, so what is changed at one place is changed at the
other, and that is noted. A tuple cannot change, so a new one stands in its place and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

from ckptlint.core.paths import STATE, children, step, stored
from ckptlint.core.tree import Composite, Dict, List, Node, Opaque, Tensor, Tuple, Value
from ckptlint.core.tree_path import Binding, PatternStep, Route, TreePattern, written
from ckptlint.errors import PlanError

_CONTAINERS = (Dict, List, Tuple, Opaque)
_LISTED = 8


@dataclass(frozen=True, slots=True)
class Found:
    """A place that a pattern matches: the keys to it, what is there, what the captures took, and whether it is in an object's state."""

    route: Route
    value: Value
    binding: Binding
    stored: bool = False


@dataclass(slots=True)
class TreeEditor:
    """A tree that is being edited. `notes` says what else an edit changed."""

    root: Value
    notes: list[str] = field(default_factory=list)
    _edited: dict[int, Node] = field(default_factory=dict)
    _own: dict[int, Node] = field(default_factory=dict)  # nodes made here, which may be filled in place
    _held: list[Node] = field(default_factory=list)  # keeps the identities in `_edited` alive
    _shared: dict[int, list[str]] | None = None

    @property
    def changed(self) -> bool:
        """Whether anything stands in the place of something else."""
        return bool(self._edited or self._own)

    @property
    def edited(self) -> bool:
        """Whether more was done than to replace nodes."""
        return bool(self._own)

    def route(self, path: str) -> Route:
        """The keys to a place that is there, written as a path; `PlanError` where it is not."""
        route: Route = ()
        for text in path.split("/")[1:] if path != "/" else ():
            found = [key for key, _ in self.members(self.at(route)) if step(key) == text]
            if not found:
                raise PlanError(f"there is nothing at {path}")
            route = (*route, found[-1])
        return route

    def now(self, value: Value) -> Value:
        """What stands where the old tree has this node."""
        while isinstance(value, Node):
            later = self._edited.get(id(value))
            if later is None:
                break
            value = later
        return value

    def members(self, value: Value) -> list[tuple[Value, Value]]:
        """Keys and values directly in a container, the last of a repeated key."""
        pairs = [(key, self.now(child)) for key, child in children(self.now(value))]
        return (
            list({mark(key): (key, child) for key, child in pairs}.values())
            if isinstance(self.now(value), Dict)
            else pairs
        )

    def lookup(self, route: Route) -> tuple[Value, ...]:
        """The value at a route, as a tuple of one, or none."""
        value = self.now(self.root)
        for key in route:
            wanted = mark(key)
            found = [child for other, child in self.members(value) if mark(other) == wanted]
            if not found:
                return ()
            value = found[-1]
        return (value,)

    def at(self, route: Route) -> Value:
        """The value at a route that is there; `PlanError` where it is not."""
        found = self.lookup(route)
        if not found:
            raise PlanError(f"there is nothing at {written(route)}")
        return found[0]

    # --- finding

    def find(self, pattern: TreePattern, base: Route = (), bound: Binding = Binding()) -> Iterator[Found]:  # noqa: B008  it is frozen
        """Every place that the pattern matches with these captures, in the tree's order; inside `base` where it is relative."""
        start = base if pattern.relative else ()
        yield from self._matches(Found(start, self.at(start), bound), pattern.steps)

    def _matches(self, here: Found, steps: tuple[PatternStep, ...]) -> Iterator[Found]:
        if not steps:
            yield here
            return
        first, rest = steps[0], steps[1:]
        for there in self._step(here, first):
            yield from self._matches(there, rest)

    def _step(self, here: Found, one: PatternStep) -> Iterator[Found]:
        exact = PatternStep(one.text + STATE * one.states, None, 0) if one.template is None and one.states else None
        if exact is not None:  # a key may end with an @ of its own
            found = list(self._members_at(here, exact))
            if found:
                yield from found
                return
        if one.states and not one.text:
            yield from self._stored(here, one.states)
            return
        for there in self._members_at(here, one):
            yield from self._stored(there, one.states) if one.states else (there,)

    def _members_at(self, here: Found, one: PatternStep) -> Iterator[Found]:
        for key, child in self.members(here.value):
            taken = one.match(key)
            if taken is not None and _agrees(here.binding, taken):
                inside = here.stored or isinstance(here.value, Opaque)
                yield Found((*here.route, key), child, here.binding.joined(taken), inside)

    def _stored(self, here: Found, states: int) -> Iterator[Found]:
        value = here.value
        for _ in range(states):
            value = self.now(stored(value))
            if value is None:
                return
        yield Found(here.route, value, here.binding, stored=True)

    # --- editing

    def put(self, route: Route, value: Value) -> None:
        """Put a value at a place: over what is there, else behind the other keys."""
        self._check(route[:-1])
        if not route:
            self.root = value
            return
        *above, key = route
        container = self.at(tuple(above))
        if isinstance(container, Tuple):
            items = [value if place == key else item for place, item in enumerate(container.items)]
            self.put(tuple(above), self._made(Tuple(tuple(items), container.made_by)))
            return
        owned = self._owned(tuple(above), container)
        if isinstance(owned, Dict):
            for place, (other, _) in reversed(list(enumerate(owned.items))):
                if mark(other) == mark(key):
                    owned.items[place] = (other, value)
                    return
            owned.items.append((key, value))
        elif isinstance(key, int) and 0 <= key < len(owned.items):
            owned.items[key] = value
        else:
            raise PlanError(f"{written(route)}: a list of {len(owned.items)} has no place {step(key)}")

    def remove(self, above: Route, keys: Collection[Value]) -> None:
        """Take entries out of a container; what stands behind them in a list moves up."""
        self._check(above)
        marks = {mark(key) for key in keys}
        container = self.at(above)
        if isinstance(container, Tuple):
            items = [item for place, item in enumerate(container.items) if mark(place) not in marks]
            self.put(above, self._made(Tuple(tuple(items), container.made_by)))
            return
        owned = self._owned(above, container)
        if isinstance(owned, Dict):
            owned.items[:] = [pair for pair in owned.items if mark(pair[0]) not in marks]
        else:
            owned.items[:] = [item for place, item in enumerate(owned.items) if mark(place) not in marks]

    def relabel(self, above: Route, new: Mapping[object, tuple[Value, Value]]) -> None:
        """Give entries of one dict other keys and values, by the marks of their old keys; they keep their places."""
        self._check(above)
        owned = self._owned(above, self.at(above))
        if isinstance(owned, Dict):
            owned.items[:] = [new.get(mark(key), (key, value)) for key, value in owned.items]

    def own_copy(self, value: Value) -> Value:
        """Containers of their own that hold the same scalars, tensors and objects, shared among each other as the old ones are."""
        root = self.now(value)
        shells: dict[int, Node] = {}
        pending, order = [root], list[Node]()
        while pending:
            node = pending.pop()
            if isinstance(node, Dict | List | Tuple) and id(node) not in shells:
                shells[id(node)] = self._made(_shell(node))
                order.append(node)
                pending.extend(child for _, child in self.members(node))
        for node in order:
            _fill(shells[id(node)], node, lambda child: _in(shells, self.now(child)))
        return _in(shells, root)

    def equal(self, one: Value, other: Value) -> bool:
        """Whether two trees hold the same: equal scalars, and the same tensors and objects."""
        pending = [(one, other)]
        seen: set[tuple[int, int]] = set()
        while pending:
            left, right = (self.now(each) for each in pending.pop())
            if not isinstance(left, Dict | List | Tuple) or type(left) is not type(right):
                if not _same_leaf(left, right):
                    return False
                continue
            if (id(left), id(right)) in seen:
                continue
            seen.add((id(left), id(right)))
            mine, theirs = self.members(left), self.members(right)
            if [mark(key) for key, _ in mine] != [mark(key) for key, _ in theirs]:
                return False
            pending.extend((a, b) for (_, a), (_, b) in zip(mine, theirs, strict=True))
        return True

    def replace(self, old: Node, new: Node) -> None:
        """Put a node into the place of another, wherever that is."""
        self._edited[id(old)] = new
        self._held.append(old)

    def _check(self, above: Route) -> None:
        """Refuse to change what is in an object of a class that is not known, or in what is no container."""
        value = self.now(self.root)
        for place in range(len(above) + 1):
            if isinstance(value, Opaque):
                text = f"{written(above[:place])} is an object of {value.named}, which is carried over whole"
                raise PlanError(text, hint="what it holds can be read, not changed")
            if not isinstance(value, Dict | List | Tuple):
                what = "a tensor" if isinstance(value, Tensor | Composite) else "no mapping"
                raise PlanError(f"{written(above[:place])} is {what}, and holds no places")
            if place < len(above):
                value = self.at(above[: place + 1])

    def _made(self, node: Node) -> Node:
        self._own[id(node)] = node
        return node

    def _owned(self, route: Route, container: Value) -> Dict | List:
        """The version of a container that may be filled."""
        if not isinstance(container, Dict | List):
            raise PlanError(f"{written(route)} holds no places")
        if id(container) in self._own:
            return container
        self._note_shared(route, container)
        new: Dict | List
        if isinstance(container, Dict):
            new = Dict(list(container.items), container.made_by, container.state)
        else:
            new = List(list(container.items))
        self._made(new)
        self.replace(container, new)
        return new

    def _note_shared(self, route: Route, container: Node) -> None:
        if self._shared is None:
            self._shared = _shared_places(self.root)
        here = written(route)
        others = [place for place in self._shared.get(id(container), ()) if place != here]
        if others:
            more = f" and {len(others) - _LISTED} more" if len(others) > _LISTED else ""
            same = f"{', '.join(others[:_LISTED])}{more}"
            self.notes.append(f"{same} is the same object as {here}, and changes with it")

    # --- settling

    def settled(self) -> tuple[Value, dict[int, Node]]:
        """Return the tree as it is now, sharing what is unchanged, and the new version of each old node that has one."""
        order, parents = self._reachable()
        dirty = {id(node) for node in order if any(child is not self.now(child) for _, child in children(node))}
        pending = list(dirty)
        while pending:
            for parent in parents.get(pending.pop(), ()):
                if parent not in dirty:
                    dirty.add(parent)
                    pending.append(parent)
        fresh = {id(node): _shell(node) for node in order if id(node) in dirty}
        for node in order:
            if id(node) in fresh:
                _fill(fresh[id(node)], node, lambda child: _in(fresh, self.now(child)))
        versions = {old: _in(fresh, self.now(node)) for old, node in self._edited.items()}
        kept = {old: node for old, node in versions.items() if isinstance(node, Node)}
        return _in(fresh, self.now(self.root)), kept | fresh

    def _reachable(self) -> tuple[list[Node], dict[int, list[int]]]:
        order: list[Node] = []
        parents: dict[int, list[int]] = {}
        seen: set[int] = set()
        root = self.now(self.root)
        pending = [root]
        while pending:
            node = pending.pop()
            if not isinstance(node, _CONTAINERS) or id(node) in seen:
                continue
            seen.add(id(node))
            order.append(node)
            for _, raw in children(node):
                child = self.now(raw)
                if isinstance(child, _CONTAINERS):
                    parents.setdefault(id(child), []).append(id(node))
                    pending.append(child)
        return order, parents


def _fill(new: Node, old: Node, instead: Callable[[Value], Value]) -> None:
    """Fill a shell with what stands in the place of the old container's children."""
    if isinstance(new, Dict) and isinstance(old, Dict):
        new.items[:] = [(key, instead(child)) for key, child in old.items]
    elif isinstance(new, List) and isinstance(old, List):
        new.items[:] = [instead(child) for child in old.items]
    elif isinstance(new, Tuple) and isinstance(old, Tuple):
        new.items = tuple(instead(child) for child in old.items)
    elif isinstance(new, Opaque) and isinstance(old, Opaque):
        new.changes[:] = [
            (kind, *values[:-1], instead(values[-1])) if kind in ("item", "append") else (kind, *values)
            for kind, *values in old.changes
        ]


def _in(versions: Mapping[int, Node], value: Value) -> Value:
    return versions.get(id(value), value) if isinstance(value, Node) else value


def _same_leaf(one: Value, other: Value) -> bool:
    if isinstance(one, Tensor | Composite) and isinstance(other, Tensor | Composite):
        return one.identity == other.identity
    return mark(one) == mark(other)


def mark(key: Value) -> object:
    """What tells a key of a dict from another: `1`, `True`, `1.0` and `"1"` are four."""
    return id(key) if isinstance(key, Node) else (type(key), key)


def _agrees(one: Binding, other: Binding) -> bool:
    return all(one.captures.get(name, taken) == taken for name, taken in other.captures.items())


def _shell(node: Node) -> Node:
    if isinstance(node, Dict):
        return Dict([], node.made_by, node.state)
    if isinstance(node, List):
        return List([])
    if isinstance(node, Tuple):
        return Tuple((), node.made_by)
    if isinstance(node, Opaque):
        return Opaque(node.call, list(node.changes))
    raise TypeError(f"a {type(node).__name__} is no container")


def _shared_places(root: Value) -> dict[int, list[str]]:
    """The places of every container that stands in more than one, each node entered once."""
    places: dict[int, list[str]] = {}
    pending: list[tuple[Route, Value]] = [((), root)]
    while pending:
        route, node = pending.pop()
        if not isinstance(node, Dict | List | Tuple):
            continue
        known = places.setdefault(id(node), [])
        known.append(written(route))
        if len(known) == 1:
            pending.extend(((*route, key), child) for key, child in reversed(list(children(node))))
    return {node: found for node, found in places.items() if len(found) > 1}
