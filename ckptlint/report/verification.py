"""What is known of the bytes of checkpoints: what vouches for them, what nothing does, and what is not as it was."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ckptlint.core.families import fold
from ckptlint.errors import CkptlintError
from ckptlint.report.counts import counted
from ckptlint.report.escape import escape
from ckptlint.report.plans import size

_SHOWN = 8  # patterns in text; JSON has every path


@dataclass(frozen=True, slots=True)
class Problem:
    """Bytes that are not what they should be.

    `kind` is `damaged` (a checksum in the file), or, beside digests, `changed`, `retyped`, `missing`, `added` (tensors) or `file`.
    """

    kind: str
    message: str
    tensors: tuple[str, ...] = ()
    where: str = ""


@dataclass(frozen=True, slots=True)
class Verified:
    """One checkpoint: `nbytes` of data in storages, the tensors that no checksum is stored for, and whether digests were compared."""

    checkpoint: str
    format: str
    nbytes: int
    unchecked: tuple[str, ...]
    unchecked_nbytes: int
    compared: bool
    problems: tuple[Problem, ...]


def text(verified: Sequence[Verified]) -> Iterator[str]:
    """Yield a line a checkpoint, its problems, and what nothing vouches for."""
    for each in verified:
        yield escape(f"{each.checkpoint}: {_verdict(each)}")
        for problem in each.problems:
            where = f" ({problem.where})" if problem.where else ""
            names = f"{_listed(problem.tensors)}: " if problem.tensors else ""
            yield escape(f"  {problem.kind}: {names}{problem.message}{where}")
        if each.unchecked and not each.compared:
            yield escape(f"  without a checksum: {_listed(each.unchecked)}, {size(each.unchecked_nbytes)}")


def as_json(verified: Sequence[Verified], errors: Iterable[CkptlintError]) -> Iterator[str]:
    """Yield one object, which `docs/json.md` describes."""
    entries = [
        {
            "checkpoint": each.checkpoint,
            "format": each.format,
            "bytes": each.nbytes,
            "unchecked": {"tensors": list(each.unchecked), "bytes": each.unchecked_nbytes},
            "compared": each.compared,
            "problems": [
                {"kind": p.kind, "tensors": list(p.tensors), "message": p.message, "where": p.where}
                for p in each.problems
            ],
        }
        for each in verified
    ]
    failed = [{"rule": e.rule, "message": e.message, "where": e.where, "hint": e.hint} for e in errors]
    yield json.dumps({"version": 1, "checkpoints": entries, "errors": failed}, indent=1)


def replayed_text(path: str, old: str, problems: Sequence[Problem]) -> Iterator[str]:
    """Yield whether a checkpoint is what migrations make of an old one, and what is not."""
    said = f"is not what the migrations make of {old}" if problems else f"is what the migrations make of {old}"
    yield escape(f"{path}: {said}")
    for problem in problems:
        yield escape(f"  {problem.kind}: {_listed(problem.tensors)}: {problem.message}".replace(": :", ":"))


def replayed_json(path: str, old: str, problems: Sequence[Problem]) -> Iterator[str]:
    """Yield one object, which `docs/json.md` describes."""
    found = [{"kind": each.kind, "paths": list(each.tensors), "message": each.message} for each in problems]
    yield json.dumps(
        {"version": 1, "checkpoint": path, "source": old, "same": not problems, "problems": found}, indent=1
    )


def _verdict(each: Verified) -> str:
    if each.problems:
        return counted(len(each.problems), "problem")
    checked = each.nbytes - each.unchecked_nbytes
    if each.compared:
        return f"is what its digests say, {size(each.nbytes)} of data"
    if not each.unchecked:
        return f"sound, {size(each.nbytes)} of data have the checksums that the file stores"
    if not checked:
        return f"unknown, {each.format} files like this one store no checksums; --digests compares with ones kept elsewhere"
    return f"sound as far as is known, {size(checked)} of {size(each.nbytes)} of data have stored checksums"


def _listed(paths: Sequence[str]) -> str:
    patterns = [family.pattern for family in fold(paths)]
    more = f" and {len(patterns) - _SHOWN} more patterns" if len(patterns) > _SHOWN else ""
    return ", ".join(patterns[:_SHOWN]) + more
