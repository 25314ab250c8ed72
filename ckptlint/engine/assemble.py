"""Put a migrated checkpoint together: the source's tree with new state dicts in it, and where each new storage's bytes come from.

What is not understood is kept as it is: the tree is not rebuilt, the writer is told which nodes to replace. Every distinct tensor gets a
storage of its own, written compact (so a small view no longer drags a large storage along), with these exceptions: names of one tensor
share one storage, also across sections; views that overlap stay views of one; and a tensor whose elements lie dense in another order
keeps its strides and its bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ckptlint.core.checkpoint import Checkpoint, Section
from ckptlint.core.dtype import DType
from ckptlint.core.plan import Edge, Plan
from ckptlint.core.spec import TensorSpec, contiguous
from ckptlint.core.tree import Call, Composite, Dict, Global, Node, Storage, Tensor, Tuple, Value
from ckptlint.engine.edges import end_to_end
from ckptlint.engine.held import held
from ckptlint.engine.module_versions import module_versions
from ckptlint.engine.recipes import Recipes
from ckptlint.engine.shared_runs import Extent, extent, identity_of, shared_runs
from ckptlint.errors import PlanError

_ORDERED = Call(Global("collections", "OrderedDict"), Tuple(()))


@dataclass(frozen=True, slots=True)
class Made:
    """An output storage that holds value number `value` of the plan of section number `section`, row-major."""

    section: int
    value: int


@dataclass(frozen=True, slots=True)
class Taken:
    """An output storage that is `length` bytes of a source storage, from byte `start` on."""

    storage: Storage
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class Kept:
    """An output storage that holds a source tensor, row-major, though it lies otherwise in the source."""

    tensor: Tensor


Origin = Made | Taken | Kept


class _Place(NamedTuple):
    """Where the elements of a kept tensor will lie."""

    storage: Storage
    stride: tuple[int, ...]
    offset: int = 0


@dataclass(slots=True)
class Assembly:
    """The output of migrating some sections of a checkpoint.

    `replaced` maps the identity of nodes to what stands in their place beside the sections; `origins` says what each output storage
    holds, by identity; `tensors[n]` are the output's tensors by key for section number n. Without `strided` everything is row-major
    and apart, as formats without strides want it.
    """

    checkpoint: Checkpoint
    work: Sequence[tuple[Section, Plan]]
    replaced: Mapping[int, Node] = field(default_factory=dict)
    strided: bool = True
    origins: dict[int, Origin] = field(default_factory=dict)
    tensors: list[dict[str, Tensor | Composite]] = field(default_factory=list)
    _storages: list[Storage] = field(default_factory=list)  # keeps the identities in `origins` alive
    _runs: dict[tuple[object, ...], Extent] = field(default_factory=dict)
    _run_storages: dict[tuple[object, ...], Storage] = field(default_factory=dict)
    _places: dict[tuple[object, ...], _Place] = field(default_factory=dict)
    _nodes: dict[int, Node] = field(default_factory=dict)
    _names: dict[int, str] = field(default_factory=dict)
    _unchanged: list[dict[str, Tensor | Composite]] = field(
        default_factory=list
    )  # target keys whose tensors go over as they are

    def __post_init__(self) -> None:
        self._unchanged = [_unchanged(section, plan) for section, plan in self.work]
        if self.strided:
            self._runs = shared_runs(self._viewed())
        recipes = Recipes(self.work)
        made: dict[object, Tensor] = {}
        for number, (section, plan) in enumerate(self.work):
            locations = _locations(section, plan)
            tensors: dict[str, Tensor | Composite] = {}
            for key, value in plan.outputs.items():
                source = self._unchanged[number].get(key)
                if source is not None:
                    tensors[key] = self.keep(source) if isinstance(source, Tensor) else source
                    continue
                recipe = recipes.of(number, value)
                if recipe not in made:
                    made[recipe] = self._computed(plan.specs[value], locations[value], Made(number, value))
                tensors[key] = made[recipe]
            self.tensors.append(tensors)
            self._nodes[id(section.node)] = _state_dict(section, plan, tensors)
        self._nodes.update(self.replaced)

    @property
    def root(self) -> Value:
        return self.checkpoint.root

    def names(self) -> Mapping[int, str]:
        """The first key of each output storage that sections' tensors are in, by identity."""
        if not self._names:
            for tensors in self.tensors:
                for key, tensor in tensors.items():
                    for part in (tensor,) if isinstance(tensor, Tensor) else self._dense(tensor):
                        self._names.setdefault(id(part.storage), key)
        return self._names

    def _dense(self, tensor: Composite) -> Iterator[Tensor]:
        return (self.keep(part) for _, part in tensor.parts)

    def replace(self, node: Node) -> Value:
        """Return what the output holds where the source holds `node`."""
        known = self._nodes.get(id(node))
        if known is not None:
            return known
        if isinstance(node, Tensor) and id(node.storage) not in self.origins:
            return self.keep(node)
        if isinstance(node, Storage) and id(node) not in self.origins:
            self._nodes[id(node)] = bare = self._bare(node)
            return bare
        return node

    def keep(self, tensor: Tensor) -> Tensor:
        """Return the output's form of an unchanged source tensor; always the same node for the same node."""
        known = self._nodes.get(id(tensor))
        if isinstance(known, Tensor):
            return known
        identity = tensor.identity
        place = self._places.get(identity)
        if place is None:
            place = self._places[identity] = self._placed(tensor, identity)
        new = Tensor(place.storage, tensor.dtype, tensor.shape, place.stride, place.offset)
        new.wrap, new.requires_grad = tensor.wrap, tensor.requires_grad
        self._nodes[id(tensor)] = new
        return new

    def _viewed(self) -> Iterator[Tensor | Storage]:
        """Everything that goes into the output as it is."""
        sections = {id(section.node): section for section, _ in self.work}

        def instead(value: Value) -> Iterable[Value] | None:
            if id(value) in self.replaced:
                return [self.replaced[id(value)]]
            section = sections.get(id(value))
            if section is None:
                return None
            return [*section.others.values(), section.node.state if isinstance(section.node, Dict) else None]

        for tensors in self._unchanged:
            for each in tensors.values():
                yield from (each,) if isinstance(each, Tensor) else held(each, lambda _: None)
        yield from held(self.checkpoint.root, instead)

    def _computed(self, spec: TensorSpec, location: str, made: Made) -> Tensor:
        return Tensor(self._storage(location, spec, made), spec.dtype, spec.shape, contiguous(spec.shape))

    def _placed(self, tensor: Tensor, identity: tuple[object, ...]) -> _Place:
        run = self._runs.get(identity)
        if run is not None:
            return _Place(self._run(tensor.storage, tensor.dtype, run), tensor.stride, tensor.offset - run.first)
        reach = extent(tensor)
        dense = reach.numel == tensor.spec.numel and (self.strided or tensor.is_contiguous)
        small = (
            self.strided and reach.numel < tensor.spec.numel
        )  # expanded: its few elements, and strides that repeat them
        if (dense or small) and not tensor.storage.swapped:
            return _Place(self._taken(tensor.storage, tensor.dtype, reach), tensor.stride)
        storage = self._storage(tensor.storage.location, tensor.spec, Kept(tensor))
        return _Place(storage, contiguous(tensor.shape))

    def _bare(self, storage: Storage) -> Storage:
        run = self._runs.get(identity_of(storage))
        if run is not None:
            return self._run(storage, storage.dtype, run)
        if storage.swapped:
            whole = Tensor(storage, storage.dtype, (storage.numel,), (1,))
            return self._storage(storage.location, whole.spec, Kept(whole))
        return self._taken(storage, storage.dtype, Extent(0, storage.numel))

    def _run(self, storage: Storage, dtype: DType, run: Extent) -> Storage:
        key = (id(storage), dtype, run)
        if key not in self._run_storages:
            self._run_storages[key] = self._taken(storage, dtype, run)
        return self._run_storages[key]

    def _taken(self, storage: Storage, dtype: DType, reach: Extent) -> Storage:
        taken = Taken(storage, dtype.nbytes(reach.first), dtype.nbytes(reach.numel))
        return self._storage(storage.location, TensorSpec(dtype, (reach.numel,)), taken)

    def _storage(self, location: str, spec: TensorSpec, origin: Origin) -> Storage:
        storage = Storage("", spec.dtype, spec.numel, location)
        self.origins[id(storage)] = origin
        self._storages.append(storage)
        return storage


