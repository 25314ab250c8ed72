"""Checks of buffers: tensors that are not trained, and that a model saves or not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ckptlint.checks.base import BOTH, MODEL, Check, Comparison, Explained, NoOptions, said


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
    known = frozenset(options.names).intersection(seen.unexpected_by_name)
    for key in _in_order(seen.unexpected, (seen.unexpected_by_name[name] for name in known)):
        owner, name = _parted(key)
        if name not in seen.missing_by_name or owner in seen.stored_owners:
            yield Explained(key, {"actual": said(seen.unexpected[key])}, unexpected=(key,))


def _parted(key: str) -> tuple[str, str]:
    """Return the module of a tensor, and its name there."""
    owner, _dot, name = key.rpartition(".")
    return owner, name


def _in_order(keys: Iterable[str], groups: Iterable[Sequence[str]]) -> list[str]:
    """Return the members of the groups as `keys` has them."""
    chosen = {key for group in groups for key in group}
    return [key for key in keys if key in chosen] if chosen else []


def untracked(seen: Comparison, _: NoOptions) -> Iterator[Explained]:
    """Counters of batch norm in a file older than they are: torch fills them in (`_metadata` version below 2, or none).

    Not those that may have moved.
    """
    name = "num_batches_tracked"
    for key in _absent(seen, seen.missing_by_name.get(name, ())):
        if _version(seen, _parted(key)[0]) < 2:
            yield Explained(key, {"expected": said(seen.missing[key])}, missing=(key,))


def _absent(seen: Comparison, keys: Iterable[str]) -> Iterator[str]:
    """Yield those of the missing keys that cannot have moved.

    One may have whose last name the checkpoint has where the model has no place for it, unless the rest of its module is there.
    """
    for key in keys:
        owner, name = _parted(key)
        if name not in seen.unexpected_by_name or owner in seen.owners:
            yield key


def _version(seen: Comparison, owner: str) -> int:
    """Return what version of the owner's state the file says it holds, 0 where it says nothing."""
    versions = seen.section.versions if seen.section else {}
    return max((versions.get(strip + owner.removeprefix(add), 0) for strip, add in seen.prefixes), default=0)


def missing_statistics(seen: Comparison, options: NamedOptions) -> Iterator[Explained]:
    """Statistics, known by name, that are missing though other tensors of their layer are there."""
    known = frozenset(options.names).intersection(seen.missing_by_name)
    for key in _in_order(seen.missing, (seen.missing_by_name[name] for name in known)):
        if _parted(key)[0] in seen.owners:
            yield Explained(key, {"expected": said(seen.missing[key])}, missing=(key,))


@dataclass(frozen=True, slots=True)
class BufferOptions:
    """`names` are last segments of keys that are buffers where nobody knows, `but` of buffers that hold what was learned."""

    names: tuple[str, ...]
    but: tuple[str, ...] = ()


def missing_buffer(seen: Comparison, options: BufferOptions) -> Iterator[Explained]:
    """Keys of the model that are missing and no parameters: nothing trained is lost. Not those that may have moved."""
    if seen.parameters is None:
        named = frozenset(options.names).intersection(seen.missing_by_name)
        untrained = _in_order(seen.missing, (seen.missing_by_name[name] for name in named))
    else:
        untrained = [key for key in seen.missing if key not in seen.parameters]
    for key in _absent(seen, untrained):
        if _parted(key)[1] not in options.but:
            yield Explained(key, {"expected": said(seen.missing[key])}, missing=(key,))


BUFFER_CHECKS = {
    "unsaved-buffer": Check(unsaved, words=("actual",), needs=MODEL),
    "leftover-buffer": Check(leftover, words=("actual",), options=NamedOptions, needs=MODEL),
    "untracked-batches": Check(untracked, words=("expected",), needs=BOTH),
    "missing-statistics": Check(missing_statistics, words=("expected",), options=NamedOptions, needs=MODEL),
    "missing-buffer": Check(missing_buffer, words=("expected",), options=BufferOptions, needs=MODEL),
}
