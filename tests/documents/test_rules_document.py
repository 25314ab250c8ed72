"""Rule files and their index: what is read, what is refused, and that a lint needs no YAML parser."""

from __future__ import annotations

import random
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from ckptlint.core.case import Case
from ckptlint.core.finding import Severity
from ckptlint.core.rule import Rule
from ckptlint.core.spec import TensorSpec
from ckptlint.documents.rules import INDEX, RuleFile, index_of, load_rules, read_folder, read_rule
from ckptlint.documents.shipped import folder
from ckptlint.errors import CkptlintError, DocumentError

ROOT = Path(__file__).parents[2]
RULE = """\
id: CKK901
slug: head-was-resized
check: resized-axis
severity: warning
summary: A head has another number of rows.
message: "{pattern} has {have} rows, not {want}"
why: The number of classes differs.
hint: Resize {count} heads.
with: {axis: first, names: [head]}
cases:
  - name: fires
    checkpoint: {head.weight: "f32[10,4]"}
    model: {head.weight: "f32[12,4]"}
    expect: [head.weight]
  - {name: does not, checkpoint: {a: "f32[1]"}, model: {a: "f32[1]"}, ties: [[a]], expect: []}
"""
WORDS = Rule(
    id="CKK901",
    slug="head-was-resized",
    check="resized-axis",
    severity=Severity.WARNING,
    summary="A head has another number of rows.",
    message="{pattern} has {have} rows, not {want}",
    why="The number of classes differs.",
    hint="Resize {count} heads.",
    options={"axis": "first", "names": ["head"]},
)


def test_a_rule_and_its_cases():
    spec = TensorSpec.parse("f32[1]")
    assert read_rule(RULE, "r.yaml") == RuleFile(
        WORDS,
        (
            Case(
                "fires",
                ("head.weight",),
                checkpoint={"head.weight": TensorSpec.parse("f32[10,4]")},
                model={"head.weight": TensorSpec.parse("f32[12,4]")},
            ),
            Case("does not", (), checkpoint={"a": spec}, model={"a": spec}, ties=(("a",),)),
        ),
        "r.yaml",
    )


MISTAKES = [
    ("id: CKK901", "id: K1", "r.yaml:1:5: id", "should be CK, a family letter and three digits"),
    ("slug: head-was", "slug: Head-was", "r.yaml:2:7: slug", "should be lower-case words joined by hyphens"),
    ("check: resized-axis", "check: resised-axis", "r.yaml:3:8: check", "there is no check 'resised-axis'"),
    ("severity: warning", "severity: fatal", "r.yaml:4:11: severity", "'fatal' is not one of info, warning, error"),
    ("summary: A head", "sumary: A head", "r.yaml:5:1", "unknown key 'sumary'"),
    ("why: The number of classes differs.", "why: ' '", "r.yaml:7:6: why", "should not be empty"),
    ("why: The number of classes differs.\n", "", "r.yaml:1:1", "lacks 'why'"),
    ("{have} rows", "{had} rows", "r.yaml:6:10: message", "the check has no word 'had'"),
    ("{have} rows", "{have.__class__} rows", "r.yaml:6:10: message", "the check has no word 'have.__class__'"),
    ("{have} rows", "{have:>9999999} rows", "r.yaml:6:10: message", "the check has no word 'have'"),
    ("{have} rows", "{have!r} rows", "r.yaml:6:10: message", "the check has no word 'have'"),
    ("{have} rows", "{have rows", "r.yaml:6:10: message", "is not a message"),
    ("{count} heads", "{number} heads", "r.yaml:8:7: hint", "the check has no word 'number'"),
    ("axis: first", "axes: first", "r.yaml:9:7: with", "has no option 'axes'"),
    ("axis: first", "axis: 1", "r.yaml:9:14: with.axis", "1 is not"),
    ('"f32[10,4]"', '"f32[10,4"', "r.yaml:12:17: cases[0].checkpoint", "'f32[10,4' is not a tensor spec"),
    ("expect: [head.weight]\n", "\n", "r.yaml:11:5: cases[0]", "needs the option 'expect'"),
    ("- name: fires", "- nam: fires", "r.yaml:11:5: cases[0]", "has no option 'nam'"),
]


@pytest.mark.parametrize(("old", "new", "place", "message"), MISTAKES)
def test_a_mistake_has_its_place(old, new, place, message):
    assert old in RULE
    with pytest.raises(DocumentError) as caught:
        read_rule(RULE.replace(old, new), "r.yaml")
    assert caught.value.where == place
    assert caught.value.message.startswith(message)


