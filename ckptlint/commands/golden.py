"""`ckptlint golden`: record the old files that must keep getting to the head of a chain; only such as do."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ckptlint.commands import sources
from ckptlint.commands.chain_folder import GOLDEN, LOCK
from ckptlint.commands.chaining import begun
from ckptlint.commands.golden_files import Fixtures, becomes, digest, present, recorded
from ckptlint.commands.texts import put
from ckptlint.core.severity import Severity
from ckptlint.documents.golden_sum import Golden, write_golden
from ckptlint.errors import UsageError
from ckptlint.report.escape import escape

_LARGE = 1_000_000  # bytes from which a file is better committed as its keys


def run(chain: str, files: Sequence[str], *, lock: str | None, start: str | None) -> tuple[Iterator[str], int]:
    linked = begun(chain)
    fixtures = Fixtures(chain, linked, sources.variants(_lock(chain, lock)))
    start = None if start is None else linked.name(linked.place(start))
    known = {name: golden for name, (golden, _) in recorded(chain).items() if (Path(chain) / name).exists()}
    named = [_name(chain, each) for each in files]
    wanted = dict.fromkeys([*known, *present(chain), *named])
    if not wanted:
        hint = f"put small old files into {Path(chain, GOLDEN)}, or: ckptlint lock OLD.pt -o {Path(chain, GOLDEN, 'old.lock')}"
        raise UsageError("there are no golden files", where=chain, hint=hint)
    if start is not None and not named:
        raise UsageError("--from says where named files stand: name them")
    found = [
        _golden(chain, name, start if name in named and start else known[name].revision if name in known else "")
        for name in wanted
    ]
    stuck = [
        (each, finding)
        for each in found
        for finding in becomes(fixtures, each.path, each.revision)
        if finding.severity is Severity.ERROR
    ]
    if stuck:
        lines = [
            f"{each.path}: {finding.severity}[{finding.rule} {finding.slug}] {finding.message}"
            for each, finding in stuck
        ]
        hints = dict.fromkeys(f"  hint: {finding.hint}" for _, finding in stuck if finding.hint)
        return iter(map(escape, [*lines, *hints, "nothing is recorded"])), 1
    put(Path(fixtures.sum), write_golden(found))
    return iter(
        map(escape, [*_large(chain, found), f"wrote {fixtures.sum}: {len(found)} files; commit it with them"])
    ), 0


def _lock(chain: str, lock: str | None) -> str:
    path = lock or str(Path(chain) / LOCK)
    if not Path(path).is_file():
        raise UsageError("there is no such lock", where=path, hint="--lock names the lock of the chain's head")
    return path


def _name(chain: str, path: str) -> str:
    """A file's path from the folder of the chain."""
    if not Path(path).exists():
        raise UsageError("is no file and no folder", where=path)
    return Path(os.path.relpath(path, chain)).as_posix()


def _golden(chain: str, name: str, revision: str) -> Golden:
    return Golden(name, digest(Path(chain) / name), revision)


def _large(chain: str, found: Sequence[Golden]) -> Iterator[str]:
    for each in found:
        path = Path(chain) / each.path
        size = sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())
        if size > _LARGE:
            keys = path.with_name(f"{path.name.split('.')[0]}.lock")
            yield f"note: {path} has {size // 1_000_000} MB; its keys alone are about 1 kB: ckptlint lock {path} -o {keys}"