def _unchanged(section: Section, plan: Plan) -> dict[str, Tensor | Composite]:
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


def _locations(section: Section, plan: Plan) -> dict[int, str]:
    """The device that each value would be on: that of what it is made of."""
    stored = ((value, section.tensors[key]) for key, value in plan.inputs.items())
    found = {value: tensor.storage.location for value, tensor in stored if isinstance(tensor, Tensor)}
    for step in plan.steps:
        found.update(dict.fromkeys(step.outputs, found[step.inputs[0]] if step.inputs else "cpu"))
    return found


def _state_dict(section: Section, plan: Plan, tensors: Mapping[str, Tensor | Composite]) -> Dict:
    """The new mapping of a section: a whole pickled module becomes the state dict it stands for."""
    old = section.node
    items: list[tuple[Value, Value]] = list(_in_place(section, plan, tensors))
    if not isinstance(old, Dict):
        return Dict(items, _ORDERED)
    versions = module_versions(section.versions, plan)
    return Dict(items, old.made_by, _with_versions(old.state, section.versions, versions))


def _in_place(section: Section, plan: Plan, tensors: Mapping[str, Tensor | Composite]) -> Iterator[tuple[Value, Value]]:
    """Tensors in the plan's order, each entry that is no tensor before the first one that came from behind it; new ones come last."""
    rank = _ranks(section, plan)
    for key in reversed(list(tensors)):
        if key in rank:
            break
        rank[key] = len(section.tensors) + len(section.others)
    waiting = _others(section)
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


def _others(section: Section) -> list[_Entry]:
    """The entries of a state dict that are no tensors, under their own keys; of a repeated key Python keeps the last value."""
    if not isinstance(section.node, Dict):
        return []
    entries: dict[object, _Entry] = {}
    for place, (key, value) in enumerate(section.node.items):
        mark = id(key) if isinstance(key, Node) else (type(key), key)
        entries[mark] = _Entry(entries[mark].place if mark in entries else place, key, value)
    return [entry for entry in entries.values() if not isinstance(entry.value, Tensor | Composite)]


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
