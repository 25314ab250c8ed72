"""Which box of a DTensor each rank holds: from its placements, the rank's coordinates in the mesh, and how torch cuts along a dimension.

A dimension is cut into chunks of `ceil(size / ranks)`, the last ones shorter or empty. Where several dimensions of the mesh cut the same
dimension of the tensor, they do so in order, and strided ones (FSDP over tensor parallelism) after the plain ones. How many ranks a
dimension of the mesh has is told by the largest coordinate. Source: torch.distributed.tensor, `compute_local_shape_and_global_offset`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

from ckptlint.core.tree import Composite, Dict, List, Opaque, Tensor, Tuple, Value
from ckptlint.formats.attributes import attributes, counts

DTENSOR = (
    "torch.distributed.tensor.DTensor",
    "torch.distributed.tensor._api.DTensor",
    "torch.distributed._tensor.api.DTensor",
)
_MOST_AXES = 8  # of a mesh

Box = tuple[tuple[int, ...], tuple[int, ...]]


class Cut(NamedTuple):
    """What one dimension of the mesh does: cut the tensor along `axis`, None where each rank has all; `stride` > 1 where strided."""

    axis: int | None
    stride: int


class Part(NamedTuple):
    """What a rank holds: its elements, its coordinates in the mesh, and how the mesh cuts the tensor."""

    tensor: Tensor
    at: tuple[int, ...]
    cuts: tuple[Cut, ...]


def part_of(node: Composite) -> Part | None:
    """Return what a DTensor in the file of one rank holds; None where that is not understood."""
    tensor = next((part for name, part in node.parts if name == "_local_tensor"), None)
    spec = _spec(node)
    at = counts(attributes(spec.get("mesh")).get("_coordinate_on_dim"))
    placements = spec.get("placements")
    if tensor is None or tensor.lazy or at is None or not isinstance(placements, Tuple | List):
        return None
    cuts = [_cut(each, len(node.shape)) for each in placements.items]
    known = tuple(cut for cut in cuts if cut is not None)
    return Part(tensor, at, known) if len(known) == len(cuts) == len(at) <= _MOST_AXES else None


def boxes(shape: tuple[int, ...], parts: Sequence[Part]) -> list[Box] | None:
    """Return the box of each part; None where they contradict each other, or hold something else than torch would have cut."""
    first = parts[0]
    if any(part.cuts != first.cuts for part in parts):
        return None
    ranks = [max(part.at[axis] for part in parts) + 1 for axis in range(len(first.at))]
    order = _order(first.cuts, ranks)
    if order is None:
        return None
    found = [_box(shape, part, ranks, order) for part in parts]
    return found if all(part.tensor.shape == box[1] for part, box in zip(parts, found, strict=True)) else None


def is_copy(part: Part) -> bool:
    """Whether another rank holds the same elements: it is not the first of those that share them."""
    return any(at and cut.axis is None for at, cut in zip(part.at, part.cuts, strict=True))


def _order(cuts: Sequence[Cut], ranks: Sequence[int]) -> list[int] | None:
    """Return the dimensions of the mesh in the order in which they cut: plain ones, then strided ones, the last first."""
    plain = [number for number, cut in enumerate(cuts) if cut.axis is not None and cut.stride == 1]
    strided = [number for number, cut in enumerate(cuts) if cut.stride > 1]
    for number in strided:
        later = (ranks[other] for other in range(number + 1, len(cuts)) if cuts[other].axis == cuts[number].axis)
        if cuts[number].stride != prod(later):
            return None
    return [*plain, *reversed(strided)]


def _box(shape: tuple[int, ...], part: Part, ranks: Sequence[int], order: Sequence[int]) -> Box:
    offsets, sizes = [0] * len(shape), list(shape)
    for number in order:
        axis = part.cuts[number].axis
        if axis is None:
            continue
        chunk = -(-sizes[axis] // ranks[number])
        begin = min(part.at[number] * chunk, sizes[axis])
        offsets[axis] += begin
        sizes[axis] = min(chunk, sizes[axis] - begin)
    return tuple(offsets), tuple(sizes)


def _cut(value: Value, axes: int) -> Cut | None:
    name = value.named.rpartition(".")[2] if isinstance(value, Opaque) else ""
    if name == "Replicate":
        return Cut(None, 1)
    fields = attributes(value)
    axis = fields.get("dim")
    stride = fields.get("split_factor") if name == "_StridedShard" else 1
    if (
        name not in {"Shard", "_StridedShard"}
        or type(axis) is not int
        or not 0 <= axis < axes
        or type(stride) is not int
    ):
        return None
    return Cut(axis, stride) if stride > 0 else None


def _spec(node: Composite) -> Dict:
    """Return the attributes of a DTensor's spec, which a parameter has one call deeper."""
    inner: Value = node
    while isinstance(inner, Composite):
        spec = attributes(inner).get("_spec")
        if spec is not None:
            return attributes(spec)
        arguments = inner.call.arguments
        inner = arguments.items[0] if isinstance(arguments, Tuple) and arguments.items else None
    return Dict([])
