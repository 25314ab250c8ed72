"""What the gate found, placed at the lines that define the keys, and written in each format."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ckptlint.commands import accepting, locating
from ckptlint.commands.accepted_keys import NO_WAY, OTHER_RESULT
from ckptlint.commands.accepting import Baselining
from ckptlint.commands.inline import Lines, left_of_gate
from ckptlint.commands.locating import Side
from ckptlint.commands.projects import settings
from ckptlint.commands.talk import talk
from ckptlint.core.finding import Finding
from ckptlint.core.issue import Issue, issue_of, numbered
from ckptlint.core.place import Place
from ckptlint.core.schema import Schema
from ckptlint.report.escape import escape
from ckptlint.report.text import defined_at

_FAMILIES = ("CKB", "CKF", "CKG", "CKM", "CKS")


@dataclass(frozen=True, slots=True)
class Gated:
    """What a run of the gate is about: the chain's folder, the lock, and what it was compared with ('' for nothing)."""

    chain: str
    lock: str
    base: str = ""
    golden: int = 0  # old files that were brought to the head


def placed(
    findings: Sequence[Finding], head: tuple[Schema, str] | None, base: tuple[Schema, str] | None, ref: str = ""
) -> tuple[Finding, ...]:
    """The findings with the places of their keys; a side is a schema and what builds it, `ref` the revision of the base's source."""
    folder = settings(None).folder
    now = locating.side(*head, folder) if head else None
    before = locating.side(*base, folder, ref) if base else None
    left = _uncommented(findings, now, before, asked=base is not None)
    return tuple(locating.located(each, now, before) for each in left)


def _uncommented(
    findings: Sequence[Finding], now: Side | None, before: Side | None, *, asked: bool
) -> Sequence[Finding]:
    """The findings without what comments at the lines of the keys accept, with what is wrong with these comments."""
    lines = Lines.of(now, before)
    if lines is None:
        return findings
    left, gone = left_of_gate(lines, findings, (NO_WAY, OTHER_RESULT) if asked else (), settings(None))
    if gone:
        talk(f"note: {gone} findings are ignored, as comments in the source say")
    return left


def issues(gated: Gated, findings: Sequence[Finding]) -> tuple[Issue, ...]:
    return numbered(issue_of(each, _place(each, gated), gated.lock) for each in findings)


def settled(
    gated: Gated, findings: Sequence[Finding], baseline: Baselining, ref: str
) -> tuple[tuple[Finding, ...], tuple[Issue, ...]]:
    """The findings that a baseline leaves, what is wrong with the baseline itself, and all of it as issues."""
    found = accepting.settled(issues(gated, findings), baseline, _FAMILIES, (gated.lock,))
    if baseline.path is not None and ref:
        found = (*found, *accepting.grown_since(ref, baseline.path))
    kept = [finding for finding, issue in zip(findings, found, strict=False) if issue.counts]
    more = [
        Finding(each.rule, each.slug, each.severity, each.message, words={"where": str(each.place)}, hint=each.hint)
        for each in found[len(findings) :]
    ]
    return (*kept, *more), found


def _place(finding: Finding, gated: Gated) -> Place:
    """Where a finding is that no source defines: the place of the migration, else the lock, else the chain."""
    path, line, column = _split(finding.words.get("where", ""))
    if path and Path(path).exists():
        return Place(path, line or 1, column or 1)
    return Place(gated.lock if Path(gated.lock).is_file() else gated.chain, 1)


def _split(where: str) -> tuple[str, int, int]:
    """Read `path:line:column`, of which the numbers may be absent."""
    parts = where.split(":")
    numbers: list[int] = []
    while len(parts) > 1 and parts[-1].isdecimal() and len(numbers) < 2:
        numbers.insert(0, int(parts.pop()))
    line, column = [*numbers, 0, 0][:2]
    return ":".join(parts), line, column


def text(gated: Gated, findings: Sequence[Finding]) -> Iterator[str]:
    """Yield `place: severity[CODE slug] message`, the lines of the source that define the keys, and what would do."""
    for finding in findings:
        place = finding.words.get("where", "")
        said = f"{finding.severity}[{finding.rule} {finding.slug}] {finding.message}"
        yield escape(f"{place}: {said}" if place else said)
        yield from defined_at(finding)
        if finding.hint:
            yield escape(f"  hint: {finding.hint}")
    if not findings:
        beyond = f", and leads from {gated.base} to the lock" if gated.base else ""
        files = f", and {gated.golden} golden file{'s' if gated.golden > 1 else ''} with it" if gated.golden else ""
        yield escape(f"{gated.chain}: the chain is whole{beyond}{files}")


def as_json(gated: Gated, findings: Sequence[Finding]) -> Iterator[str]:
    from ckptlint.report.json import definition

    listed = [
        {
            "rule": each.rule,
            "slug": each.slug,
            "severity": str(each.severity),
            "message": each.message,
            "keys": list(each.keys),
            "where": each.words.get("where", ""),
            "hint": each.hint,
            "definition": definition(each.definition),
        }
        for each in findings
    ]
    yield json.dumps({"version": 1, "chain": gated.chain, "findings": listed}, indent=1)


def summaries() -> Mapping[str, str]:
    """What each rule and each kind of fault is about, by its id."""
    from ckptlint.documents.rules import load_rules
    from ckptlint.engine.faults import KINDS

    return {**{code: kind.summary for code, kind in KINDS.items()}, **{each.id: each.summary for each in load_rules()}}


PLAIN: dict[str, Callable[[Gated, Sequence[Finding]], Iterable[str]]] = {"text": text, "json": as_json}
