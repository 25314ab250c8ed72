"""What docs/policies.md shows is what happens: its rules are read, and judge the release that it lints."""

import re

import pytest
from cli import ROOT, ckptlint

from ckptlint.core.case import Case
from ckptlint.documents.rules import load_rules, read_folder
from ckptlint.engine.lint import lint

PAGE = (ROOT / "docs" / "policies.md").read_text(encoding="utf-8")
RULES = dict(re.findall(r"<!-- rule: (\S+) -->\n```yaml\n(.*?)```\n", PAGE, re.DOTALL))
SHOWN = re.search(r"\$ ckptlint (lint.*)\n((?:.*\n)*?)```", PAGE)


@pytest.fixture
def project(tmp_path):
    for name, text in RULES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text('[tool.ckptlint]\nrules = ["ci/rules"]\n')
    return tmp_path


def test_the_release_is_judged_as_shown(project):
    torch = pytest.importorskip("torch")
    backbone = {f"backbone.{n}.weight": torch.zeros(4, 4) for n in range(2)}
    weights = {**backbone, "head.bias": torch.zeros(4, dtype=torch.float64)}
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))]).state_dict()
    torch.save({"model": weights, "optimizer": optimizer}, project / "release.pt")
    command, shown = SHOWN.groups()
    (project / "pyproject.toml").unlink()
    said = ckptlint(project, *command.split(), code=1).stdout.splitlines()
    assert [line for line in said if line in shown.splitlines()] == shown.splitlines()


def test_the_cases_of_the_rules_hold(project):
    files = read_folder(project / "ci" / "rules")
    cases = [(file.rule, case) for file in files for case in file.cases]
    assert cases
    for rule, case in cases:
        assert isinstance(case, Case)
        report = lint(case.subject(), case.model_schema(), [rule])
        assert [finding.pattern for finding in report.findings] == list(case.expect)


def test_the_settings_make_them_known_to_rules_and_explain(project):
    assert "CKP103" in ckptlint(project, "rules").stdout
    assert ckptlint(project, "explain", "no-doubles").stdout.startswith("CKP101 no-doubles (error)")


def test_no_shipped_rule_has_the_letter_of_the_projects_own():
    assert not [rule.id for rule in load_rules() if rule.id.startswith("CKP")]


def test_what_is_required_and_absent_is_called_by_its_name(project):
    (project / "keys.json").write_text('{"head.weight": [4, 4]}')
    said = ckptlint(project, "lint", "keys.json", "--select", "CKP103").stdout
    assert "backbone.** is absent, and should have key backbone.**" in said
