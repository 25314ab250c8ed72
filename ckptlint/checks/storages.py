"""Checks of the bytes behind tensors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import prod

from ckptlint.checks.base import CHECKPOINT, Check, Comparison
from ckptlint.checks.nodes import objects
from ckptlint.core.finding import Fact
from ckptlint.core.spec import contiguous
from ckptlint.core.tree import Storage, Tensor, Value

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


@dataclass(frozen=True, slots=True)
class OversizedOptions:
    """A storage is too large from `factor` times the bytes that tensors see of it, and from `waste` bytes too many."""

    factor: int = 2
    waste: int = 1024


def oversized(seen: Comparison, options: OversizedOptions) -> Iterator[Fact]:
    """Tensors whose storage holds far more than anything in the file shows of it: a slice saved with all it was cut from."""
    if seen.checkpoint is None:
        return
    wasteful: dict[int, dict[str, str]] = {}
    for number, (storage, extents) in _views(seen.checkpoint.root, options.waste).items():
        shown = _union(extents)
        if storage.nbytes >= shown * options.factor and storage.nbytes - shown >= options.waste:
            wasteful[number] = {"stored": size(storage.nbytes), "shown": size(shown)}
    for section in seen.checkpoint.sections if wasteful else ():
        for key, tensor in section.tensors.items():
            if isinstance(tensor, Tensor) and id(tensor.storage) in wasteful:
                yield Fact(key, {**wasteful[id(tensor.storage)], "section": section.path})


def _views(root: Value, least: int) -> dict[int, tuple[Storage, set[tuple[int, int]]]]:
    """Return what tensors see of each storage of at least so many bytes that no single tensor is all of."""
    views: dict[int, tuple[Storage, set[tuple[int, int]]]] = {}
    whole: set[int] = set()
    for node in objects(root):
        if isinstance(node, Tensor):
            storage = node.storage
            if node.dtype is storage.dtype and _is_all(node.shape, node.stride, storage.numel):
                whole.add(id(storage))
            elif storage.nbytes >= least:
                views.setdefault(id(storage), (storage, set()))[1].add(_extent(node))
    return {number: view for number, view in views.items() if number not in whole}


@lru_cache(maxsize=4096)
def _is_all(shape: tuple[int, ...], stride: tuple[int, ...], numel: int) -> bool:
    """Whether a view is so plainly the whole of a storage of so many elements that there is nothing to add up."""
    return prod(shape) == numel and stride == contiguous(shape)


def _extent(tensor: Tensor) -> tuple[int, int]:
    """Return the first byte and the one after the last that the tensor sees of its storage."""
    if 0 in tensor.shape:
        return (0, 0)
    start = tensor.dtype.nbytes(tensor.offset)
    return (start, start + tensor.dtype.nbytes(_span(tensor.shape, tensor.stride)))


@lru_cache(maxsize=4096)
def _span(shape: tuple[int, ...], stride: tuple[int, ...]) -> int:
    """Count the elements from the first to the last of a view."""
    return 1 + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))


def _union(extents: set[tuple[int, int]]) -> int:
    total, reached = 0, 0
    for start, end in sorted(extents):
        total += max(0, end - max(start, reached))
        reached = max(reached, end)
    return total


def size(count: int) -> str:
    """Write a number of bytes for people, in decimal units: `512 B`, `1.5 MB`."""
    amount, unit = float(count), 0
    while amount >= 1000 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1000, unit + 1
    return f"{amount:.1f} {_UNITS[unit]}" if unit else f"{count} B"


STORAGE_CHECKS = {
    "oversized-storage": Check(
        oversized, words=("stored", "shown", "section"), options=OversizedOptions, needs=CHECKPOINT
    ),
}
