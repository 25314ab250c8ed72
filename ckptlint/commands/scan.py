"""`ckptlint scan`: what files would do to whoever loads them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ckptlint.commands.accepting import Baselining, of_reports
from ckptlint.commands.projects import settings
from ckptlint.commands.talk import talk
from ckptlint.core.finding import Severity
from ckptlint.core.issue import Issue, stale
from ckptlint.core.selection import Selection
from ckptlint.documents.config import Config
from ckptlint.documents.rules import load_rules
from ckptlint.engine.lint import LintOptions, lint
from ckptlint.engine.verdict import Level, verdict
from ckptlint.errors import CkptlintError
from ckptlint.report.scanning import Scanned

_FAMILY = "CKC"
_GRAVER = {
    "CKC312": Severity.WARNING
}  # who scans asks what would run; every honest file with a class of its own has one
_UNREADABLE = 3  # exit code: a file could not be read, and nothing worse was found in it


@dataclass(frozen=True, slots=True)
class Request:
    """What to scan, and by which rules."""

    paths: Sequence[str]
    select: Sequence[str] = ()
    ignore: Sequence[str] = ()
    folders: Sequence[str] = ()
    config: str | None = None


def run(
    *, form: str, fail_on: str | None, everything: bool, baseline: Baselining | None = None, **given: object
) -> tuple[Iterable[str], int]:
    from ckptlint.report import REPORTERS, scanning

    request = Request(**given)  # type: ignore[arg-type]  # click checked them
    known = settings(request.config)
    scans, errors = scan(request, known)
    for error in errors:
        talk(f"ckptlint: {error}")
    issues: Sequence[Issue] = ()
    if form not in (*REPORTERS, *scanning.FORMATS) or (baseline and baseline.path):
        reports, issues = of_reports([each.report for each in scans], baseline, (_FAMILY,))
        scans = [replace(each, report=report) for each, report in zip(scans, reports, strict=True)]
    level = known.fail_on if fail_on is None else None if fail_on == "never" else Severity(fail_on)
    code = max((error.exit_code for error in errors), default=_code(scans, level) or int(stale(issues)))
    if form in scanning.FORMATS:
        return scanning.FORMATS[form](scans, errors=errors, everything=everything), code
    if form not in REPORTERS:
        from ckptlint.report.issues import FORMATS

        summaries = {each.id: each.summary for each in load_rules()}
        return FORMATS[form](issues, errors, summaries), code
    return REPORTERS[form]([each.report for each in scans], everything=everything, errors=errors), code


def scan(request: Request, config: Config) -> tuple[list[Scanned], list[CkptlintError]]:
    """Scan files and what is in folders; one that cannot be opened does not hide the findings about the others."""
    from ckptlint.formats.scanning.survey import survey

    rules = load_rules([*(config.folder / folder for folder in config.rules), *map(Path, request.folders)])
    selection = _selection(config, request.select, request.ignore)
    paths = request.paths
    scans: list[Scanned] = []
    errors: list[CkptlintError] = []
    for path in _files(paths):
        try:
            found, checkpoint = survey(path)
            report = lint(checkpoint, None, rules, LintOptions(str(path), selection=selection))
        except CkptlintError as error:
            if len(paths) == 1 and not Path(paths[0]).is_dir():
                raise
            errors.append(error)
        else:
            scans.append(Scanned(report, found, verdict(report, found)))
    return scans, errors


def _files(paths: Sequence[str]) -> Iterator[Path]:
    from ckptlint.formats.scanning.survey import files

    for path in map(Path, paths):
        if path.is_dir():
            yield from files(path)
        else:
            yield path


def _selection(config: Config, select: Sequence[str], ignore: Sequence[str]) -> Selection:
    """The project's selection, within the rules about files themselves."""
    selection = config.selection()
    chosen = _codes(select) or tuple(code for code in selection.select if code.startswith(_FAMILY)) or (_FAMILY,)
    severity = {**_GRAVER, **selection.severity}
    return replace(selection, select=chosen, extend=(), ignore=(*selection.ignore, *_codes(ignore)), severity=severity)


def _codes(given: Sequence[str]) -> tuple[str, ...]:
    return tuple(code.strip() for text in given for code in text.split(",") if code.strip())


def _code(scans: Sequence[Scanned], level: Severity | None) -> int:
    levels = {each.verdict.level for each in scans}
    if Level.UNREADABLE in levels:
        return _UNREADABLE
    return int(level is not None and any(each.report.failed(level) for each in scans))
