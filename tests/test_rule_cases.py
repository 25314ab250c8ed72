"""Every case of every shipped rule, judged as a user's checkpoint would be: with all rules together."""

from pathlib import Path

import pytest

from ckptlint.commands.hook import Running, judge
from ckptlint.commands.locked_classes import Locked
from ckptlint.core.case import Case
from ckptlint.core.rule import Rule
from ckptlint.documents.rules import RuleFile, read_folder
from ckptlint.engine.lint import LintOptions, lint
from ckptlint.errors import FormatError
from ckptlint.formats import open_checkpoint
from ckptlint.source.where.fingerprints import Printer
from ckptlint.source.where.library import Library, texts

RULES = read_folder(Path(__file__).parent.parent / "rules")
CASES = [pytest.param(file, case, id=f"{file.rule.id}: {case.name}") for file in RULES for case in file.cases]


def patterns(rule: Rule, case: Case, folder: Path) -> list[str]:
    if case.code:
        rules = {each.check: Running(each, each.severity, ignored=False) for each in (file.rule for file in RULES)}
        places, _ = judge(case.code.encode(), "x.py", rules, locked(case.locked) if case.locked else None)
        return [f"{place.line}:{place.column}" for place in places if place.rule == rule.id]
    if case.file is not None or case.folder is not None or case.files:
        return [""] if refusal(case, folder) == rule.id else []
    options = LintOptions(section=case.section, only=case.only, allow_missing=case.allow_missing)
    report = lint(
        case.subject(), case.model_schema(), [_with(file.rule, rule, case) for file in RULES], options, case.measured()
    )
    return [finding.pattern for finding in report.findings if finding.rule == rule.id]


def locked(text: str) -> Locked:
    """The fingerprints that a lock has of a module's classes."""
    library = Library([texts({"x.py": text})])
    module = library.module("x")
    assert module is not None
    prints = {name: str(Printer(library, kind).fingerprint()) for name, kind in module.classes.items()}
    return Locked.of("x", prints, ())


def refusal(case: Case, folder: Path) -> str:
    """Make the file or folder that a case describes; return the rule that the readers refuse it by."""
    path = folder / (case.path or "model.pt")
    if case.file is not None:
        path.write_bytes(case.file)
    for name in case.folder or ():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).touch()
    for name, content in case.files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    path.mkdir(exist_ok=True) if case.folder == () else None
    try:
        open_checkpoint(path).close()
    except FormatError as error:
        return error.rule
    return ""


def _with(rule: Rule, judged: Rule, case: Case) -> Rule:
    if rule.id != judged.id or not case.with_:
        return rule
    return Rule(
        rule.id,
        rule.slug,
        rule.check,
        rule.severity,
        rule.summary,
        rule.message,
        rule.why,
        rule.hint,
        case.with_,
    )


@pytest.mark.parametrize(("file", "case"), CASES)
def test_a_rule_does_what_its_case_says(file: RuleFile, case: Case, tmp_path: Path) -> None:
    assert patterns(file.rule, case, tmp_path) == list(case.expect)


@pytest.mark.parametrize("file", RULES, ids=lambda file: file.rule.id)
def test_a_rule_has_cases_of_both_kinds(file: RuleFile) -> None:
    assert {bool(case.expect) for case in file.cases} == {True, False}
