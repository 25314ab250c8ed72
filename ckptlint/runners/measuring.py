"""Look at the elements of tensors: each stored range is read once, in blocks, by a few threads, however many tensors look into it.

What is counted of a block is the caller's business (`Count`). Tensors of one storage that overlap share the reading; elements that a
stride of 0 repeats are counted once; a view with gaps (a column of a matrix) counts its own elements only.
"""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from ckptlint.core.dtype import DType
from ckptlint.core.tree import Storage, Tensor

T = TypeVar("T")
_LARGEST_BLOCK = 1 << 20  # bytes; it and what is made of it stay in the cache of most machines
_SMALLEST_BLOCK = 1 << 12
_TEMPORARIES = (
    16  # times its own size that looking at a block may take: a histogram of bytes makes eight, a mask of gaps more
)
_MOST_WORKERS = 8


class Count(Protocol[T]):
    """What is done to blocks; called from several threads at once."""

    def tally(self, block: memoryview, dtype: DType, *, swapped: bool, chosen: Any) -> T: ...
    def join(self, one: T, other: T) -> T: ...
    def gaps(self, first: int, count: int, axes: tuple[tuple[int, int], ...]) -> Any:
        """Return the mask of the places `first` to `first + count` that a view with these (size, stride) axes has elements at."""
        ...


@dataclass(slots=True)
class _View(Generic[T]):
    """A tensor's elements in its storage: bytes `start` to `end`; `axes` (size, stride) where there are gaps in between."""

    keys: list[str]
    storage: Storage
    dtype: DType
    start: int
    end: int
    axes: tuple[tuple[int, int], ...] = ()
    in_order: bool = False
    hashed: bool = False
    found: T | None = None
    hashes: list[bytes] = field(default_factory=list)


class _Block(NamedTuple):
    storage: Storage
    start: int
    end: int
    views: tuple[_View[Any], ...]


class Found(NamedTuple):
    """What was counted of the tensor with these keys, and the digest of its bytes, empty where it has no equal to be feared."""

    keys: tuple[str, ...]
    tally: Any
    digest: str


