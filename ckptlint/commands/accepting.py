"""What a project accepts of the findings of a run: those of its baseline, which may shrink and not grow."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ckptlint.core.finding import Report, Severity
from ckptlint.core.issue import Issue, fingerprint
from ckptlint.core.place import Place
from ckptlint.documents.baseline import Entry, entry_of, read_baseline, write_baseline
from ckptlint.errors import UsageError


@dataclass(frozen=True, slots=True)
class Baselining:
    """`--baseline FILE` and what to do with it: compare (neither), begin it (`write`), or take out what is mended (`prune`)."""

    path: str | None = None
    write: bool = False
    prune: bool = False

    def __post_init__(self) -> None:
        if (self.write or self.prune) and self.path is None:
            raise UsageError("--write-baseline and --prune-baseline need --baseline FILE")
        if self.write and self.prune:
            raise UsageError("--write-baseline and --prune-baseline exclude each other")


def settled(
    issues: Sequence[Issue], baselining: Baselining, families: tuple[str, ...], subjects: Sequence[str] = ()
) -> tuple[Issue, ...]:
    """The issues, those in the baseline marked as known, and a finding for each entry that nothing matches any more.

    An entry counts only where this run could have found it: its rule is of one of the `families`, and its subject was looked at.
    """
    path = baselining.path
    if path is None:
        return tuple(issues)
    if baselining.write:
        _save(path, [entry_of(each) for each in issues])
        return tuple(replace(each, known=True) for each in issues)
    entries = _load(path)
    found = {each.fingerprint for each in issues}
    marked = [replace(each, known=any(each.fingerprint == entry.fingerprint for entry in entries)) for each in issues]
    judged = [
        entry for entry in entries if entry.rule.startswith(families) and (not subjects or entry.subject in subjects)
    ]
    stale = [entry for entry in judged if entry.fingerprint not in found]
    if baselining.prune:
        _save(path, [entry for entry in entries if entry not in stale])
        return tuple(marked)
    return (*marked, *(_stale(entry, path) for entry in stale))


def of_reports(
    reports: Sequence[Report], baseline: Baselining | None, families: tuple[str, ...]
) -> tuple[list[Report], tuple[Issue, ...]]:
    """Reports without the findings that a baseline knows, and all findings as issues; what is wrong with the baseline is said."""
    from ckptlint.commands.talk import talk
    from ckptlint.report.issues import of_reports as as_issues

    found = as_issues(reports)
    if baseline is not None:
        found = settled(found, baseline, families, [each.checkpoint for each in reports])
    for issue in found[sum(len(each.findings) for each in reports) :]:
        talk(f"{issue.severity}[{issue.rule} {issue.slug}] {issue.place}: {issue.message}")
    told = iter(found)
    kept = []
    for report in reports:
        own = [(finding, next(told)) for finding in report.findings]
        left = tuple(finding for finding, issue in own if issue.counts)
        kept.append(replace(report, findings=left, ignored=report.ignored + len(own) - len(left)))
    return kept, found


def grown_since(ref: str, path: str) -> list[Issue]:
    """What a baseline has without a reason that it had not in a revision of git; nothing where it is new there."""
    from pathlib import Path

    from ckptlint.commands import blobs

    content = blobs.blob(ref, Path(path)) if os.path.isfile(path) else None
    if content is None:
        return []
    before = read_baseline(content.decode("utf-8", "replace"), f"{ref}:{path}")
    return grown(before, _load(path), path)


def grown(before: Sequence[Entry], now: Sequence[Entry], path: str) -> list[Issue]:
    """A finding for each entry that a change adds to a baseline without a reason."""
    known = {each.fingerprint for each in before}
    new = [each for each in now if each.fingerprint not in known and not each.reason.strip()]
    message = "is new in the baseline and has no reason: "
    hint = 'mend it, or say why it is accepted: "reason": "..." in its line'
    return [_about("CKX105", "baseline-grew", each, path, message, hint) for each in new]


def _stale(entry: Entry, path: str) -> Issue:
    return _about(
        "CKX106",
        "stale-baseline",
        entry,
        path,
        "is in the baseline, and no longer found: ",
        "`--prune-baseline` takes it out",
    )


def _about(rule: str, slug: str, entry: Entry, path: str, said: str, hint: str) -> Issue:
    what = " ".join(filter(None, [entry.rule, entry.subject, entry.pattern]))
    own = fingerprint(rule, entry.fingerprint)
    return Issue(rule, slug, Severity.ERROR, f"{said}{what}", hint, Place(path, _line(path, entry)), own, path)


def _line(path: str, entry: Entry) -> int:
    lines = _text(path).splitlines()
    return next((number for number, line in enumerate(lines, 1) if entry.fingerprint in line), 1)


def _load(path: str) -> tuple[Entry, ...]:
    if not os.path.isfile(path):
        raise UsageError("there is no such baseline", where=path, hint="--write-baseline begins one")
    return read_baseline(_text(path), path)


def _text(path: str) -> str:
    from ckptlint.commands.sources import read_text

    return read_text(path)


def _save(path: str, entries: Sequence[Entry]) -> None:
    from ckptlint.formats.atomic import AtomicFile

    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with AtomicFile(path) as out:
        out.file.write(write_baseline(entries).encode())
        out.commit()
