"""Checks of the bytes behind tensors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ckptlint.checks.base import CHECKPOINT, Check, Comparison
from ckptlint.checks.nodes import nodes
from ckptlint.core.finding import Fact
from ckptlint.core.tree import Storage, Tensor

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
    views: dict[int, tuple[Storage, set[tuple[int, int]]]] = {}
    for _, node in nodes(seen.checkpoint.root):
        if isinstance(node, Tensor):
            views.setdefault(id(node.storage), (node.storage, set()))[1].add(_extent(node))
    wasteful: dict[int, dict[str, str]] = {}
    for number, (storage, extents) in views.items():
        shown = _union(extents)
        if storage.nbytes >= shown * options.factor and storage.nbytes - shown >= options.waste:
            wasteful[number] = {"stored": size(storage.nbytes), "shown": size(shown)}
    for section in seen.checkpoint.sections if wasteful else ():
        for key, tensor in section.tensors.items():
            if isinstance(tensor, Tensor) and id(tensor.storage) in wasteful:
                yield Fact(key, {**wasteful[id(tensor.storage)], "section": section.path})


def _extent(tensor: Tensor) -> tuple[int, int]:
    """Return the first byte and the one after the last that the tensor sees of its storage."""
    if 0 in tensor.shape:
        return (0, 0)
    last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride, strict=True))
    start = tensor.dtype.nbytes(tensor.offset)
    return (start, start + tensor.dtype.nbytes(last + 1))


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
