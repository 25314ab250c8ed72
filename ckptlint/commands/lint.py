"""`ckptlint lint`: judge checkpoints against a model, its lock, or anything that has a schema."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ckptlint.commands import sources
from ckptlint.commands.amounts import memory
from ckptlint.commands.projects import model_of, settings
from ckptlint.commands.talk import talk
from ckptlint.core.checkpoint import Checkpoint
from ckptlint.core.collection import no_collection
from ckptlint.core.finding import Report, Severity
from ckptlint.core.issue import Issue, stale
from ckptlint.core.rule import Rule
from ckptlint.core.schema import Schema
from ckptlint.core.selection import Selection
from ckptlint.core.values import Measured
from ckptlint.documents.config import Config
from ckptlint.documents.rules import load_rules
from ckptlint.engine.lint import LintOptions, lint
from ckptlint.errors import CkptlintError, FormatError, UsageError

if TYPE_CHECKING:
    from ckptlint.commands.accepting import Baselining
    from ckptlint.commands.inline import Lines
    from ckptlint.commands.locating import Side


@dataclass(frozen=True, slots=True)
class Request:
    """What to judge, by what, and how strictly."""

    checkpoints: Sequence[str]
    model: str | None = None
    lock: str | None = None
    against: str | None = None
    building: sources.Building = field(default_factory=sources.Building)
    section: str | None = None
    select: Sequence[str] = ()
    extend_select: Sequence[str] = ()
    ignore: Sequence[str] = ()
    folders: Sequence[str] = ()
    only: Sequence[str] = ()
    allow_missing: Sequence[str] = ()
    config: str | None = None
    values: bool = False
    memory: int = 1 << 30


def run(
    *,
    form: str,
    fail_on: str | None,
    everything: bool,
    max_memory: str = "1G",
    baseline: Baselining | None = None,
    **given: object,
) -> tuple[Iterable[str], int]:
    from ckptlint.report import REPORTERS

    request = Request(**given, memory=memory(max_memory))  # type: ignore[arg-type]  # click checked them
    config = settings(request.config)
    reports, errors, lines = judge(request, config)
    if errors and len(request.checkpoints) == 1 and form == "text":
        raise errors[0]  # there is nothing to report beside it
    for error in errors:
        talk(f"ckptlint: {error}")
    issues: Sequence[Issue] = ()
    if form not in REPORTERS or (baseline and baseline.path):
        from ckptlint.commands.accepting import of_reports

        reports, issues = of_reports(reports, baseline, ("CKC", "CKK"))
    more = _about_ignores(request, config, reports, lines)
    reports = [*reports, *more]
    found = _failed(reports, issues, config.fail_on if fail_on is None else _level(fail_on))
    code = max((error.exit_code for error in errors), default=int(found))
    if form not in REPORTERS:
        from ckptlint.report.issues import FORMATS
        from ckptlint.report.issues import of_reports as as_issues

        summaries = {each.id: each.summary for each in load_rules()}
        return FORMATS[form]((*issues, *as_issues(more)), errors, summaries), code
    return REPORTERS[form](reports, everything=everything, errors=errors), code


def _about_ignores(request: Request, config: Config, reports: Sequence[Report], lines: Sequence[Lines]) -> list[Report]:
    if not config.accepted and not lines:
        return []
    from ckptlint.commands.accepted_keys import Looked, about_ignores

    narrowed = any((request.select, request.ignore, request.only, request.allow_missing, request.section))
    named = bool(request.model or request.lock or request.against)
    looked = Looked(
        request.checkpoints, request.folders, _codes(request.select), _codes(request.ignore), named, narrowed
    )
    found = about_ignores(looked, config, reports) if config.accepted else []
    if lines:
        from ckptlint.commands.inline import about_lines

        found += about_lines(lines, looked, config, reports)
    return found


def _level(fail_on: str) -> Severity | None:
    return None if fail_on == "never" else Severity(fail_on)


def _failed(reports: Sequence[Report], issues: Sequence[Issue], level: Severity | None) -> bool:
    return level is not None and (any(report.failed(level) for report in reports) or stale(issues))


def judge(request: Request, config: Config) -> tuple[list[Report], list[CkptlintError], list[Lines]]:
    """Judge every checkpoint; one that cannot be read does not hide the findings of the others. Last, the sources' comments."""
    rules = load_rules([*(config.folder / folder for folder in config.rules), *map(Path, request.folders)])
    judging = _Judging(request, config, rules)
    reports: list[Report] = []
    errors: list[CkptlintError] = []
    for checkpoint in request.checkpoints:
        try:
            reports.append(judging.report(checkpoint))
        except UsageError:
            raise
        except CkptlintError as error:
            errors.append(error)
    return reports, errors, [each for each in judging.lines.values() if each is not None]


