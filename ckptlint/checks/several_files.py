"""Checks of checkpoints in several files: what does not keep anyone from reading them, but should be known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ckptlint.checks.base import CHECKPOINT, Check, Comparison
from ckptlint.core.finding import Fact


@dataclass(frozen=True, slots=True)
class NotedOptions:
    """The note of the reader that is asked for."""

    note: str


def noted(seen: Comparison, options: NotedOptions) -> Iterator[Fact]:
    """What the reader noted under one name."""
    text = seen.checkpoint.notes.get(options.note) if seen.checkpoint is not None else None
    if text:
        yield Fact("", {"text": text})


SEVERAL_FILES_CHECKS = {"noted": Check(noted, words=("text",), options=NotedOptions, needs=CHECKPOINT)}
