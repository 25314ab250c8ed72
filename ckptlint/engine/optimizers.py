"""Decide what becomes of optimizer state when the weights that it belongs to change.

State belongs to parameters by their position, in most optimizers, or by their names. It follows its weight: where that is only renamed or
moved as it is, where it is cut, joined or turned around through the same operations, each with its law for moments. Where no law is
known, or where it cannot be told whose state it is, it would silently belong to other parameters: so it is left out (the optimizer begins
anew with those parameters), or refused where somebody says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ckptlint.core.checkpoint import Section, SectionKind
from ckptlint.core.migration import Migration
from ckptlint.core.plan import Plan
from ckptlint.core.selector import Selector
from ckptlint.core.tree import Dict, List, Node, Tensor, Value
from ckptlint.engine.ingredients import made_of
from ckptlint.engine.moments import LENGTHS, ORDERS
from ckptlint.engine.optimizer_groups import Optimizer, Owners, owners, read_optimizer
from ckptlint.engine.optimizer_moments import Beside, Moments, awaited, copies
from ckptlint.engine.optimizer_orders import parameters
from ckptlint.engine.passage import Outcome
from ckptlint.errors import PlanError

_STRICT = "without --strict-state the optimizer begins anew with those parameters"


@dataclass(slots=True)
class Carried:
    """What stands in the place of nodes (by identity) of the optimizers, and what is to be said about it.

    `beside` makes the tensors in it that are computed, `apart` are tensors that stand for a copy of another.
    """

    replaced: dict[int, Node] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    beside: list[Beside] = field(default_factory=list)
    apart: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    def added_to(self, outcome: Outcome) -> Outcome:
        """Return what migrations made, with the tensors of the optimizers."""
        beside = [*self.beside, *([copies(self.apart)] if self.apart else [])]
        tensors = [each.tensors for each in beside]
        return replace(
            outcome,
            work=(*outcome.work, *((each.section, each.plan) for each in beside)),
            tensors=(*outcome.tensors, *tensors),
            computed=outcome.computed | {tensor.identity for each in tensors for tensor in each.values()},
        )


@dataclass(frozen=True, slots=True)
class Wishes:
    """How optimizers are to be carried.

    `order` is the new parameters as the new model has them (None: as the new state dict has them), `read` gives the bytes of a tensor of
    one element, `strict` refuses what would begin anew. `groups` select the old weights of each group of an optimizer that goes
    by number; a weight belongs to the first that selects it.
    """

    order: Sequence[str] | None
    read: Callable[[Tensor], bytes]
    strict: bool = False
    groups: Sequence[Selector] = ()


def carry_optimizers(
    sections: Sequence[Section],
    migrations: Sequence[Migration],
    work: Sequence[tuple[Section, Plan]],
    wishes: Wishes,
) -> Carried:
    """Carry, empty or leave the state of each optimizer; `PlanError` where a migration refuses optimizers, or state would be lost."""
    optimizers = [section for section in sections if section.kind is SectionKind.OPTIMIZER]
    asked = {migration.optimizer for migration in migrations}
    if optimizers and "refuse" in asked:
        raise PlanError(f"the checkpoint holds optimizer state at {optimizers[0].path}, and the migration refuses it")
    carried = Carried()
    migrated = {section.path for section, _ in work}
    others = [each for each in sections if each.kind is not SectionKind.OPTIMIZER and each.path not in migrated]
    for section in optimizers:
        if "leave" in asked:
            carried.said.append(
                f"warning: {section.path}: the optimizer's state is left as it is, as the migration says"
            )
        elif "reset" in asked:
            _empty(section, "as the migration says", carried)
            _renumber(section, work, wishes, carried)
        else:
            _carry(section, work, others, wishes, carried)
    return carried


def _carry(
    section: Section, work: Sequence[tuple[Section, Plan]], others: Sequence[Section], wishes: Wishes, carried: Carried
) -> None:
    if all(_changes_nothing(plan, wishes.order) for _, plan in work):
        return
    optimizer = read_optimizer(section)
    if all(_in_order(plan, wishes.order) for _, plan in work) and not (optimizer is not None and _has_names(optimizer)):
        return
    if optimizer is None:
        _empty(section, "since its form is not torch's", carried, strict=wishes.strict)
        return
    found = [(plan, owners(optimizer, plan, wishes.groups)) for _, plan in work]
    mine = next(((plan, known) for plan, known in found if isinstance(known, Owners)), None)
    if mine is not None:
        _Carrying(optimizer, *mine, wishes, carried).run()
    elif not any(isinstance(owners(optimizer, _as_it_is(each)), Owners) for each in others):
        reason = next((why for _, why in found if isinstance(why, str)), "")
        _empty(section, reason, carried, strict=wishes.strict)


def _renumber(section: Section, work: Sequence[tuple[Section, Plan]], wishes: Wishes, carried: Carried) -> None:
    """Give the groups of an emptied optimizer the new parameters, where it is known whose they were: torch loads no others."""
    optimizer = read_optimizer(section)
    if optimizer is None:
        return
    for _, plan in work:
        known = owners(optimizer, plan, wishes.groups)
        if isinstance(known, Owners):
            _Carrying(optimizer._replace(entries={}), plan, known, wishes, carried).run()
            return


def _in_order(plan: Plan, order: Sequence[str] | None) -> bool:
    """Whether every tensor has kept its place and its shape; a parameter with several names counts once, by the first."""
    same = not plan.steps and list(dict.fromkeys(plan.inputs.values())) == list(dict.fromkeys(plan.outputs.values()))
    return same and (order is None or [key for key in plan.outputs if key in set(order)] == list(order))


def _changes_nothing(plan: Plan, order: Sequence[str] | None) -> bool:
    return _in_order(plan, order) and list(plan.inputs) == list(plan.outputs)


def _has_names(optimizer: Optimizer) -> bool:
    return optimizer.by_name or any(group.noted is not None for group in optimizer.groups)


def _as_it_is(section: Section) -> Plan:
    """The plan that changes nothing."""
    schema = section.schema()
    first = {key: group[0] for group in schema.ties for key in group}
    keys = list(schema.tensors)
    numbers = {key: keys.index(first.get(key, key)) if key in first else place for place, key in enumerate(keys)}
    return Plan(schema, schema, tuple(schema.tensors.values()), (), numbers, numbers, ())


def _empty(section: Section, why: str, carried: Carried, *, strict: bool = False) -> None:
    state = section.node.get("state") if isinstance(section.node, Dict) else None
    if not isinstance(state, Dict) or not state.items:
        return
    text = f"{section.path}: the optimizer's state is reset, {why}"
    if strict:
        raise PlanError(text, hint=_STRICT)
    carried.replaced[id(state)] = Dict([], state.made_by, state.state)
    carried.said.append(f"warning: {text}")


class _Carrying:
    """One optimizer and the plan of its weights."""

    def __init__(self, optimizer: Optimizer, plan: Plan, known: Owners, wishes: Wishes, carried: Carried) -> None:
        self._optimizer = optimizer
        self._plan = plan
        self._known = known
        self._wishes = wishes
        self._carried = carried
        self._behind = made_of(plan)
        self._member = {plan.inputs[key]: each for key, each in zip(known.keys, optimizer.members, strict=True)}
        self._group = {member: place for place, group in enumerate(optimizer.groups) for member in group.members}
        self._moments = {kind: Moments(plan, kind, tensors) for kind, tensors in self._kinds().items() if tensors}
        self._wanted: dict[str, list[str]] = {kind: [] for kind in self._moments}
        self._used: set[int] = set()
        self._lost: dict[str, list[str]] = {}  # by reason

    def run(self) -> None:
        groups = self._grouped()
        names: dict[str, int | str] = {}
        for keys in groups:
            for key in keys:
                names[key] = self._known.name(key) if self._optimizer.by_name else len(names)
        entries = {names[key]: self._entry(key) for key in names}
        self._replace(groups, names, {name: entry for name, entry in entries.items() if entry is not None})
        for kind, keys in self._wanted.items():
            if keys:
                self._carried.beside.append(self._moments[kind].beside(keys))
        self._say(len([entry for entry in entries.values() if entry is not None]))

    def _kinds(self) -> Mapping[str, Mapping[str, Tensor]]:
        """The moments by their kind and the key of their weight."""
        found: dict[str, dict[str, Tensor]] = {kind: {} for kind in (*ORDERS, *LENGTHS)}
        for key, member in zip(self._known.keys, self._optimizer.members, strict=True):
            entry = self._optimizer.entries.get(member)
            for kind, value in entry.items if entry is not None else []:
                like = isinstance(value, Tensor) and value.shape == self._plan.source.tensors[key].shape
                if isinstance(value, Tensor) and like and isinstance(kind, str) and kind in found:
                    found[kind][key] = value
        return found

    def _grouped(self) -> list[list[str]]:
        """The new parameters of each group, in their order."""
        groups: list[list[tuple[float, str]]] = [[] for _ in self._optimizer.groups]
        places = {member: place for place, member in enumerate(self._optimizer.members)}
        in_order = self._is_in_order()
        seen: set[int] = set()
        for number, key in enumerate(self._order()):
            value = self._plan.outputs[key]
            if value in seen:
                continue
            seen.add(value)
            members = [self._member[each] for each in self._behind[value] if each in self._member]
            if members:
                first = min(members, key=places.__getitem__)
                groups[self._group[first]].append((number if in_order else places[first], key))
            elif not self._behind[value] and groups:
                groups[self._home(key, groups)].append((number if in_order else len(places), key))
        return [[key for _, key in sorted(group, key=lambda each: each[0])] for group in groups]

    def _order(self) -> list[str]:
        plan = self._plan
        known = self._wishes.order if self._wishes.order is not None else plan.target.parameters
        if known is not None:
            return [key for key in known if key in plan.outputs]
        likely = set(parameters(plan, list(plan.outputs), plan.outputs))
        return [key for key, value in plan.outputs.items() if key in likely or self._behind[value]]

    def _is_in_order(self) -> bool:
        """Whether each group has its parameters as the state dict has them."""
        rank = {value: place for place, value in enumerate(dict.fromkeys(self._plan.inputs.values()))}
        numbers = [rank[self._plan.inputs[key]] for key in self._known.keys]
        at = 0
        for group in self._optimizer.groups:
            part = numbers[at : at + len(group.members)]
            if part != sorted(part):
                return False
            at += len(part)
        return True

    def _home(self, key: str, groups: Sequence[Sequence[tuple[float, str]]]) -> int:
        """The group of a parameter that is new: that of others of its number of dimensions, else the last."""
        dims = len(self._plan.target.tensors[key].shape)
        alike = (
            place
            for place, group in enumerate(groups)
            if any(len(self._plan.target.tensors[other].shape) == dims for _, other in group)
        )
        return next(alike, len(groups) - 1)

    def _entry(self, key: str) -> Dict | None:
        """What is kept for a new parameter, None where nothing is."""
        value = self._plan.outputs[key]
        if value in self._member:
            return self._optimizer.entries.get(self._member[value])
        sources = self._behind[value]
        old = [self._optimizer.entries.get(self._member[each]) if each in self._member else None for each in sources]
        entries = [entry for entry in old if entry is not None]
        if not entries:
            return None
        differ = any([name for name, _ in entry.items] != [name for name, _ in entries[0].items] for entry in entries)
        if differ or len(entries) < len(old):
            self._lose(key, "what is kept for its parts differs")
            return None
        return self._joined(key, entries)

    def _joined(self, key: str, entries: Sequence[Dict]) -> Dict | None:
        """What is kept for a parameter that is computed from those that these entries are kept for."""
        items = [(name, self._value(key, name, [entry.get(name) for entry in entries])) for name, _ in entries[0].items]
        lacking = [str(name) for name, made in items if made is _NOTHING]
        if lacking:
            self._lose(key, f"no law is known for {', '.join(lacking)}")
            return None
        for name, _ in items:
            if isinstance(name, str) and name in self._wanted and self._moments[name].place(key) is not None:
                self._wanted[name].append(key)
        return Dict([(name, made) for name, made in items], entries[0].made_by, entries[0].state)

    def _value(self, key: str, name: Value, old: Sequence[Value]) -> Value:
        """What a new parameter has under a name where its sources have these; `_NOTHING` where that is not known."""
        tensors = [each for each in old if isinstance(each, Tensor)]
        if isinstance(name, str) and name in self._moments and len(tensors) == len(old):
            place = self._moments[name].place(key)
            if place is not None:
                return place
        if len(tensors) == len(old) and all(each.spec.numel == 1 for each in tensors):
            same = len({(each.spec, self._wishes.read(each)) for each in tensors}) == 1
            return self._apart(tensors[0]) if same else _NOTHING
        plain = not any(isinstance(each, Node) for each in old)
        return old[0] if plain and all(type(each) is type(old[0]) and each == old[0] for each in old) else _NOTHING

    def _apart(self, tensor: Tensor) -> Node:
        """A counter of steps is counted up in place: parameters must not share one."""
        place = awaited(tensor.spec)
        self._carried.apart.append((place, tensor))
        return place

    def _lose(self, key: str, why: str) -> None:
        self._lost.setdefault(why, []).append(key)

    def _replace(
        self, groups: Sequence[Sequence[str]], names: Mapping[str, int | str], entries: Mapping[int | str, Dict]
    ) -> None:
        replaced = self._carried.replaced
        state = self._optimizer.state
        replaced[id(state)] = Dict(list(entries.items()), state.made_by, state.state)
        for group, keys in zip(self._optimizer.groups, groups, strict=True):
            replaced[id(group.listed)] = List([names[key] for key in keys])
            if group.noted is not None:
                replaced[id(group.noted)] = List([self._known.name(key) for key in keys])

    def _say(self, kept: int) -> None:
        path, said = self._optimizer.path, self._carried.said
        for why, keys in self._lost.items():
            text = f"{path}: the optimizer's state is reset for {_listed(keys)}: {why}"
            if self._wishes.strict:
                raise PlanError(text, hint=_STRICT)
            said.append(f"warning: {text}")
        if self._plan.steps and kept and not self._optimizer.by_name and self._wishes.order is None:
            said.append(
                f"warning: {path}: its parameters are numbered as the new state dict has them; --model numbers them as the model does"
            )


class _Nothing(Node):
    """Stands for a value that is not known."""

    __slots__ = ()


_NOTHING = _Nothing()


def _listed(keys: Sequence[str]) -> str:
    return ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
