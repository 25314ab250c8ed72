"""The fp32 weights of a ZeRO run, put together from what its ranks hold, as DeepSpeed's own zero_to_fp32 does it.

Stages 1 and 2: the ranks' partitions of a group, end to end, are its parameters end to end, padded to a multiple of twice the ranks.
Stage 3: each parameter by itself is cut into as many equal parts as there are ranks, the last padded; a rank's parts lie end to end.
Nothing is read for it: each parameter becomes a patchwork of ranges of the ranks' files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from math import prod
from typing import NamedTuple

from ckptlint.core.checkpoint import ByteSource
from ckptlint.core.pieces import Range
from ckptlint.core.spec import contiguous
from ckptlint.core.tree import Storage, Tensor
from ckptlint.errors import FormatError
from ckptlint.formats.patches import Located, Patch
from ckptlint.formats.patchwork import Patchwork, flat
from ckptlint.formats.zero_ranks import ModelStates, Partition, Rank, Shape

_HINT = "the files do not fit together; fetch or save all of them again"


class _Flat(NamedTuple):
    """A flat tensor in a rank's file."""

    rank: Rank
    tensor: Tensor

    def part(self, start: int, stop: int) -> tuple[int, Callable[[], Located]]:
        """Elements from `start` up to `stop`, for `flat`."""
        return stop - start, lambda: self._located(start)

    def _located(self, start: int) -> Located:
        checkpoint, tensor = self.rank.checkpoint, self.tensor
        storage = tensor.storage
        source: ByteSource = checkpoint.parts[0]
        checksum = checkpoint.checksums.get((storage.part, storage.start))
        record = None if checksum is None else Range(source, storage.start, storage.nbytes, checksum)
        first = storage.start + tensor.dtype.nbytes(tensor.offset + start)
        return Located(source, first, (1,), storage.swapped, record)


