"""A lint report as one JSON object, version 1; `docs/json.md` describes it. Text from files is exact: JSON escapes it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from ckptlint.core.finding import Coverage, Finding, Report, Severity
from ckptlint.core.place import Definition, Place
from ckptlint.errors import CkptlintError
from ckptlint.report.counts import by_severity, checkpoints, worst_first

VERSION = 1


def render(
    reports: Sequence[Report], *, everything: bool = False, errors: Sequence[CkptlintError] = ()
) -> Iterator[str]:
    """Yield the one text; JSON is for machines, so nothing is capped either way."""
    del everything
    yield json.dumps(entry(reports, errors), indent=1)


def entry(reports: Sequence[Report], errors: Sequence[CkptlintError] = ()) -> dict[str, object]:
    """Return the object: findings in the order of the reports, worst first within each."""
    findings = worst_first(reports)
    coverages = [report.coverage for report in reports if report.coverage is not None]
    return {
        "version": VERSION,
        "findings": [_finding(finding) for report in reports for finding in report.findings],
        "errors": [
            {"rule": error.rule, "message": error.message, "where": error.where, "hint": error.hint} for error in errors
        ],
        "summary": {
            "checkpoints": checkpoints(reports),
            "keys": sum(report.keys for report in reports),
            "findings": len(findings),
            "counts": _counts(by_severity(findings)),
            "ignored": sum(report.ignored for report in reports),
            "coverage": _coverage(_total(coverages)) if coverages else None,
            "per_checkpoint": [_report(report) for report in reports if not report.of_settings],
        },
    }


def _finding(finding: Finding) -> dict[str, object]:
    return {
        "rule": finding.rule,
        "slug": finding.slug,
        "severity": str(finding.severity),
        "keys": list(finding.keys),
        "pattern": finding.pattern,
        "message": finding.message,
        "expected": finding.words.get("expected"),
        "actual": finding.words.get("actual"),
        "hint": finding.hint,
        "checkpoint": finding.checkpoint,
        "section": finding.section,
        "words": dict(finding.words),
        "definition": definition(finding.definition),
    }


def definition(found: Definition | None) -> dict[str, object] | None:
    """Where the source defines the first key of a finding; None where it is not known."""
    if found is None:
        return None
    return {
        **_place(found.place),
        "sure": found.sure,
        "flow": [_place(each) for each in found.flow],
        "related": [_place(each) for each in found.related],
    }


def _place(place: Place) -> dict[str, object]:
    revision = {"revision": place.revision} if place.revision else {}
    return {"path": place.path, "line": place.line, "column": place.column, "said": place.said, **revision}


def _report(report: Report) -> dict[str, object]:
    return {
        "checkpoint": report.checkpoint,
        "section": report.section,
        "keys": report.keys,
        "headline": report.headline,
        "cure": report.cure or None,
        "counts": _counts(by_severity(report.findings)),
        "ignored": report.ignored,
        "coverage": None if report.coverage is None else _coverage(report.coverage),
    }


def _counts(found: dict[Severity, int]) -> dict[str, int]:
    return {str(severity): number for severity, number in found.items()}


def _coverage(coverage: Coverage) -> dict[str, int]:
    return {
        "tensors": coverage.tensors,
        "of_tensors": coverage.of_tensors,
        "elements": coverage.elements,
        "of_elements": coverage.of_elements,
    }


def _total(coverages: Sequence[Coverage]) -> Coverage:
    return Coverage(
        sum(each.tensors for each in coverages),
        sum(each.of_tensors for each in coverages),
        sum(each.elements for each in coverages),
        sum(each.of_elements for each in coverages),
    )
