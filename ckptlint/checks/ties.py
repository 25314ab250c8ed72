"""Checks of keys that are one tensor on one side and several on the other."""

from __future__ import annotations

from collections.abc import Iterator

from ckptlint.checks.base import MODEL, Check, Comparison, Explained, NoOptions
from ckptlint.core.finding import Fact
from ckptlint.core.schema import Schema

# formats in which two names of one tensor are two tensors, so that their not being tied says nothing
_NO_SHARING = ("safetensors", "sharded", "gguf", "npz", "npy", "msgpack")


def tied_missing(seen: Comparison, _: NoOptions) -> Iterator[Explained]:
    """Keys that are missing although the model's tensor of that name is there under its other name."""
    for group in seen.model.ties if seen.model else ():
        there = next((key for key in group if key in seen.pairs), None)
        for key in group if there is not None else ():
            if key in seen.missing:
                yield Explained(key, {"tied": str(there)}, missing=(key,))


def tie_broken(seen: Comparison, _: NoOptions) -> Iterator[Fact]:
    """Keys that are one tensor in the model, and separate tensors in the checkpoint: the last one loaded wins."""
    if seen.model is None or not _knows_ties(seen):
        return
    stored = _leaders(seen.file)
    for group in seen.model.ties:
        names = [key for key in group if key in seen.pairs]
        tensors = {stored.get(seen.pairs[key].stored, seen.pairs[key].stored) for key in names}
        if len(tensors) > 1:
            for key in names[1:]:
                yield Fact(key, {"tied": names[0]})


def tie_added(seen: Comparison, _: NoOptions) -> Iterator[Fact]:
    """Keys that are one tensor in the checkpoint, and separate ones in the model."""
    if seen.model is None or (seen.model.parameters is None and not seen.model.ties):
        return
    wanted = _leaders(seen.model)
    keys = {pair.stored: pair.key for pair in seen.pairs.values()}
    for group in seen.file.ties:
        names = [keys[stored] for stored in group if stored in keys]
        first = wanted.get(names[0], names[0]) if names else ""
        for key in names[1:]:
            if wanted.get(key, key) != first:
                yield Fact(key, {"tied": names[0]})


def _knows_ties(seen: Comparison) -> bool:
    """Whether the checkpoint side would show a tie if there were one."""
    if seen.file.ties:
        return True
    if seen.checkpoint is None:
        return seen.file.parameters is not None
    return seen.checkpoint.format not in _NO_SHARING and len(seen.checkpoint.parts) < 2


def _leaders(schema: Schema) -> dict[str, str]:
    return {key: group[0] for group in schema.ties for key in group}


TIE_CHECKS = {
    "tied-missing": Check(tied_missing, words=("tied",), needs=MODEL),
    "tie-broken": Check(tie_broken, words=("tied",), needs=MODEL),
    "tie-added": Check(tie_added, words=("tied",), needs=MODEL),
}
