"""Every code that a report can print has a section in docs/rules.md, which SARIF links to, and a text of `explain`; examples are true."""

import re
from pathlib import Path

import pytest

from ckptlint.cli import main
from ckptlint.core.schema import Schema
from ckptlint.documents.migrations import read_migration
from ckptlint.documents.rules import load_rules
from ckptlint.engine.fault_examples import EXAMPLES
from ckptlint.engine.faults import KINDS
from ckptlint.engine.prove import prove

ROOT = Path(__file__).parent.parent
_CODE = re.compile(r"""["'](CK[A-Z]\d{3})["']""")
CODES = {rule.id: rule.slug for rule in load_rules()} | {code: kind.slug for code, kind in KINDS.items()}


def test_every_code_in_the_source_is_a_rule_or_a_kind_of_fault():
    written = {
        code for path in (ROOT / "ckptlint").rglob("*.py") for code in _CODE.findall(path.read_text(encoding="utf-8"))
    }
    assert len(written) > 60
    assert written <= CODES.keys()


def test_every_code_has_the_anchor_that_sarif_links_to():
    page = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
    anchors = {head.lower().replace(" ", "-") for head in re.findall(r"^## (.*)$", page, re.MULTILINE)}
    assert {f"{code.lower()}-{slug}" for code, slug in CODES.items()} <= anchors
    assert set(re.findall(r"\]\(#([^)]*)\)", page)) <= anchors


def test_every_code_and_slug_is_explained(capsys):
    for code in KINDS:
        for name in (code, KINDS[code].slug):
            assert main(["explain", name]) == 0
            said = capsys.readouterr().out
            assert said.startswith(f"{code} {KINDS[code].slug} (")
            assert EXAMPLES[code].cure in said


def test_every_kind_has_an_example():
    assert EXAMPLES.keys() == KINDS.keys()


@pytest.mark.parametrize("code", [code for code, example in EXAMPLES.items() if example.keys])
def test_examples_show_their_fault(code):
    example = EXAMPLES[code]
    target = Schema.of(*example.target) if example.target else None
    migration = read_migration(f"ckptlint: 1\n{example.shown}\n", "m.yaml")
    assert code in {
        each.rule for each in prove(migration, Schema.of(*example.keys, ties=example.ties), target).findings
    }
