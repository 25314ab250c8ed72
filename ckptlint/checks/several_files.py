"""Checks of checkpoints in several files: what does not keep anyone from reading them, but should be known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ckptlint.checks.base import CHECKPOINT, Check, Comparison
from ckptlint.core.finding import Fact
from ckptlint.core.tree import Composite


@dataclass(frozen=True, slots=True)
class NotedOptions:
    """The note of the reader that is asked for."""

    note: str


def noted(seen: Comparison, options: NotedOptions) -> Iterator[Fact]:
    """What the reader noted under one name."""
    text = seen.checkpoint.notes.get(options.note) if seen.checkpoint is not None else None
    if text:
        yield Fact("", {"text": text})


@dataclass(frozen=True, slots=True)
class RankPartOptions:
    """The classes of tensors, by their last name, that each rank saves its part of."""

    classes: tuple[str, ...]


def rank_part(seen: Comparison, options: RankPartOptions) -> Iterator[Fact]:
    """Tensors of which the file holds one rank's part, and not all elements."""
    for key, tensor in seen.section.tensors.items() if seen.section is not None else ():
        if isinstance(tensor, Composite) and tensor.layout.rpartition(".")[2] in options.classes:
            held = sum(part.spec.numel for _, part in tensor.parts)
            if held < tensor.spec.numel:
                yield Fact(key, {"actual": str(tensor.spec), "kind": tensor.layout.rpartition(".")[2]})


SEVERAL_FILES_CHECKS = {
    "noted": Check(noted, words=("text",), options=NotedOptions, needs=CHECKPOINT),
    "rank-part": Check(rank_part, words=("actual", "kind"), options=RankPartOptions, needs=CHECKPOINT),
}
