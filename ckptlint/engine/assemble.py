"""Put a migrated checkpoint together: the source's tree with new state dicts in it, and where each new storage's bytes come from.

What is not understood is kept as it is: the tree is not rebuilt, the writer is told which nodes to replace. Every distinct tensor gets a
storage of its own, written compact (so a small view no longer drags a large storage along), with these exceptions: names of one tensor
share one storage, also across sections, and a tensor whose elements lie dense in another order keeps its strides and its bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ckptlint.core.checkpoint import Checkpoint, Section
from ckptlint.core.dtype import DType
from ckptlint.core.plan import Plan
from ckptlint.core.spec import TensorSpec, contiguous
from ckptlint.core.tree import Call, Dict, Global, Node, Storage, Tensor, Tuple, Value
from ckptlint.engine.edges import end_to_end
from ckptlint.engine.module_versions import module_versions
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


class Assembly:
    """The output of migrating some sections of a checkpoint.

    `replace` maps a source node to what stands in its place (others stand for themselves); `origins` says what each output
    storage holds, by identity; `tensors[n]` are the output's tensors by key for section number n.
    """

    def __init__(self, checkpoint: Checkpoint, work: Sequence[tuple[Section, Plan]], *, strided: bool = True) -> None:
        self._strided = strided
        self.origins: dict[int, Origin] = {}
        self._storages: list[Storage] = []  # keeps the identities in `origins` alive
        self._known: dict[tuple[object, ...], Tensor] = {}
        self._nodes: dict[int, Node] = {}
        self.tensors: list[dict[str, Tensor]] = []
        for number, (section, plan) in enumerate(work):
            self.tensors.append(self._section(number, section, plan))
            new = _state_dict(section, plan, self.tensors[number])
            self._nodes[id(section.node)] = new
        self.root = checkpoint.root

    def replace(self, node: Node) -> Value:
        """Return what the output holds where the source holds `node`."""
        known = self._nodes.get(id(node))
        if known is not None:
            return known
        if isinstance(node, Tensor) and id(node.storage) not in self.origins:
            self._nodes[id(node)] = new = self.keep(node)
            return new
        if isinstance(node, Storage) and id(node) not in self.origins:
            self._nodes[id(node)] = bare = self._storage(node, node.dtype, node.numel, Taken(node, 0, node.nbytes))
            return bare
        return node

    def keep(self, tensor: Tensor) -> Tensor:
        """Return the output's form of an unchanged source tensor."""
        known = self._known.get(tensor.identity)
        if known is None:
            known = self._known[tensor.identity] = self._compact(tensor)
        if (known.wrap, known.requires_grad) == (tensor.wrap, tensor.requires_grad):
            return known
        same = Tensor(known.storage, known.dtype, known.shape, known.stride, known.offset)
        same.wrap, same.requires_grad = tensor.wrap, tensor.requires_grad
        return same

    def _section(self, number: int, section: Section, plan: Plan) -> dict[str, Tensor]:
        sources = {value: section.tensors[key] for key, value in reversed(tuple(plan.inputs.items()))}
        made: dict[int, Tensor] = {}
        for value in dict.fromkeys(plan.outputs.values()):
            source = sources.get(value)
            made[value] = self.keep(source) if source is not None else self._computed(number, value, plan)
        return {key: made[value] for key, value in plan.outputs.items()}

    def _computed(self, number: int, value: int, plan: Plan) -> Tensor:
        spec = plan.specs[value]
        return self._over(spec, self._storage(None, spec.dtype, spec.numel, Made(number, value)))

    def _compact(self, tensor: Tensor) -> Tensor:
        spec, source = tensor.spec, tensor.storage
        if not source.swapped:
            span = _span(tensor)
            dense = span == spec.numel and (self._strided or tensor.is_contiguous)
            small = (
                self._strided and span < spec.numel
            )  # an expanded view: its few elements, and the strides that repeat them
            if dense or small:
                taken = Taken(source, tensor.dtype.nbytes(tensor.offset), tensor.dtype.nbytes(span))
                storage = self._storage(source, tensor.dtype, span, taken)
                new = Tensor(storage, tensor.dtype, tensor.shape, tensor.stride)
                new.wrap, new.requires_grad = tensor.wrap, tensor.requires_grad
                return new
        new = self._over(spec, self._storage(source, tensor.dtype, spec.numel, Kept(tensor)))
        new.wrap, new.requires_grad = tensor.wrap, tensor.requires_grad
        return new

    def _storage(self, like: Storage | None, dtype: DType, numel: int, origin: Origin) -> Storage:
        storage = Storage("", dtype, numel, like.location if like is not None else "cpu")
        self.origins[id(storage)] = origin
        self._storages.append(storage)
        return storage

    @staticmethod
    def _over(spec: TensorSpec, storage: Storage) -> Tensor:
        return Tensor(storage, spec.dtype, spec.shape, contiguous(spec.shape))


def _span(tensor: Tensor) -> int:
    """Elements from the first to the last that the view reaches."""
    if 0 in tensor.shape:
        return 0
    return 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride, strict=True))


def _state_dict(section: Section, plan: Plan, tensors: Mapping[str, Tensor]) -> Dict:
    """The new mapping of a section: a whole pickled module becomes the state dict it stands for."""
    old = section.node
    items: list[tuple[Value, Value]] = list(_in_place(section, plan, tensors))
    if not isinstance(old, Dict):
        return Dict(items, _ORDERED)
    versions = module_versions(section.versions, plan)
    return Dict(items, old.made_by, _with_versions(old.state, section.versions, versions))


def _in_place(section: Section, plan: Plan, tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Value]]:
    """Tensors in the plan's order, each entry that is no tensor before the first one that came from behind it."""
    rank = _ranks(section, plan)
    positions = {str(key): place for place, (key, _) in enumerate(_items(section))}
    waiting = [(positions.get(key, -1), key, value) for key, value in section.others.items()]
    for key, tensor in tensors.items():
        while waiting and waiting[0][0] < rank.get(key, -1):
            _, other, value = waiting.pop(0)
            yield other, value
        yield key, tensor
    for _, other, value in waiting:
        if other in tensors:
            raise PlanError(f"{other!r} is made by the migration and is in the state dict already, as no tensor")
        yield other, value


def _items(section: Section) -> Iterable[tuple[Value, Value]]:
    return section.node.items if isinstance(section.node, Dict) else [(key, None) for key in section.tensors]


def _ranks(section: Section, plan: Plan) -> dict[str, int]:
    """Where each target key stands by the source keys it was made of."""
    places = {str(key): place for place, (key, _) in enumerate(_items(section))}
    ranks: dict[str, int] = {}
    for edge in end_to_end(plan):
        if edge.sources:
            first = min(places.get(key, 0) for key in edge.sources)
            ranks.update((key, first) for key in edge.targets)
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
