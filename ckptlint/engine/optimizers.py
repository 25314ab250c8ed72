"""Decide what becomes of optimizer state when the weights that it belongs to change.

State belongs to parameters by their position, in most optimizers, or by their names (FSDP's full state). State by position stays right
where every tensor has kept its place and its shape; state by name where every tensor has kept its shape, under its new name. Elsewhere
it would silently belong to other parameters: so it is emptied, or refused where a migration says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ckptlint.core.checkpoint import Section, SectionKind
from ckptlint.core.migration import Migration
from ckptlint.core.plan import Plan
from ckptlint.core.tree import Dict, List, Node, Value
from ckptlint.errors import PlanError

_BY_POSITION = "since tensors changed their order or shape, and its entries go by position"


class Carried(NamedTuple):
    """What stands in the place of nodes (by identity) of the optimizers, and what is to be said about it."""

    replaced: dict[int, Node]
    said: list[str]


def carry_optimizers(
    sections: Sequence[Section], migrations: Sequence[Migration], work: Sequence[tuple[Section, Plan]]
) -> Carried:
    """Empty, rename or leave the state of each optimizer; `PlanError` where a migration refuses optimizers."""
    optimizers = [section for section in sections if section.kind is SectionKind.OPTIMIZER]
    wishes = {migration.optimizer for migration in migrations}
    if optimizers and "refuse" in wishes:
        raise PlanError(f"the checkpoint holds optimizer state at {optimizers[0].path}, and the migration refuses it")
    carried = Carried({}, [])
    in_order = all(_in_order(plan) for _, plan in work)
    for section in optimizers:
        state = section.node.get("state") if isinstance(section.node, Dict) else None
        if not isinstance(state, Dict) or not state.items:
            continue
        if "leave" in wishes:
            carried.said.append(f"{section.path}: the optimizer's state is left as it is, as the migration says")
        elif "reset" in wishes:
            _empty(section, state, "as the migration says", carried)
        elif in_order:
            _rename(section, state, [plan for _, plan in work], carried)
        else:
            _empty(section, state, _BY_POSITION, carried)
    return carried


def _in_order(plan: Plan) -> bool:
    """Whether every tensor has kept its place and its shape; a parameter with several names counts once, by the first."""
    return not plan.steps and list(dict.fromkeys(plan.inputs.values())) == list(dict.fromkeys(plan.outputs.values()))


def _empty(section: Section, state: Dict, why: str, carried: Carried) -> None:
    carried.replaced[id(state)] = Dict([], state.made_by, state.state)
    carried.said.append(f"{section.path}: the optimizer's state is reset, {why}")


def _rename(section: Section, state: Dict, plans: Sequence[Plan], carried: Carried) -> None:
    """Give state that goes by names the new names, in the entries and in the groups' lists of parameters."""
    names = [key for key, _ in state.items if isinstance(key, str)]
    plan = next((plan for plan in plans if plan.inputs.keys() >= set(names)), None)
    if not names:
        return
    if plan is None:
        if any(plan.inputs.keys() != plan.outputs.keys() for plan in plans):
            carried.said.append(
                f"{section.path}: the optimizer's state goes by names that are not the weights', and keeps them"
            )
        return
    new = _new_names(plan)
    if all(new.get(key, key) == key for key in plan.inputs):
        return
    items = [(_renamed(key, new), value) for key, value in state.items]
    carried.replaced[id(state)] = Dict(items, state.made_by, state.state)
    for parameters in _parameters(section.node):
        carried.replaced[id(parameters)] = List([_renamed(name, new) for name in parameters.items])


def _new_names(plan: Plan) -> Mapping[str, str]:
    """The new name of each tensor's old names: its own, or that of the tensor where the name is gone."""
    targets: dict[int, list[str]] = {}
    for key, value in plan.outputs.items():
        targets.setdefault(value, []).append(key)
    names: dict[str, str] = {}
    used: dict[int, int] = {}
    for key, value in plan.inputs.items():
        place = used.get(value, 0)
        used[value] = place + 1
        names[key] = targets[value][min(place, len(targets[value]) - 1)]
    return names


def _renamed(name: Value, new: Mapping[str, str]) -> Value:
    return new.get(name, name) if isinstance(name, str) else name


def _parameters(optimizer: Node) -> Iterator[List]:
    groups = optimizer.get("param_groups") if isinstance(optimizer, Dict) else None
    for group in groups.items if isinstance(groups, List) else []:
        listed = group.get("params") if isinstance(group, Dict) else None
        if isinstance(listed, List):
            yield listed
