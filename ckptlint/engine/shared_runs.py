"""Tell which views of a storage must stay views of one: those that overlap, so that a write to one shows in the other.

A run never takes more room than its views would take apart. Views that do not meet each other are no business of each other's: a small
one need not drag along a large storage that nobody else looks into.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ckptlint.core.dtype import DType
from ckptlint.core.tree import Storage, Tensor

Identity = tuple[object, ...]


class Extent(NamedTuple):
    """Elements `first` up to `stop` of a storage."""

    first: int
    stop: int

    @property
    def numel(self) -> int:
        return self.stop - self.first


class _Viewed(NamedTuple):
    extent: Extent
    alone: int  # elements it takes in a storage of its own
    identity: Identity


def shared_runs(viewed: Iterable[Tensor | Storage]) -> dict[Identity, Extent]:
    """Return the run of each tensor (or bare storage, by `identity_of`) that overlaps another; all others lie alone."""
    by_storage: dict[tuple[int, DType], list[Tensor | Storage]] = {}
    for each in viewed:
        storage = each if isinstance(each, Storage) else each.storage
        if not storage.swapped:
            by_storage.setdefault((id(storage), each.dtype), []).append(each)
    found: dict[Identity, Extent] = {}
    for several in by_storage.values():
        if len(several) > 1:
            views = {identity: _viewed(each, identity) for each in several for identity in (identity_of(each),)}
            found.update((view.identity, run) for run, those in _runs(views.values()) for view in those)
    return found


def identity_of(viewed: Tensor | Storage) -> Identity:
    """Equal for what looks at the same elements in the same way."""
    return (id(viewed),) if isinstance(viewed, Storage) else viewed.identity


def extent(tensor: Tensor) -> Extent:
    """The elements from the first to the last that a view reaches."""
    shape = tensor.shape
    if 0 in shape:
        return Extent(tensor.offset, tensor.offset)
    stop = tensor.offset + 1
    for size, stride in zip(shape, tensor.stride, strict=True):  # a loop: large checkpoints ask this often
        stop += (size - 1) * stride
    return Extent(tensor.offset, stop)


def _viewed(each: Tensor | Storage, identity: Identity) -> _Viewed:
    if isinstance(each, Storage):
        return _Viewed(Extent(0, each.numel), each.numel, identity)
    reach = extent(each)
    return _Viewed(reach, min(reach.numel, each.spec.numel), identity)


def _runs(views: Iterable[_Viewed]) -> Iterator[tuple[Extent, list[_Viewed]]]:
    """Yield the runs of two and more views, each with its views."""
    cluster: list[_Viewed] = []
    stop = 0
    for view in sorted((view for view in views if view.extent.numel), key=lambda view: view.extent):
        if cluster and view.extent.first >= stop:
            yield from _worth_it(cluster, stop)
            cluster = []
        stop = max(stop, view.extent.stop)
        cluster.append(view)
    yield from _worth_it(cluster, stop)


def _worth_it(cluster: list[_Viewed], stop: int) -> Iterator[tuple[Extent, list[_Viewed]]]:
    if len(cluster) > 1:
        run = Extent(cluster[0].extent.first, stop)
        if run.numel <= sum(view.alone for view in cluster):
            yield run, cluster
