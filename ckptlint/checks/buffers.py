"""Checks of buffers: tensors that are not trained, and that a model saves or not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ckptlint.checks.base import BOTH, MODEL, Check, Comparison, Explained, NoOptions, said
from ckptlint.core.spec import TensorSpec


@dataclass(frozen=True, slots=True)
class NamedOptions:
    """`names` are last segments of keys."""

    names: tuple[str, ...]


def unsaved(seen: Comparison, _: NoOptions) -> Iterator[Explained]:
    """Keys that the model has as buffers it does not save: it makes them itself, and a strict load refuses them."""
    unsaved_here = seen.model.unsaved if seen.model else {}
    for key, spec in seen.unexpected.items() if unsaved_here else ():
        if any(name in unsaved_here for name in seen.names(key)):
            yield Explained(key, {"actual": said(spec)}, unexpected=(key,))


def leftover(seen: Comparison, options: NamedOptions) -> Iterator[Explained]:
    """Keys of buffers, known by name, that versions of a library used to save; not those that may have moved."""
    owners = {_owner(pair.stored) for pair in seen.pairs.values()}
    wanted = frozenset(map(_last_name, seen.missing))
    for key, spec in seen.unexpected.items():
        name = _last_name(key)
        if name in options.names and (name not in wanted or _owner(key) in owners):
            yield Explained(key, {"actual": said(spec)}, unexpected=(key,))


def _owner(key: str) -> str:
    return key.rpartition(".")[0]


def _last_name(key: str) -> str:
    return key.rpartition(".")[2]


def untracked(seen: Comparison, _: NoOptions) -> Iterator[Explained]:
    """Counters of batch norm in a file older than they are: torch fills them in (`_metadata` version below 2, or none).

    Not those that may have moved.
    """
    name = "num_batches_tracked"
    for key, spec in _absent(seen):
        if _last_name(key) == name and _version(seen, _owner(key)) < 2:
            yield Explained(key, {"expected": said(spec)}, missing=(key,))


def _absent(seen: Comparison) -> Iterator[tuple[str, TensorSpec]]:
    """Yield what is missing, without what may have moved.

    That is a key whose last name the checkpoint has where the model has no place for it, unless the rest of its module is there.
    """
    owners = set(map(_owner, seen.pairs))
    stored = frozenset(map(_last_name, seen.unexpected))
    for key, spec in seen.missing.items():
        if _last_name(key) not in stored or _owner(key) in owners:
            yield key, spec


def _version(seen: Comparison, owner: str) -> int:
    """Return what version of the owner's state the file says it holds, 0 where it says nothing."""
    versions = seen.section.versions if seen.section else {}
    return max((versions.get(strip + owner.removeprefix(add), 0) for strip, add in seen.prefixes), default=0)


def missing_statistics(seen: Comparison, options: NamedOptions) -> Iterator[Explained]:
    """Statistics, known by name, that are missing though other tensors of their layer are there."""
    owners = set(map(_owner, seen.pairs))
    for key, spec in seen.missing.items():
        if _last_name(key) in options.names and _owner(key) in owners:
            yield Explained(key, {"expected": said(spec)}, missing=(key,))


@dataclass(frozen=True, slots=True)
class BufferOptions:
    """`names` are last segments of keys that are buffers where nobody knows, `but` of buffers that hold what was learned."""

    names: tuple[str, ...]
    but: tuple[str, ...] = ()


def missing_buffer(seen: Comparison, options: BufferOptions) -> Iterator[Explained]:
    """Keys of the model that are missing and no parameters: nothing trained is lost. Not those that may have moved."""
    for key, spec in _absent(seen):
        name = _last_name(key)
        untrained = name in options.names if seen.parameters is None else key not in seen.parameters
        if untrained and name not in options.but:
            yield Explained(key, {"expected": said(spec)}, missing=(key,))


BUFFER_CHECKS = {
    "unsaved-buffer": Check(unsaved, words=("actual",), needs=MODEL),
    "leftover-buffer": Check(leftover, words=("actual",), options=NamedOptions, needs=MODEL),
    "untracked-batches": Check(untracked, words=("expected",), needs=BOTH),
    "missing-statistics": Check(missing_statistics, words=("expected",), options=NamedOptions, needs=MODEL),
    "missing-buffer": Check(missing_buffer, words=("expected",), options=BufferOptions, needs=MODEL),
}