def measure(
    tensors: Mapping[str, Tensor],
    read: Callable[[Storage, int, int], bytes],
    count: Count[Any],
    *,
    memory: int = 1 << 30,
    progress: Callable[[int], object] = lambda _: None,
    checksums: Mapping[tuple[int, int], int] | None = None,
) -> tuple[list[Found], dict[str, str]]:
    """Count the elements of every tensor; also return why some were not looked at, by key. `memory` bounds the blocks, in bytes."""
    views, unread = _views(tensors)
    _choose_hashed(views, checksums or {})
    workers = min(_MOST_WORKERS, _processors())
    size = min(max(memory // (_TEMPORARIES * 2 * workers), _SMALLEST_BLOCK), _LARGEST_BLOCK) // 16 * 16
    portions = _portions(_blocks(views, size), size)
    for portion, results in _in_order(portions, lambda each: _look(each, read, count), workers):
        for block, (tallies, digests) in zip(portion, results, strict=True):
            for view, tally, digest in zip(block.views, tallies, digests, strict=True):
                view.found = tally if view.found is None else count.join(view.found, tally)
                if view.hashed:
                    view.hashes.append(digest)
            progress(block.end - block.start)
    return [Found(tuple(view.keys), view.found, _digest(view)) for view in views if view.found is not None], unread


def needed(tensors: Mapping[str, Tensor]) -> int:
    """Bytes that `measure` will read."""
    return sum(end - start for _, start, end, _ in _runs(_views(tensors)[0]))


def _views(tensors: Mapping[str, Tensor]) -> tuple[list[_View[Any]], dict[str, str]]:
    views: dict[tuple[object, ...], _View[Any]] = {}
    unread: dict[str, str] = {}
    for key, tensor in tensors.items():
        known = views.get(tensor.identity)
        if known is not None:
            known.keys.append(key)
        elif 0 in tensor.shape:
            continue
        else:
            made = _view(key, tensor)
            if made is None:
                unread[key] = "a view of a storage whose elements overlap or share bytes"
            else:
                views[tensor.identity] = made
    return list(views.values()), unread


def _view(key: str, tensor: Tensor) -> _View[Any] | None:
    pairs = zip(tensor.shape, tensor.stride, strict=True)
    axes = sorted(((size, step) for size, step in pairs if size > 1 and step), key=lambda axis: -axis[1])
    reach, dense = 1, True
    for size, step in reversed(axes):
        if step < reach:
            return None
        dense = dense and step == reach
        reach = (size - 1) * step + reach
    dtype = tensor.dtype
    if dtype.bits % 8 and not (dense and tensor.offset * dtype.bits % 8 == 0):
        return None
    start, end = dtype.nbytes(tensor.offset), dtype.nbytes(tensor.offset) + dtype.nbytes(reach)
    in_order = tensor.is_contiguous and not tensor.storage.swapped
    return _View([key], tensor.storage, dtype, start, end, () if dense else tuple(axes), in_order)


def _choose_hashed(views: Iterable[_View[Any]], checksums: Mapping[tuple[int, int], int]) -> None:
    """Hash those that may have an equal: another tensor of the same type and length, whose stored checksum, if any, does not differ."""
    alike: dict[tuple[str, int], list[tuple[_View[Any], int | None]]] = {}
    for view in views:
        length = view.end - view.start
        whole = length == view.storage.nbytes
        known = checksums.get((view.storage.part, view.storage.start)) if whole else None
        if view.in_order:
            alike.setdefault((view.dtype.name, length), []).append((view, known))
    for group in alike.values():
        sums = Counter(known for _, known in group)
        for view, known in group:
            view.hashed = len(group) > 1 and (None in sums or sums[known] > 1)


def _runs(views: Iterable[_View[Any]]) -> Iterator[tuple[Storage, int, int, list[_View[Any]]]]:
    """The ranges that are read, storage by storage in file order, each with the views that look into it."""
    ordered = sorted(views, key=lambda view: (view.storage.part, view.storage.start, id(view.storage), view.start))
    at = 0
    while at < len(ordered):
        first = ordered[at]
        start, end, members = first.start, first.end, [first]
        at += 1
        while at < len(ordered) and ordered[at].storage is first.storage and ordered[at].start < end:
            members.append(ordered[at])
            end = max(end, ordered[at].end)
            at += 1
        yield first.storage, start, end, members


def _blocks(views: list[_View[Any]], size: int) -> Iterator[_Block]:
    for storage, start, end, members in _runs(views):
        if len(members) > 1:
            for view in members:
                view.hashed = view.hashed and view.start == start
        at = start
        while at < end:
            stop = at + size if len(members) == 1 else (at + size) // 16 * 16  # so that no view's elements are cut
            stop = min(stop, end)
            yield _Block(storage, at, stop, tuple(v for v in members if v.start < stop and v.end > at))
            at = stop


def _portions(blocks: Iterable[_Block], size: int) -> Iterator[list[_Block]]:
    """Small blocks go together: handing one to a thread costs more than counting it."""
    portion: list[_Block] = []
    held = 0
    for block in blocks:
        portion.append(block)
        held += block.end - block.start
        if held >= size or len(portion) >= 256:
            yield portion
            portion, held = [], 0
    if portion:
        yield portion


def _look(
    portion: list[_Block], read: Callable[[Storage, int, int], bytes], count: Count[Any]
) -> list[tuple[list[Any], list[bytes]]]:
    results = []
    for block in portion:
        content = memoryview(read(block.storage, block.start, block.end - block.start))
        parts = [content[max(v.start - block.start, 0) : v.end - block.start] for v in block.views]
        tallies = [_tally(v, part, block, count) for v, part in zip(block.views, parts, strict=True)]
        digests = [sha256(part).digest() if v.hashed else b"" for v, part in zip(block.views, parts, strict=True)]
        results.append((tallies, digests))
    return results


def _tally(view: _View[Any], part: memoryview, block: _Block, count: Count[Any]) -> Any:
    chosen = None
    if view.axes:
        width = view.dtype.bits // 8
        first = (max(block.start, view.start) - view.start) // width
        chosen = count.gaps(first, len(part) // width, view.axes)
    return count.tally(part, view.dtype, swapped=view.storage.swapped, chosen=chosen)


def _in_order(
    portions: Iterator[list[_Block]], look: Callable[[list[_Block]], Any], workers: int
) -> Iterator[tuple[list[_Block], Any]]:
    """Look at portions in threads, a few ahead; give them back in their order."""
    if workers < 2 or not hasattr(os, "pread"):  # where reads move a position, two threads would be in each other's way
        for portion in portions:
            yield portion, look(portion)
        return
    with ThreadPoolExecutor(workers, "values") as pool:
        waiting: deque[tuple[list[_Block], Future[Any]]] = deque()
        try:
            for portion in portions:
                waiting.append((portion, pool.submit(look, portion)))
                if len(waiting) >= 2 * workers:
                    done, future = waiting.popleft()
                    yield done, future.result()
            while waiting:
                done, future = waiting.popleft()
                yield done, future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _digest(view: _View[Any]) -> str:
    return sha256(b"".join(view.hashes)).hexdigest() if view.hashed else ""


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
