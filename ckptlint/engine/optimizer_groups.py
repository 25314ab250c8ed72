"""Tell which weights the parameters of an optimizer are.

Torch numbers them in the order in which its groups were given them, and since 2.6 may note their names; other libraries go by names
throughout. Where there are only numbers, the shapes of what is kept for them must fit the weights in one usual order, and in one only;
else somebody says which weights each group has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ckptlint.core.checkpoint import Section
from ckptlint.core.plan import Plan
from ckptlint.core.selector import Selector
from ckptlint.core.tree import Dict, List, Tensor
from ckptlint.engine.moments import FACTORED, ORDERS, WHOLE
from ckptlint.engine.optimizer_orders import Shape, arrangements, candidates, fits


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


def owners(optimizer: Optimizer, plan: Plan, selected: Sequence[Selector] = ()) -> Owners | str:
    """Return which weights its parameters are, or why that cannot be said; `selected` says which weights each group has."""
    if optimizer.by_name or all(group.noted is not None for group in optimizer.groups):
        names = tuple(name for group in optimizer.groups for name in group.names)
        return _by_name(names, plan) or "since the names of its parameters are not the weights'"
    shapes = [_shape(optimizer.entries.get(member)) for member in optimizer.members]
    sizes = [len(group.members) for group in optimizer.groups]
    if selected:
        return _as_selected(selected, shapes, sizes, plan)
    found = {keys for keys in arrangements(plan, shapes, sizes) if fits(keys, shapes, plan)}
    if len(found) == 1:
        return Owners(found.pop())
    how = f"{len(shapes)} parameters go by number" + (f" in {len(sizes)} groups" if len(sizes) > 1 else "")
    cure = "; --param-group says which weights each group has" if len(sizes) > 1 else ""
    if found:
        return f"since its {how}, and their shapes fit the weights in several orders{cure}"
    return f"since its {how}, and are not the weights in any order that is usual{cure}"


def _as_selected(
    selected: Sequence[Selector], shapes: Sequence[Shape | None], sizes: Sequence[int], plan: Plan
) -> Owners | str:
    """Give each weight to the group of the first selector that selects it."""
    parts: list[list[str]] = [[] for _ in selected]
    for key in candidates(plan):
        part = next((part for part, each in zip(parts, selected, strict=True) if each.matches(key)), None)
        if part is not None:
            part.append(key)
    counts = [len(part) for part in parts]
    if counts != list(sizes):
        return f"since its groups have {_several(sizes)} parameters, and --param-group selects {_several(counts)}"
    keys = tuple(key for part in parts for key in part)
    return (
        Owners(keys) if fits(keys, shapes, plan) else "since the weights that --param-group selects have other shapes"
    )


def _several(counts: Sequence[int]) -> str:
    return ", ".join(map(str, counts))


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


def _shape(entry: Dict | None) -> Shape | None:
    """The shape of a parameter, as what is kept for it shows."""
    kept = {name: value.shape for name, value in entry.items if isinstance(value, Tensor)} if entry is not None else {}
    whole = next((shape for name, shape in kept.items() if name in ORDERS or name in WHOLE), None)
    if whole is not None:
        return whole
    for rows, columns, narrow in FACTORED:
        if rows in kept and columns in kept:
            return (*kept[rows][: -1 if narrow else None], kept[columns][-1])
    return None
