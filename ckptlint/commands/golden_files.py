"""Golden fixtures of a chain: small old files, or only their keys, that must keep getting to its head, and what becomes of each.

A fixture is a checkpoint that was really saved once (a file, or the folder of a sharded one), or a lock or JSON of its keys where it is too
large to commit. A checkpoint is really migrated, into a folder that is gone afterwards; what needs a user's Python, or a model to
initialise from, is only planned.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ckptlint.commands import sources
from ckptlint.commands.chain_folder import GOLDEN, GOLDEN_SUM
from ckptlint.commands.chaining import schema_evidence
from ckptlint.commands.migrate import Request, migrate
from ckptlint.commands.targets import written_suffix
from ckptlint.core.finding import Finding
from ckptlint.core.schema import Schema
from ckptlint.core.severity import Severity
from ckptlint.documents.golden_sum import Golden, read_golden
from ckptlint.engine.chain import HEAD, Chain
from ckptlint.engine.faults import BAD_CHAIN, GOLDEN_CHANGED, GOLDEN_DIFFERS, GOLDEN_STUCK, Faults, PlanFaults
from ckptlint.engine.gate import USUAL, Wanted, compared
from ckptlint.engine.planner import draft
from ckptlint.engine.standing import locate
from ckptlint.engine.variants import Variants, joined, nearest
from ckptlint.engine.variants import each as each_variant
from ckptlint.errors import CkptlintError
from ckptlint.ops.init import Init
from ckptlint.ops.python import Python

_BLOCK = 1 << 20  # bytes that are hashed at once


@dataclass(frozen=True, slots=True)
class Fixtures:
    """The chain's folder, the chain, what its head's lock says, and what is asked of a file there."""

    folder: str
    chain: Chain
    head: Variants
    wanted: Wanted = USUAL

    @property
    def sum(self) -> str:
        return str(Path(self.folder) / GOLDEN_SUM)


def recorded(folder: str) -> dict[str, tuple[Golden, int]]:
    """What the folder's sum says, with line numbers; nothing where there is none."""
    path = Path(folder) / GOLDEN_SUM
    return read_golden(sources.read_text(str(path)), str(path)) if path.is_file() else {}


def present(folder: str) -> list[str]:
    """The files and folders below `golden`, by their paths from the chain's folder."""
    place = Path(folder) / GOLDEN
    names = sorted(each.name for each in place.iterdir()) if place.is_dir() else []
    return [f"{GOLDEN}/{name}" for name in names if not name.startswith(".")]


def digest(path: Path) -> str:
    """A hash of a file's bytes, or of all files in a folder with their names."""
    total = hashlib.sha256()
    files = [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())
    for each in files:
        total.update(f"{each.relative_to(path).as_posix()}\0{each.stat().st_size}\0".encode("utf-8", "surrogateescape"))
        with each.open("rb") as file:
            while block := file.read(_BLOCK):
                total.update(block)
    return f"h1:{total.hexdigest()[:16]}"


def judged(fixtures: Fixtures) -> tuple[Finding, ...]:
    """What is wrong with the fixtures that are recorded or lie there."""
    known = recorded(fixtures.folder)
    found: list[Finding] = []
    for name in sorted({*known, *present(fixtures.folder)}):
        golden, line = known.get(name, (None, 0))
        where = f"{fixtures.sum}:{line}" if line else os.path.join(fixtures.folder, name)
        found += _placed(
            _changed(fixtures.folder, name, golden) or becomes(fixtures, name, golden.revision if golden else ""),
            where,
            name,
        )
    return tuple(found)


def forgotten(fixtures: Fixtures, before: Sequence[str]) -> tuple[Finding, ...]:
    """The files that the base records, and the head no more: that can be meant, and is said."""
    faults = Faults()
    known = recorded(fixtures.folder)
    for name in before:
        if name not in known:
            hint = f"ckptlint golden {fixtures.folder} records it again, if the file is there"
            text = f"{name}: is recorded by the base, and no more"
            faults.add(GOLDEN_CHANGED, text, where=fixtures.sum, hint=hint, severity=Severity.WARNING)
    return faults.findings()


def _placed(findings: Sequence[Finding], where: str, name: str) -> Iterator[Finding]:
    """Findings with the fixture that they are about, at its line of the sum; what a migration did keeps its own place."""
    for each in findings:
        own = each.words.get("where", "")
        yield each._replace(message=f"{name}: {each.message}", words={**each.words, "where": own or where})


