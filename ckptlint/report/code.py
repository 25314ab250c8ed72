"""Findings in a project's code, each at its line: for people, and as JSON; `code_issues.py` has all other formats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ckptlint.core.severity import Severity
from ckptlint.errors import CkptlintError
from ckptlint.report.counts import WORST_FIRST, counted
from ckptlint.report.escape import escape
from ckptlint.report.paint import painter


@dataclass(frozen=True, slots=True)
class Place:
    """A finding at a place of a file; lines and columns count from 1, columns in characters."""

    path: str
    line: int
    column: int
    rule: str
    slug: str
    severity: Severity
    message: str
    hint: str
    code: str = ""  # the lines it is about, by which it is known again


@dataclass(frozen=True, slots=True)
class Checked:
    """What a run found: places in the order of the files, files that could not be read, how many were looked at, what was accepted."""

    places: tuple[Place, ...]
    errors: tuple[CkptlintError, ...] = ()
    files: int = 0
    ignored: int = 0


def text(checked: Checked) -> Iterator[str]:
    """Yield `file:line:column: severity[CODE slug] message`, its advice once for places that follow each other, and the sum."""
    paint = painter()
    advised = ""
    for place in checked.places:
        where = paint(escape(f"{place.path}:{place.line}:{place.column}"), "1")
        yield f"{where}: {place.severity}[{place.rule} {place.slug}] {escape(place.message)}"
        if place.hint and place.hint != advised:
            yield f"  help: {escape(place.hint)}"
        advised = place.hint
    for error in checked.errors:
        yield f"error: {escape(str(error))}"
    yield _sum(checked)


def as_json(checked: Checked) -> Iterator[str]:
    """Yield one object; `docs/json.md` describes it."""
    import json

    said = {
        "version": 1,
        "findings": [
            {
                "rule": place.rule,
                "slug": place.slug,
                "severity": str(place.severity),
                "message": place.message,
                "hint": place.hint,
                "path": place.path,
                "line": place.line,
                "column": place.column,
            }
            for place in checked.places
        ],
        "errors": [{"message": error.message, "where": error.where, "hint": error.hint} for error in checked.errors],
        "summary": {"files": checked.files, "findings": len(checked.places), "ignored": checked.ignored},
    }
    yield json.dumps(said, indent=1)


def _sum(checked: Checked) -> str:
    by_severity = {level: sum(place.severity is level for place in checked.places) for level in WORST_FIRST}
    severities = ", ".join(counted(number, str(level)) for level, number in by_severity.items())
    more = f"; {checked.ignored} ignored" if checked.ignored else ""
    more += f"; {counted(len(checked.errors), 'file')} could not be read" if checked.errors else ""
    return f"checked {counted(checked.files, 'file')}, {counted(len(checked.places), 'finding')}: {severities}{more}"


FORMATS: dict[str, Callable[[Checked], Iterable[str]]] = {"text": text, "json": as_json}