def written(folder: Path, *rules: tuple[str, str]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in rules:
        (folder / name).write_text(text)
    return folder


def other(rule_id: str, slug: str) -> str:
    return RULE.replace("CKK901", rule_id).replace("head-was-resized", slug)


def test_a_folder_is_read_live_beside_the_shipped_rules(tmp_path):
    mine = written(tmp_path / "mine", ("CKK901-head.yaml", RULE), ("README.md", "not a rule"))
    shipped = written(tmp_path / "shipped", ("CKK902.yaml", other("CKK902", "b")), ("CKK900.yml", other("CKK900", "a")))
    assert [rule.id for rule in load_rules([mine], shipped=shipped)] == ["CKK900", "CKK901", "CKK902"]


@pytest.mark.parametrize(
    ("rule_id", "slug", "twice"), [("CKK901", "b", "CKK901"), ("CKK902", "head-was-resized", "head-was-resized")]
)
def test_an_id_or_slug_given_twice_is_refused(tmp_path, rule_id, slug, twice):
    first = written(tmp_path / "a", ("CKK901.yaml", RULE))
    second = written(tmp_path / "b", (f"{rule_id}.yaml", other(rule_id, slug)))
    with pytest.raises(DocumentError) as caught:
        load_rules([second], shipped=first)
    assert caught.value.message.startswith(f"there is a rule {twice} already")
    assert caught.value.where == str(second / f"{rule_id}.yaml")


def test_a_file_is_named_by_its_id(tmp_path):
    with pytest.raises(DocumentError, match="the file name should start with its rule's id, CKK901"):
        read_folder(written(tmp_path, ("head.yaml", RULE)))


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(DocumentError, match="is not a folder of rules"):
        load_rules([tmp_path / "nowhere"], shipped=tmp_path)


def test_the_index_stands_for_the_files(tmp_path):
    shipped = written(tmp_path, ("CKK901.yaml", RULE), ("CKK900.yaml", other("CKK900", "a")))
    read = load_rules(shipped=shipped)
    (shipped / INDEX).write_text(index_of(shipped))
    assert load_rules(shipped=shipped) == read
    assert read[1] == WORDS


def test_a_fresh_index_is_believed_and_a_stale_one_is_not(tmp_path):
    shipped = written(tmp_path, ("CKK901.yaml", RULE))
    (shipped / INDEX).write_text(index_of(shipped).replace("another number", "from the index"))
    assert load_rules(shipped=shipped)[0].summary == "A head has from the index of rows."
    (shipped / "CKK901.yaml").write_text(RULE + "\n")
    assert load_rules(shipped=shipped)[0].summary == WORDS.summary


@pytest.mark.parametrize(
    "index", ["", "[]", "{}", '{"version": 2}', '{"version": 1, "files": {}, "rules": []}', "\xff", "[" * 100_000]
)
def test_an_index_that_is_none_is_stale(tmp_path, index):
    shipped = written(tmp_path, ("CKK901.yaml", RULE))
    (shipped / INDEX).write_text(index)
    assert load_rules(shipped=shipped) == (WORDS,)


def test_the_committed_index_is_in_step():
    shipped = folder("rules")
    assert (shipped / INDEX).read_text() == index_of(shipped), "run python -m ckptlint.documents.rules_index"


def test_loading_the_shipped_rules_imports_no_yaml():
    code = "import sys; from ckptlint.documents.rules import load_rules; load_rules(); print(sorted({'yaml', 'ckptlint.checks', 'difflib'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


@pytest.mark.parametrize("path", sorted(folder("rules").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_rule_has_a_case_that_fires_and_one_that_does_not(path):
    file = read_rule(path.read_bytes(), str(path))
    assert path.name == f"{file.rule.id}-{file.rule.slug}.yaml"
    assert {bool(case.expect) for case in file.cases} == {True, False}
    assert len({case.name for case in file.cases}) == len(file.cases)


@pytest.mark.parametrize("seed", range(3))
def test_mutations_give_rules_or_document_errors(seed):
    chance = random.Random(seed)
    pieces = [
        "{",
        "}",
        "[",
        "]",
        ": ",
        "- ",
        "{x}",
        "1",
        "null",
        "f32",
        "''",
        '"',
        "\n",
        "  ",
        "ties: [[q]]",
        "tree: {a: [1]}",
        "at: /x",
        "kinds: {/: y}",
        "-1",
    ]
    for _ in range(150):
        text = RULE
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(len(text))
            text = text[:place] + chance.choice(pieces) + text[place + chance.choice((0, 1, 6)) :]
        with suppress(DocumentError):
            read_rule(text, "r.yaml")


def test_what_is_not_shipped_is_missing():
    with pytest.raises(CkptlintError, match="the shipped spells are missing"):
        folder("spells")
