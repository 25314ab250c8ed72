"""`ckptlint recover`: finish a change in place that was interrupted, or take it back."""

from __future__ import annotations

from collections.abc import Iterator

from ckptlint.commands import sources
from ckptlint.formats.journal import recover


def run(checkpoint: str, *, undo: bool) -> tuple[Iterator[str], int]:
    found = recover(checkpoint, undo=undo)
    with sources.opened(checkpoint):  # it reads
        pass
    done = ("is as it was before the change" if undo else "the change is finished") if found else "no change is open"
    return iter([f"{checkpoint}: {done}"]), 0
