"""Where a step of `tree:` puts something: its target, filled and bound to the keys that are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ckptlint.core.paths import step as written_key
from ckptlint.core.tree import Dict, List, Tuple, Value
from ckptlint.core.tree_path import Binding, Route, TreeTarget, written
from ckptlint.engine.params import Params
from ckptlint.engine.tree_editor import TreeEditor
from ckptlint.errors import PlanError


@dataclass(frozen=True, slots=True)
class Routes:
    """Targets in a tree that is being edited; `base` is where `./` begins."""

    editor: TreeEditor
    params: Params
    base: Route = ()

    def route(self, target: TreeTarget, binding: Binding, *, make: bool) -> Route | None:
        """The keys to a target. Mappings on the way that a capture names are made; others must be there (None if not `make`)."""
        route = self.base if target.relative else ()
        for place, written_step in enumerate(target.steps):
            key = self._key(target, place, binding, route)
            route = (*route, key)
            if place == len(target.steps) - 1 or self.editor.lookup(route):
                continue
            if not make:
                return None
            if not written_step.fills:
                there = written(route)
                hint = f"write `default: {{{there}: {{}}}}` before it, or `when: {{present: {there}}}` beside it"
                raise PlanError(f"{target}: there is nothing at {written(route)}", hint=hint)
            self.editor.put(route, Dict([]))
        return route

    def _key(self, target: TreeTarget, place: int, binding: Binding, above: Route) -> Value:
        name = target.whole(place)
        if name in binding.keys:
            return binding.keys[name]
        one = target.steps[place]
        text = one.literal
        if text is None:  # it has holes
            names = binding.captures
            self.params.require(one.names - names.keys())
            text = one.fill(names, self.params.values, self.params.lookups, self.params.ranks)
        return self._key_in(above, text)

    def _key_in(self, above: Route, text: str) -> Value:
        """The key that a step means in a container: one that is there, else an integer where all others are."""
        there = self.editor.lookup(above)
        container = there[0] if there else None
        keys = [key for key, _ in self.editor.members(container)]
        for key in (*(key for key in keys if isinstance(key, str)), *keys):  # "1" is 1 only where there is no "1"
            if written_key(key) == written_key(text):
                return key
        return self._new_key(container, keys, text, above)

    def _new_key(self, container: Value, keys: Sequence[Value], text: str, above: Route) -> Value:
        integer = text.isascii() and text.removeprefix("-").isdigit() and len(text) < 19
        listed = isinstance(container, List | Tuple)
        if listed and not integer:
            raise PlanError(f"{written(above)} is a list, and has no place {text!r}")
        numbered = bool(keys) and all(type(key) is int for key in keys)
        return int(text) if integer and (listed or numbered) else text
