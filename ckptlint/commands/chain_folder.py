"""The folder of a chain: its migrations with one or more heads, its `chain.sum`, and changes to several of its files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ckptlint.commands import sources
from ckptlint.commands.texts import put
from ckptlint.core.migration import ChainPlace, Migration
from ckptlint.documents.chain_sum import read_sum, write_sum
from ckptlint.documents.migrations import read_migration
from ckptlint.documents.suggested import chain_line
from ckptlint.engine.chain import Chain
from ckptlint.engine.seal import Seal, seals
from ckptlint.errors import OutputError, UsageError

SUM = "chain.sum"
GOLDEN, GOLDEN_SUM = "golden", "golden.sum"  # old files that must keep getting to the head, and what records them
LOCK = "schema.lock"  # the lock of the head, beside the chain


def read_seals(folder: str) -> tuple[Seal, ...] | None:
    """What the folder's sum says; None where it has none."""
    path = Path(folder) / SUM
    return read_sum(sources.read_text(str(path)), str(path)) if path.is_file() else None


def write_seals(folder: str, chain: Chain) -> None:
    """Write the folder's sum anew."""
    put(Path(folder) / SUM, write_sum(seals(chain)))


def placed(text: str, place: ChainPlace, origin: str) -> tuple[str, Migration]:
    """The text of a migration with another place in a chain, comments and all else as they were, and what it reads as."""
    lines = text.splitlines(keepends=True)
    starts = [number for number, line in enumerate(lines) if line.startswith(("chain:", "ckptlint:"))]
    own = next((number for number in starts if lines[number].startswith("chain:")), None)
    new = f"{chain_line(place)}\n"
    if own is None:
        lines.insert(starts[0] + 1 if starts else len(lines), new)
    else:
        end = next((number for number in range(own + 1, len(lines)) if lines[number][:1] not in " \t"), len(lines))
        lines[own:end] = [new]
    said = "".join(lines)
    found, before = read_migration(said, origin), read_migration(text, origin)
    if found.body != before.body or found.chain is None or replace(found.chain, where="") != place:
        raise UsageError(
            "its place in the chain cannot be written", where=origin, hint=f"write `{new.strip()}` by hand"
        )
    return said, found


def move(moves: Mapping[Path, Path]) -> None:
    """Give files other names in the same folder tree."""
    for old, new in moves.items():
        try:
            new.parent.mkdir(parents=True, exist_ok=True)
            os.rename(old, new)
        except OSError as error:
            raise OutputError(f"cannot be moved to {new}: {error.strerror}", where=str(old)) from error
