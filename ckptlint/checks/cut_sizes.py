"""Checks of one size that differs in several tensors together: parts of tensor parallelism, inner sizes of blocks, key and value heads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from ckptlint.checks.base import MODEL, Check, Comparison, Explained, NoOptions, Pair, said
from ckptlint.core.families import fold

_MANY = 6  # matrices that are cut, from which on it is no chance
_PARTS = (2, 64)  # of one tensor, fewest and most


class Change(NamedTuple):
    """The one axis of a pair that differs, and its sizes in the checkpoint and in the model."""

    axis: int
    have: int
    want: int


def only_change(pair: Pair) -> Change | None:
    """Return the only difference between two shapes of as many axes; None where there are more."""
    actual, expected = pair.actual.shape, pair.expected.shape
    if len(actual) != len(expected):
        return None
    found = [
        Change(axis, *sizes) for axis, sizes in enumerate(zip(actual, expected, strict=True)) if sizes[0] != sizes[1]
    ]
    return found[0] if len(found) == 1 else None


def parallel_part(seen: Comparison, _: NoOptions) -> Iterator[Explained]:
    """Most matrices have one axis that is the same fraction of the model's, on some the rows and on others the columns.

    A smaller variant has other sizes on both axes of a matrix, and one that is narrower within its blocks keeps the vocabulary and half of
    the matrices.
    """
    changes = {key: only_change(pair) for key, pair in seen.mismatched.items()}
    parts = {_parts(change) for change in changes.values()}
    if len(parts) != 1 or not _PARTS[0] <= min(parts) <= _PARTS[1]:
        return
    cut = [change.axis for key, change in changes.items() if change and _is_matrix(seen.mismatched[key])]
    matrices = sum(map(_is_matrix, seen.pairs.values()))
    if len(cut) < _MANY or 3 * len(cut) <= 2 * matrices or 0 not in cut or not any(cut):
        return
    for key in changes:
        yield Explained(key, {"parts": str(min(parts))}, mismatched=(key,))


def _parts(change: Change | None) -> int:
    """How many times the model's size is the checkpoint's; 0 where that is no number."""
    return change.want // change.have if change and change.have and change.want % change.have == 0 else 0


def _is_matrix(pair: Pair) -> bool:
    return len(pair.expected.shape) > 1


def inner_size(seen: Comparison, _: NoOptions) -> Iterator[Explained]:
    """A size that leaves one matrix of a block and enters another one: nobody outside of the block sees it."""
    blocks: dict[str, dict[str, Change]] = {}
    for key, pair in seen.mismatched.items():
        change = only_change(pair)
        if change is not None:
            blocks.setdefault(_block(key), {})[key] = change
    alike: dict[tuple[int, int], dict[str, list[str]]] = {}
    for block, changes in blocks.items():
        for sizes, keys in _passed_on(changes, seen.mismatched).items():
            alike.setdefault(sizes, {})[block] = keys
    for (have, want), stems in alike.items():
        for family in fold(tuple(stems)):
            words = {"block": family.pattern or "the model", "have": str(have), "want": str(want)}
            for stem in family.keys:
                yield from (Explained(key, words, mismatched=(key,)) for key in stems[stem])


def _passed_on(changes: Mapping[str, Change], pairs: Mapping[str, Pair]) -> dict[tuple[int, int], list[str]]:
    """Return the changes of size on the first axis of one matrix and the second one of another, with all tensors that have them."""
    axes: dict[tuple[int, int], set[int]] = {}
    for key, change in changes.items():
        if _is_matrix(pairs[key]):
            axes.setdefault((change.have, change.want), set()).add(change.axis)
    passed = [sizes for sizes, found in axes.items() if {0, 1} <= found]
    return {sizes: [key for key, change in changes.items() if change[1:] == sizes] for sizes in passed}


def _block(key: str) -> str:
    """Return the module that holds the module of a tensor."""
    return ".".join(key.split(".")[:-2])


@dataclass(frozen=True, slots=True)
class PairOptions:
    """`names` are pairs of what two modules beside each other are called, `k_proj/v_proj`."""

    names: tuple[str, ...] = ()


def key_value_heads(seen: Comparison, options: PairOptions) -> Iterator[Explained]:
    """The projections to keys and to values have other numbers of rows, both the same ones, and what else is beside them has not."""
    partners = {one: other for pair in options.names for one, other in _both(pair)}
    for key, pair in seen.mismatched.items():
        change = only_change(pair)
        parts = key.split(".")
        if change is None or change.axis or len(parts) < 2 or parts[-2] not in partners:
            continue
        other = seen.mismatched.get(".".join((*parts[:-2], partners[parts[-2]], parts[-1])))
        if other is not None and only_change(other) == change:
            words = {"actual": said(pair.actual), "expected": said(pair.expected)}
            yield Explained(key, {**words, "have": str(change.have), "want": str(change.want)}, mismatched=(key,))


def _both(pair: str) -> tuple[tuple[str, str], tuple[str, str]]:
    one, _, other = pair.partition("/")
    return (one, other), (other, one)


PARALLEL_CHECKS = {"parallel-part": Check(parallel_part, words=("parts",), needs=MODEL, together=True)}
SIZE_CHECKS = {
    "inner-size": Check(inner_size, words=("block", "have", "want"), needs=MODEL, together=True),
    "key-value-heads": Check(
        key_value_heads, words=("actual", "expected", "have", "want"), options=PairOptions, needs=MODEL
    ),
}
