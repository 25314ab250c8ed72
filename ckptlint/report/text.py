"""A lint report for people: the likely cause, then one line a finding with its advice, worst first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest

from ckptlint.core.finding import Finding, Report, Severity
from ckptlint.errors import CkptlintError
from ckptlint.report.counts import counted, covered, last_line
from ckptlint.report.escape import escape
from ckptlint.report.paint import Paint, painter

MOST = 20  # findings of one checkpoint; more are counted
_LONGEST = 600  # characters of one message
_COLOURS = {Severity.ERROR: "1;31", Severity.WARNING: "1;33", Severity.INFO: "1;36"}


def render(
    reports: Sequence[Report],
    *,
    everything: bool = False,
    errors: Sequence[CkptlintError] = (),
    colour: bool | None = None,
) -> Iterator[str]:
    """Yield the lines; colour None asks the terminal. The last line is the summary."""
    paint = painter(colour=colour)
    for report in reports:
        yield from _report(report, paint, everything=everything)
    yield last_line(reports, len(errors))


def _report(report: Report, paint: Paint, *, everything: bool) -> Iterator[str]:
    partial = report.coverage is not None and report.coverage.tensors < report.coverage.of_tensors
    if not report.findings and not partial:
        return
    yield paint(_place(report), "1")
    if report.headline and not _says_it_all(report):
        yield f"  likely cause: {escape(_short(report.headline))}"
    shown = report.findings if everything else report.findings[:MOST]
    yield from finding_lines(shown, paint)
    if report.cure and _says_it_all(report):
        yield f"  cure: {escape(report.cure)}"
    if len(shown) < len(report.findings):
        yield f"... and {counted(len(report.findings) - len(shown), 'more finding')}; --all shows them"
    if report.coverage is not None:
        yield f"  coverage: {covered(report.coverage)}"
    yield ""


def _says_it_all(report: Report) -> bool:
    """Whether the one finding there is has the cause in its own words."""
    return len(report.findings) == 1 and report.cause == report.findings[0].message


def finding_lines(shown: Sequence[Finding], paint: Paint | None = None) -> Iterator[str]:
    """Yield each finding with its place and its advice, neither of which is repeated from one to the next."""
    before: tuple[str, ...] = ()
    for finding, following in zip_longest(shown, shown[1:]):
        place = tuple(defined_at(finding))
        yield from _finding(finding, following, () if place == before else place, paint or painter())
        before = place


def _place(report: Report) -> str:
    return escape(report.checkpoint if report.section in ("", "/") else f"{report.checkpoint}:{report.section}")


def _finding(finding: Finding, following: Finding | None, place: Iterable[str], paint: Paint) -> Iterator[str]:
    label = paint(f"{finding.severity}[{finding.rule} {finding.slug}]", _COLOURS[finding.severity])
    keys = f" ({len(finding.keys)} keys)" if len(finding.keys) > 1 else ""
    yield f"{label} {escape(_short(finding.message))}{keys}"
    yield from place
    same_advice = following is not None and (following.rule, following.hint) == (finding.rule, finding.hint)
    if finding.hint and not same_advice:
        yield f"  help: {escape(_short(finding.hint))}"


def defined_at(finding: Finding) -> Iterator[str]:
    """Yield the line that defines a finding's keys, or where they would be, and for what is gone the line that did."""
    found = finding.definition
    if found is None:
        return
    place = found.place
    yield f"  {'defined' if found.sure else 'near'}: {escape(f'{place}  {_short(place.said)}')}"
    before = next((each for each in found.related if each.revision), None)
    if before is not None:
        yield f"  before: {escape(f'{before}  {_short(before.said)}')}"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