class Weights:
    """Makes tensors in a patchwork, which is part number `part` of the checkpoint."""

    def __init__(self, patchwork: Patchwork, part: int) -> None:
        self.storages: list[Storage] = []
        self._patchwork = patchwork
        self._part = part

    def trained(self, states: ModelStates, partitions: Sequence[Partition]) -> dict[str, Tensor]:
        """Return the trained parameters, in the order of their groups."""
        _check_dtypes(partitions)
        if partitions[0].stage < 3:
            return dict(self._end_to_end(states, partitions))
        return dict(self._zipped(states, partitions))

    def frozen(self, states: Sequence[ModelStates], *, spread: bool) -> dict[str, Tensor]:
        """Return the parameters that are not trained: whole in every file, or `spread` over the ranks."""
        found: dict[str, Tensor] = {}
        for name, shape in states[0].frozen.items():
            fragments = [_Flat(each.rank, _fragment(each, name)) for each in states]
            if not spread:
                found[name] = fragments[0].tensor
                continue
            parts = _first(prod(shape), fragments, name)
            found[name] = self._made(name, fragments[0].tensor, shape, parts)
        return found

    def _end_to_end(self, states: ModelStates, partitions: Sequence[Partition]) -> Iterator[tuple[str, Tensor]]:
        where = partitions[0].rank.checkpoint.origin
        if len(states.groups) != len(partitions[0].groups):
            message = f"has {len(partitions[0].groups)} groups of fp32 weights, and the model {len(states.groups)}"
            raise FormatError(message, where=where, hint=_HINT)
        for number, shapes in enumerate(states.groups):
            row = [_Flat(each.rank, _group(each, number)) for each in partitions]
            ends = [0, *accumulate(each.tensor.shape[0] for each in row)]
            places = [0, *accumulate(map(prod, shapes.values()))]
            unit = 2 * len(partitions)  # what the sum is padded to, by one rule or the other
            if places[-1] > ends[-1] or -(-places[-1] // unit) != -(-ends[-1] // unit):
                message = f"group {number} has {ends[-1]} elements of fp32 weights; its parameters take {places[-1]}"
                raise FormatError(message, where=where, hint=_HINT)
            for (name, shape), (start, stop) in zip(shapes.items(), pairwise(places), strict=True):
                yield name, self._made(name, row[0].tensor, shape, list(_cut(row, ends, start, stop)))

    def _zipped(self, states: ModelStates, partitions: Sequence[Partition]) -> Iterator[tuple[str, Tensor]]:
        shapes: Mapping[str, Shape] = {name: shape for group in states.groups for name, shape in group.items()}
        rows = [[_Flat(each.rank, tensor) for tensor in each.groups] for each in partitions]
        ends = [[0, *accumulate(one.tensor.shape[0] for one in row)] for row in rows]
        sizes = [-(-prod(shape) // len(partitions)) for shape in shapes.values()]
        places = [0, *accumulate(sizes)]
        for rank, end in zip(partitions, ends, strict=True):
            if end[-1] != places[-1]:
                message = f"has {end[-1]} elements of fp32 weights; its part of the parameters is {places[-1]}"
                raise FormatError(message, where=rank.rank.checkpoint.origin, hint=_HINT)
        for (name, shape), (start, stop) in zip(shapes.items(), pairwise(places), strict=True):
            parts = [part for row, end in zip(rows, ends, strict=True) for part in _cut(row, end, start, stop)]
            yield name, self._made(name, rows[0][0].tensor, shape, _only(parts, prod(shape)))

    def _made(self, name: str, like: Tensor, shape: Shape, parts: list[tuple[int, Callable[[], Located]]]) -> Tensor:
        storage = Storage(name, like.dtype, prod(shape))
        storage.part = self._part
        patches: list[Patch] = flat(parts)
        storage.start = self._patchwork.add(like.dtype, (prod(shape),), patches)
        self.storages.append(storage)
        return Tensor(storage, like.dtype, shape, contiguous(shape))


def _check_dtypes(partitions: Sequence[Partition]) -> None:
    """Refuse ranks that hold different kinds of numbers: laid end to end they would be nonsense."""
    first = partitions[0]
    for each in partitions:
        for tensor, like in zip(each.groups, first.groups, strict=False):
            if tensor.dtype is not like.dtype:
                message = f"holds {tensor.dtype} weights, and the first rank {like.dtype}"
                raise FormatError(message, where=each.rank.checkpoint.origin, hint=_HINT)


def _group(partition: Partition, number: int) -> Tensor:
    if number >= len(partition.groups):
        message = f"has {len(partition.groups)} groups of fp32 weights, fewer than the other ranks"
        raise FormatError(message, where=partition.rank.checkpoint.origin, hint=_HINT)
    return partition.groups[number]


def _fragment(states: ModelStates, name: str) -> Tensor:
    found = states.fragments.get(name)
    if found is None:
        raise FormatError(f"has no part of the frozen {name!r}", where=states.rank.checkpoint.origin, hint=_HINT)
    return found


def _cut(
    row: Sequence[_Flat], ends: Sequence[int], start: int, stop: int
) -> Iterator[tuple[int, Callable[[], Located]]]:
    """Return the parts of flat tensors, laid end to end, from element `start` up to `stop`."""
    for each, (low, high) in zip(row, pairwise(ends), strict=True):
        first, last = max(start, low), min(stop, high)
        if first < last:
            yield each.part(first - low, last - low)


def _first(numel: int, fragments: Sequence[_Flat], name: str) -> list[tuple[int, Callable[[], Located]]]:
    """Return the first elements of fragments laid end to end."""
    ends = [0, *accumulate(prod(each.tensor.shape) for each in fragments)]
    broken = next((each for each in fragments if not each.tensor.is_contiguous), None)
    if ends[-1] < numel or broken is not None:
        where = (broken or fragments[0]).rank.checkpoint.origin
        message = f"the ranks hold {ends[-1]} elements of the frozen {name!r}, which has {numel}"
        raise FormatError(message, where=where, hint=_HINT)
    return list(_cut(fragments, ends, 0, numel))


def _only(parts: list[tuple[int, Callable[[], Located]]], numel: int) -> list[tuple[int, Callable[[], Located]]]:
    """Leave out the padding at the end."""
    kept: list[tuple[int, Callable[[], Located]]] = []
    for length, locate in parts:
        if numel > 0:
            kept.append((min(length, numel), locate))
            numel -= length
    return kept
