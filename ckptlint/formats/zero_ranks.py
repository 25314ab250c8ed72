"""What the ranks of a DeepSpeed run saved: the model states and the flat partitions of the fp32 weights, looked into but not put together.

Names and meanings are those of deepspeed/checkpoint/constants.py and deepspeed/utils/zero_to_fp32.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

from ckptlint.core.checkpoint import Checkpoint
from ckptlint.core.tree import Dict, List, Tensor, Tuple, Value
from ckptlint.errors import FormatError

Shape = tuple[int, ...]
_SHARDED = 3  # the stage from which parameters themselves are spread over the ranks
_MOST = 1 << 60
_HINT = "the files do not fit together; fetch or save all of them again"


class Rank(NamedTuple):
    """One rank's file, and the rank that its name says."""

    number: int
    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class ModelStates:
    """What one rank says of the model.

    `groups` are the shapes of the trained parameters, in the order in which they lie in each flat group; `frozen` the shapes of those
    that are not trained, `fragments` this rank's part of them; `shared` the other name of each parameter that has two.
    """

    rank: Rank
    fields: Dict
    module: Dict
    buffers: tuple[str, ...]
    groups: tuple[Mapping[str, Shape], ...]
    frozen: Mapping[str, Shape]
    fragments: Mapping[str, Tensor]
    shared: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Partition:
    """One rank's part of the fp32 weights: a flat tensor a group. `ranks` is how many there should be, for all groups together."""

    rank: Rank
    stage: int
    ranks: int
    groups: tuple[Tensor, ...]


def model_states(rank: Rank) -> ModelStates:
    """Look into a `*_model_states.pt`; `FormatError` where it is none of ZeRO."""
    where = rank.checkpoint.origin
    fields = _dict(rank.checkpoint.root, "the file", where)
    shapes = fields.get("param_shapes")
    groups = shapes.items if isinstance(shapes, List | Tuple) else [shapes]  # one dict before DeepSpeed 0.4
    names = fields.get("buffer_names")
    return ModelStates(
        rank,
        fields,
        _dict(fields.get("module"), "module", where),
        tuple(name for name in names.items if isinstance(name, str)) if isinstance(names, List | Tuple) else (),
        tuple(_shapes(group, "param_shapes", where) for group in groups),
        _shapes(fields.get("frozen_param_shapes"), "frozen_param_shapes", where, optional=True),
        _tensors(fields.get("frozen_param_fragments"), where),
        _texts(fields.get("shared_params")),
    )


def partition(rank: Rank) -> Partition:
    """Look into a `*_optim_states.pt`; `FormatError` where it has no partition of ZeRO's fp32 weights."""
    where = rank.checkpoint.origin
    held = _dict(rank.checkpoint.root, "the file", where)
    state = _dict(held.get("optimizer_state_dict"), "optimizer_state_dict", where)
    stage, count = state.get("zero_stage"), state.get("partition_count")
    if type(stage) is not int or not 0 < stage <= _SHARDED:
        raise FormatError("is no state of a ZeRO optimizer of stage 1 to 3", where=where, hint=_HINT)
    return Partition(rank, stage, _most_ranks(count, where), _flat_groups(state, stage, where))


def _most_ranks(count: Value, where: str) -> int:
    """Experts can be spread over fewer ranks than the rest: then there is a number for each group."""
    counts = count.items if isinstance(count, List | Tuple) else [count]
    ranks = [each for each in counts if type(each) is int and each > 0]
    if not ranks or len(ranks) != len(counts):
        raise FormatError("has no partition_count, the number of its ranks", where=where, hint=_HINT)
    return max(ranks)


def _flat_groups(state: Dict, stage: int, where: str) -> tuple[Tensor, ...]:
    name = "fp32_flat_groups" if stage == _SHARDED else "single_partition_of_fp32_groups"
    groups = state.get(name)
    tensors = groups.items if isinstance(groups, List | Tuple) else [groups]
    flat = tuple(each for each in tensors if isinstance(each, Tensor) and len(each.shape) == 1 and each.is_contiguous)
    if len(flat) != len(tensors):
        raise FormatError(f"has no list of flat tensors at {name}", where=where, hint=_HINT)
    return flat


def _dict(value: Value, what: str, where: str) -> Dict:
    if not isinstance(value, Dict):
        raise FormatError(f"{what} is no dict, as DeepSpeed saves it", where=where, hint=_HINT)
    return value


def _shapes(value: Value, what: str, where: str, *, optional: bool = False) -> dict[str, Shape]:
    if value is None and optional:
        return {}
    shapes: dict[str, Shape] = {}
    for name, size in _dict(value, what, where).items:
        shape = _shape(size)
        if not isinstance(name, str) or shape is None:
            raise FormatError(f"{what} has something else than the shapes of parameters", where=where, hint=_HINT)
        if name in shapes:
            raise FormatError(f"{what} has {name!r} twice", where=where, hint=_HINT)
        shapes[name] = shape
    return shapes


def _shape(value: Value) -> Shape | None:
    if not isinstance(value, Tuple | List):
        return None
    sizes = tuple(size for size in value.items if type(size) is int and 0 <= size <= _MOST)
    return sizes if len(sizes) == len(value.items) and prod(sizes) <= _MOST else None


def _tensors(value: Value, where: str) -> dict[str, Tensor]:
    pairs = value.items if isinstance(value, Dict) else []
    found = {key: tensor for key, tensor in pairs if isinstance(key, str) and isinstance(tensor, Tensor)}
    if len(found) != len(pairs):
        raise FormatError("frozen_param_fragments has something else than tensors", where=where, hint=_HINT)
    return found


def _texts(value: Value) -> dict[str, str]:
    pairs: Sequence[tuple[Value, Value]] = value.items if isinstance(value, Dict) else ()
    return {key: other for key, other in pairs if isinstance(key, str) and isinstance(other, str)}