class _Judging:
    """One call: the schemas judged by are made once, however many checkpoints there are."""

    def __init__(self, request: Request, config: Config, rules: Sequence[Rule]) -> None:
        self._request = request
        self._config = config
        self._rules = rules
        self._variants: dict[str, Mapping[str, Schema]] = {}
        self._sides: dict[tuple[str, int], Side | None] = {}  # by the reference and the variant's schema, which is kept
        self.lines: dict[tuple[str, int], Lines | None] = {}

    def report(self, path: str) -> Report:
        request = self._request
        with no_collection(), sources.subject(path) as subject:
            name, model = self._model(path, subject)
            if model is None and (request.only or request.allow_missing):
                raise UsageError("--only and --allow-missing need a model to judge by")
            selection = self._selection(name)
            options = LintOptions(
                path, request.section or "", selection, tuple(request.only), tuple(request.allow_missing)
            )
            values = self._values(subject, model)
            report = lint(subject, model, self._rules, options, values)
            accepted = self._accepted(report, path, model)
            if accepted is not None:
                report = lint(subject, model, self._rules, replace(options, accepted=accepted), values)
            report = self._located(report, path, model)
            if model is None or not report.failed():
                return report
            from ckptlint.commands.cures import with_cure  # only a checkpoint that does not fit pays for it

            named = self._reference(path)
            if named and model.origin.startswith(f"{named}::"):
                named = model.origin  # the variant
            return with_cure(report, subject, named, model, request.building)

    def _located(self, report: Report, path: str, model: Schema | None) -> Report:
        """The report with the lines of the source that define the keys it is about."""
        if model is None or not model.modules or not any(each.keys for each in report.findings):
            return report
        from ckptlint.commands import locating  # only findings pay for it

        return locating.located_report(report, self._side(path, model))

    def _side(self, path: str, model: Schema) -> Side | None:
        from ckptlint.commands import locating

        name = self._factory(path)
        key = (name, id(model))
        if key not in self._sides:
            self._sides[key] = locating.side(model, name, self._config.folder)
        return self._sides[key]

    def _accepted(self, report: Report, path: str, model: Schema | None) -> Mapping[str, set[str]] | None:
        """The keys that comments at their lines accept, by rule; None where the source has no comments of ours."""
        if model is None or not model.modules:
            return None
        key = (self._factory(path), id(model))
        if key not in self.lines:
            self.lines[key] = self._commented(key[0], path, model)
        lines = self.lines[key]
        if lines is None:
            return None
        found: dict[str, set[str]] = {}
        for each in report.findings:
            found.setdefault(each.rule, set()).update(lines.accepted(each))
        return found

    def _commented(self, name: str, path: str, model: Schema) -> Lines | None:
        from ckptlint.commands.locks import commented  # which parses nothing

        if not commented(model, name, self._config):
            return None
        from ckptlint.commands.inline import Lines

        return Lines.of(self._side(path, model))

    def _factory(self, path: str) -> str:
        """What builds the model, or the lock that says it."""
        request = self._request
        given = request.model or request.lock or request.against
        found = None if given else model_of(path, self._config)
        return given or (found.model.factory or found.lock if found else "")

    def _values(self, subject: Checkpoint | Schema, model: Schema | None) -> Measured | None:
        if not self._request.values:
            return None
        from ckptlint.commands.values import judged_values

        return judged_values(subject, model, self._request.section or "", self._request.memory)

    def _selection(self, model: str) -> Selection:
        selection = self._config.selection(model)
        request = self._request
        return replace(
            selection,
            select=_codes(request.select) or selection.select,
            extend=(*selection.extend, *_codes(request.extend_select)),
            ignore=(*selection.ignore, *_codes(request.ignore)),
        )

    def _model(self, checkpoint: str, subject: Checkpoint | Schema) -> tuple[str, Schema | None]:
        """Return the schema to judge by and the configured model's name; None where the file is judged alone."""
        request = self._request
        given = [reference for reference in (request.model, request.lock, request.against) if reference is not None]
        if len(given) > 1:
            raise UsageError("--model, --lock and --against exclude each other")
        if given:
            return "", self._schema(given[0], subject)
        configured = model_of(checkpoint, self._config)
        if configured is None:
            none = (
                "no model of the settings names it in its `checkpoints`"
                if self._config.models
                else "no model is configured"
            )
            talk(f"note: {checkpoint} is checked by itself: no --model, --lock or --against is given, and {none}")
            return "", None
        if Path(configured.lock).exists():
            return configured.name, self._schema(configured.lock, subject)
        if configured.name not in self._variants:
            self._variants[configured.name] = configured.built(request.building.timeout)
        return configured.name, _meant(self._variants[configured.name], subject)

    def _reference(self, checkpoint: str) -> str:
        """What names the model on a command line."""
        request = self._request
        given = request.model or request.lock or request.against
        configured = None if given else model_of(checkpoint, self._config)
        if configured is None:
            return given or ""
        return configured.lock if Path(configured.lock).exists() else ""

    def _schema(self, reference: str, subject: Checkpoint | Schema) -> Schema:
        if reference not in self._variants:
            self._variants[reference] = sources.variants(reference, self._request.building)
        return _meant(self._variants[reference], subject)


def _meant(variants: Mapping[str, Schema], subject: Checkpoint | Schema) -> Schema:
    """Of several variants of the model the one that a subject is most like, which is said."""
    if len(variants) == 1:
        return next(iter(variants.values()))
    from ckptlint.engine.variants import nearest

    name = next(iter(variants))
    with suppress(FormatError):  # of what holds no state dict nothing is like any
        schema = subject if isinstance(subject, Schema) else sources.weights(subject, None).schema(subject.origin)
        name = nearest(variants, schema)
    talk(f"note: {subject.origin} is judged by the variant {name!r}, which it is most like")
    return variants[name]


def _codes(given: Sequence[str]) -> tuple[str, ...]:
    return tuple(code.strip() for text in given for code in text.split(",") if code.strip())
