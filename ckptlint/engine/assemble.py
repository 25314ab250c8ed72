"""Put a migrated checkpoint together: where the bytes of each storage of the new tree come from.

What is not understood is kept as it is: the writer is told which nodes to replace. Every distinct tensor gets a
storage of its own, written compact (so a small view no longer drags a large storage along), with these exceptions: names of one tensor
share one storage, also across sections; views that overlap stay views of one; and a tensor whose elements lie dense in another order
keeps its strides and its bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ckptlint.core.checkpoint import Section
from ckptlint.core.dtype import DType
from ckptlint.core.plan import Plan
from ckptlint.core.spec import TensorSpec, contiguous
from ckptlint.core.tree import Composite, Global, Node, Storage, Tensor, Value
from ckptlint.engine.held import held
from ckptlint.engine.passage import Outcome
from ckptlint.engine.recipes import Recipes
from ckptlint.engine.shared_runs import Extent, extent, identity_of, shared_runs


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
    """The output of migrating a checkpoint.

    `replaced` maps the identity of nodes to what stands in their place beside the sections; `origins` says what each output storage
    holds, by identity; `tensors[n]` are the output's tensors by key for section number n. Without `strided` everything is row-major
    and apart, as formats without strides want it.
    """

    outcome: Outcome
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

    def __post_init__(self) -> None:
        if self.strided:
            self._runs = shared_runs(self._viewed())
        recipes = Recipes(self.outcome.work)
        made: dict[object, Tensor] = {}
        for number, (section, plan) in enumerate(self.outcome.work):
            locations = _locations(section, plan)
            tensors: dict[str, Tensor | Composite] = {}
            for key, tensor in self.outcome.tensors[number].items():
                if tensor.identity not in self.outcome.computed:
                    tensors[key] = self.keep(tensor) if isinstance(tensor, Tensor) else tensor
                    continue
                value = plan.outputs[key]
                recipe = recipes.of(number, value)
                if recipe not in made:
                    made[recipe] = self._computed(plan.specs[value], locations[value], Made(number, value))
                tensors[key] = made[recipe]
                self._nodes.setdefault(id(tensor), made[recipe])
            self.tensors.append(tensors)
        self._nodes.update(self.replaced)

    @property
    def root(self) -> Value:
        return self.outcome.checkpoint.root

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
        if isinstance(node, Global):
            return self._named(node)
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

    def _named(self, node: Global) -> Global:
        """The class or function by its new name, always the same node for the same node."""
        new = self.outcome.classes.get(str(node))
        if new is None:
            return node
        module, _, name = new.rpartition(".")
        self._nodes[id(node)] = named = Global(module, name)
        return named

    def _viewed(self) -> Iterator[Tensor | Storage]:
        """Everything that goes into the output as it is."""

        def instead(value: Value) -> Iterable[Value] | None:
            return [self.replaced[id(value)]] if id(value) in self.replaced else None

        for each in held(self.root, instead):
            if not (isinstance(each, Tensor) and each.identity in self.outcome.computed):
                yield each

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


def _locations(section: Section, plan: Plan) -> dict[int, str]:
    """The device that each value would be on: that of what it is made of."""
    stored = ((value, section.tensors[key]) for key, value in plan.inputs.items())
    found = {value: tensor.storage.location for value, tensor in stored if isinstance(tensor, Tensor)}
    for step in plan.steps:
        found.update(dict.fromkeys(step.outputs, found[step.inputs[0]] if step.inputs else "cpu"))
    return found
