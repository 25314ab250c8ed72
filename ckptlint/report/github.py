"""Workflow commands, which GitHub shows as annotations: ten a step at most, so nine findings and a summary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ckptlint.core.finding import Finding, Report
from ckptlint.core.place import Place
from ckptlint.errors import CkptlintError
from ckptlint.report.counts import last_line, worst_first
from ckptlint.report.escape import escape

MOST = 9
_LONGEST = 1000  # characters of one message
_LEVELS = {"error": "error", "warning": "warning", "info": "notice"}


def render(
    reports: Sequence[Report], *, everything: bool = False, errors: Sequence[CkptlintError] = ()
) -> Iterator[str]:
    """Yield a command for each of the worst findings, and one that sums up; `everything` lifts the cap on findings."""
    found = worst_first(reports)
    room = max(0, MOST - len(errors))
    for error in errors[:MOST]:
        yield command("error", "ckptlint", str(error))
    for finding in found if everything else found[:room]:
        place = finding.definition.place if finding.definition else Place(finding.checkpoint, 0)
        title = f"{finding.rule} {finding.slug}"
        yield command(str(finding.severity), title, _message(finding), place.path, place.line)
    worst = "error" if errors else str(found[0].severity) if found else "info"
    yield command(worst, "ckptlint", last_line(reports, len(errors)))


def _message(finding: Finding) -> str:
    keys = f" ({len(finding.keys)} keys)" if len(finding.keys) > 1 else ""
    return f"{_short(finding.message)}{keys}" + (f". {_short(finding.hint)}" if finding.hint else "")


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


def command(severity: str, title: str, message: str, file: str = "", line: int = 0) -> str:
    """Write one workflow command of a severity (`error`, `warning`, `info`)."""
    given = {"file": file, "line": str(line) if line else "", "title": title}
    properties = ",".join(f"{name}={_property(value)}" for name, value in given.items() if value)
    return f"::{_LEVELS[severity]} {properties}::{_data(message)}"


def _data(text: str) -> str:
    return escape(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
