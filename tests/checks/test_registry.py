"""Every check is named in the registry, says its words, and has a rule or is for a project's own."""

import ast
import string
from pathlib import Path

import pytest

import ckptlint.checks as package
from ckptlint.checks import CHECKS
from ckptlint.documents.rules import read_folder
from ckptlint.engine.headline import CAUSES

RULES = read_folder(Path(__file__).parent.parent.parent / "rules")
POLICY = {"require", "forbid"}


def test_no_check_is_left_out_of_the_registry():
    tables = set()
    for path in Path(package.__file__).parent.glob("*.py"):
        names = [
            n.id for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Name) and n.id.endswith("_CHECKS")
        ]
        tables |= set(names)
    source = Path(package.__file__).read_text()
    assert all(f"**{name}," in source for name in tables)


def test_every_check_has_a_shipped_rule_or_is_for_policy():
    assert {file.rule.check for file in RULES} | POLICY == set(CHECKS)


def test_causes_are_checks():
    assert set(CAUSES) <= set(CHECKS)


@pytest.mark.parametrize("file", RULES, ids=lambda file: file.rule.id)
def test_a_rule_names_only_words_that_its_check_says(file):
    known = {"pattern", "count", *CHECKS[file.rule.check].words}
    for text in (file.rule.message, file.rule.hint):
        assert {name for _, name, _, _ in string.Formatter().parse(text) if name} <= known
