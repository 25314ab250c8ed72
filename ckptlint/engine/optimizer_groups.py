"""Tell which weights the parameters of an optimizer are.

Torch numbers them in the order in which its groups were given them, and since 2.6 may note their names; other libraries go by names
throughout. Where there are only numbers, the shapes of what is kept for them must fit the weights in one order, and in one order only:
all in the model's order, those of one prefix, or those that decay before those that do not (or after them), as groups are mostly made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from ckptlint.core.checkpoint import Section
from ckptlint.core.plan import Plan
from ckptlint.core.tree import Dict, List, Tensor, Value
from ckptlint.engine.moments import BUFFERS, ORDERS

_Test = Callable[[str, Plan], bool]
_DECAYING: Final[tuple[_Test, ...]] = (
    lambda key, plan: len(plan.source.tensors[key].shape) > 1,
    lambda key, _: not key.endswith("bias"),
    lambda key, plan: len(plan.source.tensors[key].shape) > 1 and "emb" not in key,
)


class Group(NamedTuple):
    """One parameter group: the list in it, the parameters' numbers or names, and their names where it notes them."""

    listed: List
    members: tuple[int | str, ...]
    noted: List | None

    @property
    def names(self) -> tuple[str, ...]:
        items = self.noted.items if self.noted is not None else self.members
        return tuple(item for item in items if isinstance(item, str))


class Optimizer(NamedTuple):
    """The state of an optimizer as the tree has it; `entries` holds what is kept for each parameter."""

    path: str
    state: Dict
    entries: Mapping[int | str, Dict]
    groups: tuple[Group, ...]

    @property
    def members(self) -> tuple[int | str, ...]:
        return tuple(member for group in self.groups for member in group.members)

    @property
    def by_name(self) -> bool:
        return any(isinstance(member, str) for member in self.members)


class Owners(NamedTuple):
    """The weight of each member, in their order; names in the optimizer are these with a prefix added or stripped."""

    keys: tuple[str, ...]
    added: str = ""
    stripped: str = ""

    def name(self, key: str) -> str:
        """Return how the optimizer calls a weight."""
        return self.added + key.removeprefix(self.stripped)


def read_optimizer(section: Section) -> Optimizer | None:
    """Return the optimizer of a section, None where its form is not torch's."""
    node = section.node
    state = node.get("state") if isinstance(node, Dict) else None
    listed = node.get("param_groups") if isinstance(node, Dict) else None
    if not isinstance(state, Dict) or not isinstance(listed, List):
        return None
    found = _groups(listed)
    members = [member for group in found for member in group.members]
    kept = {key: value for key, value in state.items if isinstance(key, int | str) and isinstance(value, Dict)}
    whole = len(found) == len(listed.items) and len(kept) == len(state.items) and set(kept) <= set(members)
    if not whole or len(set(members)) < len(members):
        return None
    return Optimizer(section.path, state, kept, found)


def parameters(plan: Plan, keys: Sequence[str], values: Mapping[str, int]) -> list[str]:
    """Return the keys that may be parameters by their names and types, each tensor once."""
    first = dict(zip(reversed([values[key] for key in keys]), reversed(keys), strict=True))
    return [
        key
        for key in keys
        if first[values[key]] == key
        and plan.specs[values[key]].dtype.kind in ("float", "complex")
        and key.rpartition(".")[2] not in BUFFERS
    ]


def owners(optimizer: Optimizer, plan: Plan) -> Owners | str:
    """Return which weights its parameters are, or why that cannot be said."""
    if optimizer.by_name or all(group.noted is not None for group in optimizer.groups):
        names = tuple(name for group in optimizer.groups for name in group.names)
        return _by_name(names, plan) or "since the names of its parameters are not the weights'"
    found = {keys for keys in _arrangements(optimizer, plan) if _fits(keys, optimizer, plan)}
    if len(found) == 1:
        return Owners(found.pop())
    count = len(optimizer.members)
    if found:
        return f"since its {count} parameters go by number, and their shapes fit the weights in several orders"
    return f"since its {count} parameters go by number, and are not the weights in any order that is usual"


def _groups(listed: List) -> tuple[Group, ...]:
    groups = (_group(each) for each in listed.items if isinstance(each, Dict))
    return tuple(group for group in groups if group is not None)


def _group(node: Dict) -> Group | None:
    listed, noted = node.get("params"), node.get("param_names")
    if not isinstance(listed, List):
        return None
    members = tuple(item for item in listed.items if isinstance(item, int | str))
    named = isinstance(noted, List) and len(noted.items) == len(members)
    if len(members) < len(listed.items):
        return None
    return Group(listed, members, noted if named and isinstance(noted, List) else None)


def _by_name(names: tuple[str, ...], plan: Plan) -> Owners | None:
    if not names or plan.inputs.keys() >= set(names):
        return Owners(names)
    first = names[0]
    for key in plan.inputs:
        added = first.removesuffix(key) if first.endswith(f".{key}") else ""
        stripped = key.removesuffix(first) if key.endswith(f".{first}") else ""
        if added or stripped:
            keys = tuple(stripped + name.removeprefix(added) for name in names)
            if plan.inputs.keys() >= set(keys) and all(name.startswith(added) for name in names):
                return Owners(keys, added, stripped)
    return None


def _arrangements(optimizer: Optimizer, plan: Plan) -> Iterator[tuple[str, ...]]:
    """Yield the orders in which optimizers are mostly given the weights, of as many weights as it has parameters."""
    count, sizes = len(optimizer.members), [len(group.members) for group in optimizer.groups]
    for keys in _candidates(plan):
        if len(keys) < count:
            continue
        if len(keys) > count and len(optimizer.entries) < count:
            continue  # without all shapes there is no telling which are left out
        for start in range(len(keys) - count + 1):
            yield tuple(keys[start : start + count])
        if len(keys) == count and len(sizes) == 2:
            yield from _in_two(keys, sizes[0], plan)


def _candidates(plan: Plan) -> Iterator[list[str]]:
    if plan.source.parameters is not None:
        known = [key for key in plan.source.parameters if key in plan.inputs]
        yield known
        return
    yield parameters(plan, list(plan.inputs), plan.inputs)


def _in_two(keys: list[str], size: int, plan: Plan) -> Iterator[tuple[str, ...]]:
    for test in _DECAYING:
        those = [key for key in keys if test(key, plan)]
        others = [key for key in keys if not test(key, plan)]
        for first, second in ((those, others), (others, those)):
            if len(first) == size:
                yield (*first, *second)


def _fits(keys: tuple[str, ...], optimizer: Optimizer, plan: Plan) -> bool:
    for key, member in zip(keys, optimizer.members, strict=True):
        shape = _shape(optimizer.entries.get(member))
        if shape is not None and shape != plan.source.tensors[key].shape:
            return False
    return True


def _shape(entry: Dict | None) -> tuple[int, ...] | None:
    """The shape of a parameter, as what is kept for it shows."""
    items: list[tuple[Value, Value]] = entry.items if entry is not None else []
    shapes = (value.shape for name, value in items if name in ORDERS and isinstance(value, Tensor))
    return next(shapes, None)
