"""Issues in every format that machines and platforms read: the same for all commands that find something."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from ckptlint.core.finding import Report, Severity
from ckptlint.core.issue import Issue, issue_of, numbered, worst
from ckptlint.core.place import Place
from ckptlint.errors import CkptlintError
from ckptlint.report.counts import WORST_FIRST, counted
from ckptlint.report.github import MOST, command
from ckptlint.report.markdown import MOST as MOST_ROWS
from ckptlint.report.markdown import plain

Writer = Callable[[Sequence[Issue], Sequence[CkptlintError], Mapping[str, str]], Iterable[str]]
_STEPS = 6  # places of a way that a table shows


def _sarif(issues: Sequence[Issue], errors: Sequence[CkptlintError], summaries: Mapping[str, str]) -> Iterable[str]:
    from ckptlint.report import sarif

    return sarif.render(issues, errors, summaries)


def _gitlab(issues: Sequence[Issue], errors: Sequence[CkptlintError], summaries: Mapping[str, str]) -> Iterable[str]:
    from ckptlint.report import quality

    return quality.render(issues, errors, summaries)


def _junit(issues: Sequence[Issue], errors: Sequence[CkptlintError], summaries: Mapping[str, str]) -> Iterable[str]:
    from ckptlint.report import junit

    return junit.render(issues, errors, summaries)


def of_reports(reports: Sequence[Report]) -> tuple[Issue, ...]:
    """The findings about checkpoints: each at the source that defines its keys, else at the file, which has no lines."""
    return numbered(
        issue_of(each, Place(report.checkpoint, 0), report.checkpoint) for report in reports for each in report.findings
    )


def github(issues: Sequence[Issue], errors: Sequence[CkptlintError], summaries: Mapping[str, str]) -> Iterator[str]:
    """Yield a workflow command for each of the worst issues, and one that sums up."""
    del summaries
    for error in errors[:MOST]:
        yield command("error", "ckptlint", str(error))
    found = worst(issues)
    for each in found[: max(0, MOST - len(errors))]:
        said = f"{each.message}. {each.hint}" if each.hint else each.message
        yield command(str(each.severity), f"{each.rule} {each.slug}", said, each.place.path, each.place.line)
    level = "error" if errors else str(found[0].severity) if found else "info"
    yield command(level, "ckptlint", summed(issues, errors))


def markdown(issues: Sequence[Issue], errors: Sequence[CkptlintError], summaries: Mapping[str, str]) -> Iterator[str]:
    """Yield a table of the issues that count, for a step's summary or a comment on a pull request."""
    del summaries
    found = worst(issues)
    if found:
        yield "| severity | rule | where | what | what to do |"
        yield "|---|---|---|---|---|"
        yield from map(_row, found[:MOST_ROWS])
        if len(found) > MOST_ROWS:
            yield f"| | | | and {counted(len(found) - MOST_ROWS, 'more finding')} | |"
        yield ""
    for error in errors:
        yield f"- error: {plain(str(error))}"
    yield plain(summed(issues, errors))


def _row(issue: Issue) -> str:
    way = [f"{each} {each.said}".strip() for each in issue.flow[-_STEPS:]] or [_shown(issue)]
    where = " → ".join(map(plain, way))
    cells = [str(issue.severity), plain(f"{issue.rule} {issue.slug}"), where, plain(issue.message), plain(issue.hint)]
    return f"| {' | '.join(cells)} |"


def _shown(issue: Issue) -> str:
    return str(issue.place) if issue.place.line else issue.place.path


def summed(issues: Sequence[Issue], errors: Sequence[CkptlintError] = ()) -> str:
    """Say how many there are of each severity, and how many are accepted."""
    found = worst(issues)
    by_severity = {level: sum(each.severity is level for each in found) for level in WORST_FIRST}
    severities = ", ".join(counted(number, str(level)) for level, number in by_severity.items())
    accepted = len(issues) - len(found)
    more = f"; {accepted} accepted" if accepted else ""
    more += f"; {counted(len(errors), 'file')} could not be read" if errors else ""
    return f"{counted(len(found), 'finding')}: {severities}{more}"


def failed(issues: Sequence[Issue], level: Severity | None) -> bool:
    """Whether one that counts is at or above a level; None never fails."""
    return level is not None and any(each.counts and each.severity.rank >= level.rank for each in issues)


FORMATS: dict[str, Writer] = {
    "sarif": _sarif,
    "github": github,
    "gitlab": _gitlab,
    "junit": _junit,
    "markdown": markdown,
}
