"""Move and delete places of a tree that is being edited, all at once: what is renamed two ways, or onto something, is refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from ckptlint.core.tree import Dict, Value
from ckptlint.core.tree_path import Route, TreeTarget, written
from ckptlint.engine.tree_editor import Found, TreeEditor, mark
from ckptlint.engine.tree_routes import Routes
from ckptlint.errors import PlanError

Moved: TypeAlias = tuple[Route, Route, Value]
_THERE = "delete it before, or rename it too"


def move(routes: Routes, moves: Sequence[tuple[Found, TreeTarget]], *, prune: bool = False) -> Iterator[Moved]:
    """Take places out of where they were and put them where they go; where only a key changes, it keeps its place."""
    editor = routes.editor
    _refuse_nested([place for place, _ in moves])
    here: dict[Route, dict[object, tuple[Value, Value]]] = {}
    away: list[tuple[Found, TreeTarget]] = []
    for place, target in moves:
        route = routes.route(target, place.binding, make=False)
        if route is not None and route[:-1] == place.route[:-1] and isinstance(editor.at(route[:-1]), Dict):
            here.setdefault(route[:-1], {})[mark(place.route[-1])] = (route[-1], place.value)
        else:
            away.append((place, target))
    for above, places in _by_parent([place for place, _ in away]).items():
        editor.remove(above, [place.route[-1] for place in places])
        if prune:
            _prune(editor, above, places[0])
    for above, new in here.items():
        yield from _relabel(editor, above, new)
    for place, target in away:
        route = routes.route(target, place.binding, make=True)
        if route is not None:
            if editor.lookup(route):
                raise PlanError(f"{written(route)} is there already", hint=_THERE)
            editor.put(route, place.value)
            yield place.route, route, place.value


def _prune(editor: TreeEditor, above: Route, place: Found) -> None:
    """Take away a mapping that is empty now, where its key was captured."""
    container = editor.at(above)
    captured = {mark(key) for key in place.binding.keys.values()}
    if above and mark(above[-1]) in captured and isinstance(container, Dict) and not container.items:
        editor.remove(above[:-1], [above[-1]])


def delete(editor: TreeEditor, places: Mapping[Route, Found]) -> Iterator[Found]:
    """Take places away; what is inside another of them goes with it."""
    for above, members in _by_parent(_outermost(places)).items():
        _check_movable(members)
        editor.remove(above, [place.route[-1] for place in members])
        yield from members


def _relabel(editor: TreeEditor, above: Route, new: Mapping[object, tuple[Value, Value]]) -> Iterator[Moved]:
    keys = {mark(key): key for key, _ in editor.members(editor.at(above))}
    taken: set[object] = set()
    for one, key in keys.items():
        left = new[one][0] if one in new else key
        if mark(left) in taken:
            raise PlanError(f"{written((*above, left))} is there already", hint=_THERE)
        taken.add(mark(left))
    editor.relabel(above, new)
    for one, (key, value) in new.items():
        if mark(key) != one:
            yield (*above, keys[one]), (*above, key), value


def _refuse_nested(places: Sequence[Found]) -> None:
    _check_movable(places)
    routes = {tuple(map(mark, place.route)) for place in places}
    if len(routes) < len(places):
        raise PlanError("one place is renamed twice")
    for place in places:
        for length in range(len(place.route)):
            if tuple(map(mark, place.route[:length])) in routes:
                raise PlanError(f"{written(place.route)} and {written(place.route[:length])} are both renamed")


def _check_movable(places: Iterable[Found]) -> None:
    for place in places:
        if place.stored:
            raise PlanError(
                f"{written(place.route)} is in the state of an object, which is carried over whole",
                hint="what it holds can be read, not changed",
            )
        if not place.route:
            raise PlanError("the root stays where it is")


def _by_parent(places: Iterable[Found]) -> dict[Route, list[Found]]:
    groups: dict[tuple[object, ...], tuple[Route, list[Found]]] = {}
    for place in places:
        above = place.route[:-1]
        groups.setdefault(tuple(map(mark, above)), (above, []))[1].append(place)
    return dict(groups.values())


def _outermost(places: Mapping[Route, Found]) -> list[Found]:
    """The places that are in no other of them."""
    routes = {tuple(map(mark, route)) for route in places}
    return [
        place
        for route, place in places.items()
        if not any(tuple(map(mark, route[:length])) in routes for length in range(len(route)))
    ]
