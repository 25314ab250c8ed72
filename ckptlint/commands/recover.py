"""`ckptlint recover`: finish what a killed run began at a place, or take it back.

That is a change in place, with its journal, or an output of several files that were being put in theirs. With --undo, what such a run
left beside its output goes as well.
"""

from __future__ import annotations

from collections.abc import Iterator

from ckptlint.commands import sources
from ckptlint.formats.journal import recover
from ckptlint.formats.settling import settle
from ckptlint.formats.sharding import INDEX


def run(checkpoint: str, *, undo: bool) -> tuple[Iterator[str], int]:
    found = recover(checkpoint, undo=undo)
    places = [checkpoint.rstrip("/"), checkpoint + INDEX]
    settled = [place for place in places if settle(place, undo=undo)]
    if settled and not found:
        done = "what was there before is in place, and nothing else is left" if undo else "the output is in place"
        return iter([f"{settled[0]}: {done}"]), 0
    with sources.opened(checkpoint):  # it reads
        pass
    done = ("is as it was before the change" if undo else "the change is finished") if found else "no change is open"
    return iter([f"{checkpoint}: {done}"]), 0
