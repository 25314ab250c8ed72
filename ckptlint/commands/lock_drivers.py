"""What git calls for locks: `lock-merge` merges three by their keys, `lock-diff` shows two by pattern, `drivers` tells git so."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from ckptlint.commands import blobs, sources
from ckptlint.commands.texts import put
from ckptlint.core.families import fold
from ckptlint.core.schema import Schema
from ckptlint.documents.lock import write_locks
from ckptlint.documents.lock_reader import parse_lock
from ckptlint.engine.merge_schemas import merge_variants
from ckptlint.errors import DocumentError, OutputError, UsageError
from ckptlint.report import differences
from ckptlint.report.escape import escape

ATTRIBUTES = "schema.lock merge=ckptlint diff=ckptlint\n"
_OURS = f"{shlex.quote(sys.executable)} -m ckptlint"  # git runs it where the environment may not be active
_SETTINGS = {
    "merge.ckptlint.name": "merge locks by their keys",
    "merge.ckptlint.driver": f"{_OURS} lock-merge %O %A %B",
    "diff.ckptlint.command": f"{_OURS} lock-diff",
}
_NOTHING = ("/dev/null", "nul")


def merge(base: str, ours: str, theirs: str) -> tuple[Iterator[str], int]:
    """Write the merged lock over `ours`; where both changed one place, exit 1 and leave it as it is."""
    mine = parse_lock(sources.read_text(ours), ours)
    other = parse_lock(sources.read_text(theirs), theirs)
    before = Path(base).read_bytes()
    start = parse_lock(before.decode("utf-8", "replace"), base).variants if before.strip() else {}
    made, conflicts = merge_variants(start, mine.variants, other.variants)
    if conflicts:
        patterns = [f"{name}{each.pattern}" for name, keys in conflicts.items() for each in fold(list(keys))]
        lines = [
            f"both branches changed {', '.join(patterns[:10])}",
            "  cure: merge the source, then write the lock anew: ckptlint lock",
        ]
        return iter(map(escape, lines)), 1
    put(Path(ours), write_locks(made, model=mine.model, factory=mine.factory, refresh=mine.refresh))
    return iter(()), 0


def diff(path: str, old: str, new: str) -> tuple[Iterator[str], int]:
    """Two versions of a lock by key pattern, as git asks for it: path, then a file, hash and mode for either side.

    Of a path in conflict git gives the path alone. What is no lock, such as one with a conflict's marks, is shown as text: git stops the
    whole `git diff` where this fails.
    """
    if not old:
        return iter([escape(f"* Unmerged path {path}")]), 0
    head = [escape(f"--- a/{path}"), escape(f"+++ b/{path}")]
    try:
        return iter([*head, *differences.of_variants(_variants(old), _variants(new))]), 0
    except DocumentError as error:
        return iter([*head, escape(f"is shown as text: {error}"), *_as_text(old, new)]), 0


def _variants(path: str) -> Mapping[str, Schema]:
    """The lock in a file; one that is not there yet has no keys."""
    return {"": Schema({})} if path in _NOTHING else parse_lock(sources.read_text(path), path).variants


def _as_text(old: str, new: str) -> Iterator[str]:
    from difflib import unified_diff

    before, after = ([] if path in _NOTHING else sources.read_text(path).splitlines() for path in (old, new))
    for line in list(unified_diff(before, after, lineterm=""))[2:]:
        yield escape(line)


def install(folder: str) -> tuple[Iterator[str], int]:
    """Add the lines to `.gitattributes` and the drivers to the clone's own settings; what is there already stays."""
    top = blobs.top(Path(folder))
    if top is None:
        raise UsageError("is in no git repository", where=folder)
    path = top / ".gitattributes"
    said = path.read_text(encoding="utf-8", errors="surrogateescape") if path.is_file() else ""
    missing = [line for line in ATTRIBUTES.splitlines() if line not in said.splitlines()]
    if missing:
        start = said if not said or said.endswith("\n") else f"{said}\n"
        put(path, "\n".join([f"{start}{missing[0]}", *missing[1:], ""]))
    for name, value in _SETTINGS.items():
        done = subprocess.run(["git", "-C", str(top), "config", name, value], capture_output=True, check=False)  # noqa: S603, S607  git itself
        if done.returncode:
            raise OutputError(f"git cannot set {name}: {done.stderr.decode(errors='replace').strip()}", where=str(top))
    lines = [f"{path.name}: schema.lock is merged and shown by ckptlint; commit it"]
    lines.append("the drivers are in this clone's settings; each further clone needs: ckptlint drivers")
    return iter(lines), 0