def _changed(folder: str, name: str, golden: Golden | None) -> tuple[Finding, ...]:
    """Whether a recorded file is gone, or is another one."""
    path = Path(folder) / name
    faults = Faults()
    if not path.exists():
        hint = f"`git checkout REF -- {path}` brings it back (git log -- {path}); `ckptlint golden {folder}` forgets it"
        faults.add(GOLDEN_CHANGED, "is gone", hint=hint)
    elif golden is not None and digest(path) != golden.digest:
        hint = f"a file that was saved once does not change: git checkout -- {path}; or record what it is now: ckptlint golden {folder}"
        faults.add(GOLDEN_CHANGED, "is not what was recorded", hint=hint)
    return faults.findings()


def becomes(fixtures: Fixtures, name: str, start: str) -> tuple[Finding, ...]:
    """What keeps a file from getting to the head, or makes it other than the lock there."""
    path = os.path.join(fixtures.folder, name)
    faults = Faults()
    try:
        made = _all_at_head(fixtures, path, start)
    except PlanFaults as error:
        if any(each.rule != BAD_CHAIN.code for each in error.findings):
            faults.add(
                GOLDEN_STUCK, "the migrations do not fit it", hint=f"ckptlint current {path} --chain {fixtures.folder}"
            )
            return (*faults.findings(), *error.findings)
        for each in error.findings:
            hint = f"ckptlint golden {fixtures.folder} {path} --from REV records where it stands"
            faults.add(GOLDEN_STUCK, each.message, where=each.words.get("where", ""), hint=hint)
        return faults.findings()
    except CkptlintError as error:
        faults.add(GOLDEN_STUCK, error.message, hint=error.hint or f"ckptlint inspect {path}")
        return faults.findings()
    return joined({name: _held(fixtures, keys) for name, keys in made.items()})


def _held(fixtures: Fixtures, made: Schema) -> tuple[Finding, ...]:
    """In what keys differ from those of the head that they are most like."""
    faults = Faults()
    compared(made, fixtures.head[nearest(fixtures.head, made)], fixtures.wanted, faults)
    return tuple(
        each._replace(
            rule=GOLDEN_DIFFERS.code,
            slug=GOLDEN_DIFFERS.slug,
            hint=each.hint or "`ckptlint make` writes the migration that is missing",
        )
        for each in faults.findings()
    )


def _all_at_head(fixtures: Fixtures, path: str, start: str) -> dict[str, Schema]:
    """What a file becomes at the head, under '', or each variant of a lock."""
    if sources.holds_keys(path):
        return each_variant(sources.variants(path), lambda keys: _keys_at_head(fixtures.chain, keys, start))
    return {"": _at_head(fixtures, path, start)}


def _keys_at_head(chain: Chain, keys: Schema, start: str) -> Schema:
    """What keys alone become at the head."""
    if not chain.links:
        return keys
    place = chain.place(start) if start else locate(chain, schema_evidence(keys)).place
    for migration in chain.between(place, len(chain.links)):
        keys = draft(keys, migration).plan.target
    return keys


def _at_head(fixtures: Fixtures, path: str, start: str) -> Schema:
    """The keys of what a file becomes at the head; it is written for that, unless something from outside is needed."""
    chain = fixtures.chain
    with sources.opened(path) as checkpoint:
        keys = sources.weights(checkpoint, None).schema(path)
    if not chain.links:
        return keys
    return _migrated(Request(path, (), chain=fixtures.folder, start=start or None, end=HEAD, dry_run=True), keys)


def _migrated(request: Request, keys: Schema) -> Schema:
    planned = migrate(request).plans
    if not planned:
        return keys  # it is at the head
    target = max((plan.target for _, plan in planned), key=lambda each: len(each.tensors))
    if any(isinstance(step.op, Init | Python) for _, plan in planned for step in plan.steps):
        return target
    suffix = written_suffix(request.checkpoint)
    with tempfile.TemporaryDirectory() as folder:
        output = os.path.join(folder, f"new{suffix}")
        migrate(replace(request, output=output, dry_run=False))
        with sources.opened(output) as made:
            return sources.weights(made, None).schema(request.checkpoint)
