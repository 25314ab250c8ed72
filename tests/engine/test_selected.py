"""Which rules report, and what becomes of the facts of those that do not."""

from pathlib import Path

import pytest

from ckptlint.core.schema import Schema
from ckptlint.core.selection import Ignore, Selection
from ckptlint.documents.rules import read_folder
from ckptlint.engine.lint import LintOptions, lint

RULES = [file.rule for file in read_folder(Path(__file__).parent.parent.parent / "rules")]
MODEL = Schema.of("a.weight: f32[4,8]", "a.bias: f32[4]", "head.weight: f32[10,4]", "head.bias: f32[10]")


@pytest.mark.parametrize(
    "selection",
    [
        Selection(ignore=("CKK206",)),
        Selection(severity={"resized-first": None}),
        Selection(ignores=(Ignore("CKK206", "fine-tuned heads"),)),
    ],
)
def test_what_an_ignored_rule_explains_turns_up_nowhere_else(selection):
    file = Schema.of("a.weight: f32[4,8]", "a.bias: f32[4]", "head.weight: f32[1000,4]", "head.bias: f32[1000]")
    report = lint(file, MODEL, RULES, LintOptions(selection=selection))
    assert (report.findings, report.headline, report.ignored) == ((), "", 2)


def test_a_resized_axis_is_read_as_what_it_is_even_alone():
    file = Schema.of("a.weight: f32[4,8]", "a.bias: f32[5]", "head.weight: f32[9,4]", "head.bias: f32[10]")
    for rule in ("CKK207", "CKK208"):
        assert lint(file, MODEL, RULES, LintOptions(selection=Selection(select=(rule,)))).findings == ()
