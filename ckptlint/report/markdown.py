"""A lint report for a pull request or a job's summary page."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ckptlint.core.finding import Finding, Report
from ckptlint.errors import CkptlintError
from ckptlint.report.counts import counted, covered, last_line
from ckptlint.report.escape import escape

MOST = 50  # findings of one checkpoint; more are counted
_LONGEST = 1000  # characters of one cell
_MARKS = re.compile(r"([\\`*_{}\[\]<>#|~!&@])")


def render(
    reports: Sequence[Report], *, everything: bool = False, errors: Sequence[CkptlintError] = ()
) -> Iterator[str]:
    """Yield the lines: one table a checkpoint, the summary last."""
    for report in reports:
        yield f"### {plain(report.checkpoint)}"
        if report.headline:
            yield f"**Likely cause:** {plain(_short(report.headline))}"
            yield ""
        yield from _table(report, everything=everything)
        if report.coverage is not None:
            yield f"Coverage: {covered(report.coverage)}"
            yield ""
    for error in errors:
        yield f"- error: {plain(str(error))}"
    yield last_line(reports, len(errors))


def _table(report: Report, *, everything: bool) -> Iterator[str]:
    if not report.findings:
        return
    shown = report.findings if everything else report.findings[:MOST]
    yield "| severity | rule | keys | what | what to do |"
    yield "|---|---|---|---|---|"
    yield from map(_row, shown)
    if len(shown) < len(report.findings):
        yield f"| | | | and {counted(len(report.findings) - len(shown), 'more finding')} | |"
    yield ""


def _row(finding: Finding) -> str:
    at = f" ({finding.definition.place})" if finding.definition else ""
    cells = (
        str(finding.severity),
        f"{finding.rule} {finding.slug}",
        str(len(finding.keys) or ""),
        finding.message + at,
        finding.hint,
    )
    return f"| {' | '.join(plain(_short(cell)) for cell in cells)} |"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


def plain(text: str) -> str:
    """Make text mean itself in Markdown: nothing in it is markup, a mention or HTML."""
    return _MARKS.sub(r"\\\1", escape(text)).replace("\\<", "&lt;").replace("\\&", "&amp;")
