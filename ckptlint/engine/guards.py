"""Decide the conditions of a migration from headers alone: keys, specs, parameters and the scalars of the tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from ckptlint.core.dtype import ANY, DType
from ckptlint.core.expression import Expression
from ckptlint.core.migration import Guard
from ckptlint.core.spec import TensorSpec
from ckptlint.core.template import Selector
from ckptlint.core.tree import (
    Bytes,
    Composite,
    Dict,
    Global,
    List,
    Node,
    Opaque,
    Persistent,
    Set,
    Storage,
    Tensor,
    Tuple,
    Value,
)
from ckptlint.engine.facts import HeaderFacts
from ckptlint.engine.params import Params
from ckptlint.errors import DocumentError


@dataclass(frozen=True, slots=True)
class Scene:
    """What a guard sees: the keys at the start of its stage, the parameters, and the rest of the file."""

    specs: Mapping[str, TensorSpec]
    params: Params
    facts: HeaderFacts

    def holds(self, guard: Guard | None) -> bool:
        """Tell whether the condition holds; no condition always does."""
        if guard is None:
            return True
        if guard.test in {"all", "any", "not"}:
            return self._combined(guard)
        return self._simple(guard)

    def _combined(self, guard: Guard) -> bool:
        parts = [self.holds(cast("Guard", part)) for part in guard.arguments]
        if guard.test == "not":
            return not all(parts)
        return all(parts) if guard.test == "all" else any(parts)

    def _simple(self, guard: Guard) -> bool:
        first, *rest = guard.arguments
        match guard.test:
            case "has":
                return self._has(cast("Selector", first))
            case "lacks":
                return not self._has(cast("Selector", first))
            case "shape":
                return self._has_shape(str(first), rest[0])
            case "dtype":
                spec = self.specs.get(str(first))
                return spec is not None and (spec.dtype is rest[0] or ANY in (spec.dtype, rest[0]))
            case "tree" | "in" | "type" | "present" | "absent" | "falsy":
                return tree_holds(guard.test, self.facts.look(str(first)), rest[0] if rest else None)
            case "param":
                return _same(self.params.get(str(first), guard.where), self._value(rest[0]))
            case _:
                raise DocumentError(f"there is no condition {guard.test!r}", where=guard.where)

    def _has(self, selector: Selector) -> bool:
        if selector.literal is not None:
            return selector.literal in self.specs
        return any(map(selector.matches, self.specs))

    def _has_shape(self, key: str, shape: object) -> bool:
        spec = self.specs.get(key)
        wanted = tuple(map(self._value, cast("tuple[object, ...]", shape)))
        return spec is not None and spec.shape == wanted

    def _value(self, value: object) -> object:
        return self.params.evaluate(value) if isinstance(value, Expression) else value


def tree_holds(test: str, values: Sequence[Value], wanted: object) -> bool:
    """Decide a condition on what stands at the places of a tree that a path matches; where nothing does, that equals null."""
    match test:
        case "present":
            return bool(values)
        case "absent":
            return not values
        case "falsy":
            return all(map(_is_falsy, values))
        case "type":
            return bool(values) and all(str(wanted) in TYPES[type(value)] for value in values)
        case "in":
            return all(
                any(_same(value, one) for one in cast("tuple[object, ...]", wanted)) for value in values or (None,)
            )
        case _:
            return all(_same(value, wanted) for value in values or (None,))


TYPES: Mapping[type, tuple[str, ...]] = {
    Dict: ("dict",),
    List: ("list",),
    Tuple: ("tuple",),
    Set: ("set",),
    Bytes: ("bytes",),
    Tensor: ("tensor",),
    Composite: ("tensor",),
    Opaque: ("object",),
    Global: ("class",),
    Persistent: ("object",),
    Storage: ("storage",),
    type(None): ("null",),
    bool: ("bool",),
    int: ("int", "number"),
    float: ("float", "number"),
    complex: ("complex",),
    str: ("text",),
    bytes: ("bytes",),
}
"""The names of types in `type:` conditions."""


def _is_falsy(value: Value) -> bool:
    if isinstance(value, Node):
        return isinstance(value, Dict | List | Tuple | Set) and not value.items
    return not value


def _same(actual: object, wanted: object) -> bool:
    """Equal as YAML values: `1` is not `true`, and 1 equals 1.0."""
    if isinstance(wanted, DType):
        return actual is wanted
    return isinstance(actual, bool) == isinstance(wanted, bool) and actual == wanted
