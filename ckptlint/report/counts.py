"""The figures at the end of every report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ckptlint.core.severity import Severity

if TYPE_CHECKING:  # the hook counts no findings about checkpoints
    from ckptlint.core.finding import Coverage, Finding, Report

WORST_FIRST = tuple(reversed(Severity))


def worst_first(reports: Sequence[Report]) -> list[Finding]:
    """Return all findings, errors first; the order within a severity is that of the reports."""
    found = [finding for report in reports for finding in report.findings]
    return sorted(found, key=lambda finding: -finding.severity.rank)


def by_severity(findings: Sequence[Finding]) -> dict[Severity, int]:
    return {severity: sum(each.severity is severity for each in findings) for severity in WORST_FIRST}


def last_line(reports: Sequence[Report], unread: int = 0) -> str:
    """Say what was looked at and what was found: `checked 2 checkpoints, 428 keys, 3 findings: 1 error, 2 warnings, 0 infos`."""
    findings = worst_first(reports)
    ignored = sum(report.ignored for report in reports)
    severities = ", ".join(counted(number, str(severity)) for severity, number in by_severity(findings).items())
    keys = sum(report.keys for report in reports)
    what = f"{counted(checkpoints(reports), 'checkpoint')}, {counted(keys, 'key')}, {counted(len(findings), 'finding')}"
    more = f"; {ignored} ignored" if ignored else ""
    more += f"; {counted(unread, 'checkpoint')} could not be read" if unread else ""
    return f"checked {what}: {severities}{more}"


def checkpoints(reports: Sequence[Report]) -> int:
    """How many reports are about a checkpoint."""
    return sum(not report.of_settings for report in reports)


def covered(coverage: Coverage) -> str:
    """Say how much of the model is filled: `210 of 214 tensors, 25,557,032 of 25,610,205 parameters (99.8 %)`."""
    tensors = f"{coverage.tensors:,} of {coverage.of_tensors:,} tensors"
    return f"{tensors}, {coverage.elements:,} of {coverage.of_elements:,} parameters ({percent(coverage)})"


def percent(coverage: Coverage) -> str:
    """Round so that only the whole is 100 %, and only nothing 0 %."""
    if coverage.elements == coverage.of_elements:
        return "100 %"
    tenths = max(1, min(999, round(1000 * coverage.elements / coverage.of_elements))) if coverage.elements else 0
    return f"{tenths / 10:g} %"


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
