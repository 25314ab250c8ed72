"""What a plan makes of one state dict, as a mapping of a tree: tensors in the plan's order, entries that are no tensors in their places."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ckptlint.core.checkpoint import Section
from ckptlint.core.plan import Edge, Plan
from ckptlint.core.tree import Call, Composite, Dict, Global, Node, Tensor, Tuple, Value
from ckptlint.engine.edges import end_to_end
from ckptlint.engine.module_versions import module_versions
from ckptlint.errors import PlanError

_ORDERED = Call(Global("collections", "OrderedDict"), Tuple(()))
_NO_NAMES: Mapping[str, str] = {}


def unchanged(section: Section, plan: Plan) -> dict[str, Tensor | Composite]:
    """The target keys whose tensors go over as they are, each with the source's own node for it.

    A whole pickled module becomes what its `state_dict()` gives: plain tensors.
    """
    sources = {value: section.tensors[key] for key, value in reversed(tuple(plan.inputs.items()))}
    found = {key: sources[value] for key, value in plan.outputs.items() if value in sources}
    if len(sources) < len(plan.inputs):  # names of one tensor may still be different objects
        found.update(
            (target, section.tensors[key])
            for edge in end_to_end(plan)
            for target, key in _renamed(edge, plan)
            if target in found
        )
    return {key: _detached(tensor) for key, tensor in found.items()} if section.module else found


def _renamed(edge: Edge, plan: Plan) -> Iterator[tuple[str, str]]:
    """The targets of an edge, each with the source whose name it is now."""
    for place, target in enumerate(edge.targets):
        names = [key for key in edge.sources if plan.inputs[key] == plan.outputs[target]]
        if names:
            beside = edge.sources[place] if place < len(edge.sources) else names[0]
            yield target, beside if beside in names else names[0]


def _detached(tensor: Tensor | Composite) -> Tensor | Composite:
    if isinstance(tensor, Composite) or (tensor.wrap is None and not tensor.requires_grad):
        return tensor
    return Tensor(tensor.storage, tensor.dtype, tensor.shape, tensor.stride, tensor.offset)


def state_dict(
    section: Section, plan: Plan, tensors: Mapping[str, Tensor | Composite], names: Mapping[str, str] = _NO_NAMES
) -> Dict:
    """The new mapping of a section: a whole pickled module becomes the state dict it stands for."""
    old = section.node
    items: list[tuple[Value, Value]] = list(_in_place(section, plan, tensors, names))
    if not isinstance(old, Dict):
        return Dict(items, _ORDERED)
    versions = module_versions(section.versions, plan)
    return Dict(items, old.made_by, _with_versions(old.state, section.versions, versions))


def _in_place(
    section: Section, plan: Plan, tensors: Mapping[str, Tensor | Composite], names: Mapping[str, str]
) -> Iterator[tuple[Value, Value]]:
    """Tensors in the plan's order, each entry that is no tensor before the first one that came from behind it; new ones come last."""
    rank = _ranks(section, plan)
    for key in reversed(list(tensors)):
        if key in rank:
            break
        rank[key] = len(section.tensors) + len(section.others)
    waiting = _others(section, names)
    at = 0
    for key, tensor in tensors.items():
        while at < len(waiting) and waiting[at].place < rank.get(key, -1):
            yield waiting[at].key, waiting[at].value
            at += 1
        yield key, tensor
    for entry in waiting:
        if isinstance(entry.key, str) and entry.key in tensors:
            raise PlanError(f"{entry.key!r} is made by the migration and is in the state dict already, as no tensor")
    yield from ((entry.key, entry.value) for entry in waiting[at:])


class _Entry(NamedTuple):
    place: int
    key: Value
    value: Value


def _others(section: Section, names: Mapping[str, str]) -> list[_Entry]:
    """The entries of a state dict that are no tensors, by their new names; of a repeated key Python keeps the last value."""
    if not isinstance(section.node, Dict):
        return []
    entries: dict[object, _Entry] = {}
    for place, (key, value) in enumerate(section.node.items):
        mark = id(key) if isinstance(key, Node) else (type(key), key)
        entries[mark] = _Entry(entries[mark].place if mark in entries else place, key, value)
    others = [entry for entry in entries.values() if not isinstance(entry.value, Tensor | Composite)]
    if not names:
        return others
    taken: set[object] = set()
    renamed: list[_Entry] = []
    for entry in others:
        key = names.get(entry.key, entry.key) if isinstance(entry.key, str) else entry.key
        if isinstance(key, str) and key in taken:
            raise PlanError(f"{key!r}, which is no tensor, is made twice")
        taken.add(key)
        renamed.append(entry._replace(key=key))
    return renamed


def _ranks(section: Section, plan: Plan) -> dict[str, int]:
    """Where each target key stands by the source keys it was made of."""
    keys = [key for key, _ in section.node.items] if isinstance(section.node, Dict) else list(section.tensors)
    places = {key: place for place, key in enumerate(keys) if isinstance(key, str)}
    ranks: dict[str, int] = {}
    for edge in end_to_end(plan):
        if edge.sources:
            first = min(places[key] for key in edge.sources)
            ranks.update((key, first) for key in edge.targets)
            if len(edge.sources) > 1:
                ranks.update((target, places[key]) for target, key in _renamed(edge, plan))
    return ranks


def _with_versions(state: Value, old: Mapping[str, int], new: Mapping[str, int]) -> Value:
    """The attributes of a state dict with the module paths of `_metadata` brought up to date."""
    if old == new or not isinstance(state, Dict):
        return state
    metadata = state.get("_metadata")
    if not isinstance(metadata, Dict):
        return state
    kept = {key: value for key, value in metadata.items if isinstance(key, str)}
    sources = _by_version(kept, old)
    items: list[tuple[Value, Value]] = [(path, kept.get(path, sources.get(number))) for path, number in new.items()]
    fresh = Dict(items, metadata.made_by, metadata.state)
    return Dict([(k, fresh if k == "_metadata" else v) for k, v in state.items], state.made_by, state.state)


def _by_version(entries: Mapping[str, Value], versions: Mapping[str, int]) -> dict[int, Value]:
    """One stored entry for each version number, to be used for modules that have a new path."""
    return {number: entries[path] for path, number in reversed(tuple(versions.items())) if path in entries}
