"""Every format of a lint report, over one report with all that can be in it."""

import json
from dataclasses import replace

import pytest

from ckptlint.core.finding import Coverage, Finding, Report, Severity
from ckptlint.core.place import Definition, Place
from ckptlint.core.schema import Schema
from ckptlint.engine.beside import beside
from ckptlint.engine.compare import compare
from ckptlint.errors import FormatError
from ckptlint.report import REPORTERS, differences, github, markdown, text


def finding(severity: str = "error", *keys: str, message: str = "w is not there", hint: str = "look") -> Finding:
    return Finding(
        "CKK101",
        "missing-key",
        Severity(severity),
        message,
        keys,
        ",".join(keys),
        {"expected": "f32[4]"},
        hint,
        "a.pt",
        "/model",
    )


REPORT = Report(
    "a.pt",
    "/model",
    (finding("error", "w"), finding("error", "l.0", "l.1", message="l.{0,1} is not there"), finding("info", hint="")),
    Coverage(210, 214, 998, 1000),
    "a prefix; strip it",
    2,
    1214,
)
CLEAN = Report("b.pt", "/", (), Coverage(4, 4, 9, 9), "", 0, 4)
HOSTILE = "w\n::error::owned\x1b[31m\u202e\ud800|`<b>@all %"


def render(form: str, *reports: Report, **options: object) -> str:
    return "\n".join(REPORTERS[form](reports, **options))


def test_text_for_people():
    assert render("text", REPORT, CLEAN) == (
        "a.pt:/model\n"
        "  likely cause: a prefix; strip it\n"
        "error[CKK101 missing-key] w is not there\n"
        "error[CKK101 missing-key] l.{0,1} is not there (2 keys)\n"
        "  help: look\n"
        "info[CKK101 missing-key] w is not there\n"
        "  coverage: 210 of 214 tensors, 998 of 1,000 parameters (99.8 %)\n"
        "\n"
        "checked 2 checkpoints, 1,218 keys, 3 findings: 2 errors, 0 warnings, 1 info; 2 ignored"
    )


def test_a_clean_checkpoint_is_one_line():
    assert render("text", CLEAN) == "checked 1 checkpoint, 4 keys, 0 findings: 0 errors, 0 warnings, 0 infos"


def test_a_partial_load_without_findings_says_how_much_it_covers():
    partial = Report("b.pt", "/", (), Coverage(1, 4, 1, 9), "", 0, 1)
    assert render("text", partial).splitlines()[:2] == [
        "b.pt",
        "  coverage: 1 of 4 tensors, 1 of 9 parameters (11.1 %)",
    ]


def test_a_checkpoint_that_could_not_be_read_is_counted():
    assert render("text", CLEAN, errors=[FormatError("is empty")]).endswith("; 1 checkpoint could not be read")


def test_text_is_capped_unless_asked():
    many = Report("a.pt", "/", tuple(finding("error", f"k{i}") for i in range(30)), keys=30)
    lines = render("text", many).splitlines()
    assert sum(line.startswith("error") for line in lines) == 20
    assert "... and 10 more findings; --all shows them" in lines
    assert sum(line.startswith("error") for line in render("text", many, everything=True).splitlines()) == 30


def test_colour_only_where_it_is_wanted(monkeypatch):
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b" not in render("text", REPORT)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[1;31merror[CKK101 missing-key]\x1b[0m" in render("text", REPORT)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in render("text", REPORT)
    assert "\x1b" in "\n".join(text.render([REPORT], colour=True))


def test_json_for_machines():
    entry = json.loads(render("json", REPORT, CLEAN, errors=[FormatError("is empty", where="c.pt")]))
    assert entry["version"] == 1
    assert entry["findings"][1] == {
        "rule": "CKK101",
        "slug": "missing-key",
        "severity": "error",
        "keys": ["l.0", "l.1"],
        "pattern": "l.0,l.1",
        "message": "l.{0,1} is not there",
        "expected": "f32[4]",
        "actual": None,
        "hint": "look",
        "checkpoint": "a.pt",
        "section": "/model",
        "words": {"expected": "f32[4]"},
        "definition": None,
    }
    assert entry["errors"] == [{"rule": "", "message": "is empty", "where": "c.pt", "hint": ""}]
    summary = entry["summary"]
    assert (summary["checkpoints"], summary["keys"], summary["findings"], summary["ignored"]) == (2, 1218, 3, 2)
    assert summary["counts"] == {"error": 2, "warning": 0, "info": 1}
    assert summary["coverage"] == {"tensors": 214, "of_tensors": 218, "elements": 1007, "of_elements": 1009}
    assert summary["per_checkpoint"][0] == {
        "checkpoint": "a.pt",
        "section": "/model",
        "keys": 1214,
        "headline": "a prefix; strip it",
        "cure": None,
        "counts": {"error": 2, "warning": 0, "info": 1},
        "ignored": 2,
        "coverage": {"tensors": 210, "of_tensors": 214, "elements": 998, "of_elements": 1000},
    }


def test_json_is_never_capped_and_keeps_keys_exactly():
    many = Report("a.pt", "/", tuple(finding("error", HOSTILE + str(i)) for i in range(30)))
    entry = json.loads(render("json", many))
    assert [each["keys"] for each in entry["findings"]] == [[HOSTILE + str(i)] for i in range(30)]
    assert render("json", many).isascii()


def test_github_commands():
    assert render("github", REPORT).splitlines() == [
        "::error file=a.pt,title=CKK101 missing-key::w is not there. look",
        "::error file=a.pt,title=CKK101 missing-key::l.{0,1} is not there (2 keys). look",
        "::notice file=a.pt,title=CKK101 missing-key::w is not there",
        "::error title=ckptlint::checked 1 checkpoint, 1,214 keys, 3 findings: 2 errors, 0 warnings, 1 info; 2 ignored",
    ]


def test_github_has_ten_annotations_the_worst_nine_and_the_summary():
    many = Report(
        "a.pt", "/", (*(finding("info", f"i{i}") for i in range(9)), *(finding("error", f"e{i}") for i in range(5)))
    )
    lines = render("github", many).splitlines()
    assert len(lines) == 10
    assert [line.split()[0] for line in lines] == ["::error"] * 5 + ["::notice"] * 4 + ["::error"]
    assert len(render("github", many, errors=[FormatError("x")] * 12).splitlines()) == 10


def test_github_properties_are_escaped():
    assert github.command("warning", "a:b,c", "50%", "x,y:z.pt", 3) == (
        "::warning file=x%2Cy%3Az.pt,line=3,title=a%3Ab%2Cc::50%25"
    )


def test_markdown_for_pull_requests():
    assert render("markdown", REPORT) == (
        "### a.pt\n"
        "**Likely cause:** a prefix; strip it\n"
        "\n"
        "| severity | rule | keys | what | what to do |\n"
        "|---|---|---|---|---|\n"
        "| error | CKK101 missing-key | 1 | w is not there | look |\n"
        "| error | CKK101 missing-key | 2 | l.\\{0,1\\} is not there | look |\n"
        "| info | CKK101 missing-key |  | w is not there |  |\n"
        "\n"
        "Coverage: 210 of 214 tensors, 998 of 1,000 parameters (99.8 %)\n"
        "\n"
        "checked 1 checkpoint, 1,214 keys, 3 findings: 2 errors, 0 warnings, 1 info; 2 ignored"
    )


def test_markup_means_itself():
    assert markdown.plain("a|b `c` <d> @e *f* &") == "a\\|b \\`c\\` &lt;d\\> \\@e \\*f\\* &amp;"


@pytest.mark.parametrize("form", ["text", "github", "markdown"])
def test_text_from_files_cannot_move_the_cursor_or_start_a_line(form):
    hostile = Report(HOSTILE, HOSTILE, (finding("error", HOSTILE, message=HOSTILE, hint=HOSTILE),), headline=HOSTILE)
    rendered = render(form, hostile, errors=[FormatError(HOSTILE, where=HOSTILE)])
    assert all(character == "\n" or character.isprintable() for character in rendered)
    assert not any(line.startswith("::error::owned") for line in rendered.splitlines())


@pytest.mark.parametrize(
    ("filled", "expected"), [((0, 5), "0 %"), ((5, 5), "100 %"), ((1, 10**6), "0.1 %"), ((10**6 - 1, 10**6), "99.9 %")]
)
def test_percentages_do_not_round_to_all_or_nothing(filled, expected):
    report = Report("a", "/", (finding(),), Coverage(1, 2, *filled))
    assert f"({expected})" in render("text", report)


def test_differences_for_people():
    old = Schema.of("emb: f32[9,4]", "l.0.w: f32[4,4]", "l.1.w: f32[4,4]", "head\n: f32[2,4]")
    new = Schema.of("l.0.w: f32[4,8]", "emb: f32[9,4]", "l.1.w: f32[4,8]", "neck: f32[3]")
    rest = beside(
        {"/epoch": 1, "/groups/0/lr": 0.1, "/groups/1/lr": 0.1, "/gone": "a", "/one": 1},
        {"/epoch": 2, "/groups/0/lr": 0.2, "/groups/1/lr": 0.2, "/x": None, "/one": True},
    )
    assert list(differences.text(compare(old, new), rest)) == [
        "- head  f32[2,4]",
        "+ neck  f32[3]",
        "~ l.{0,1}.w  f32[4,4] -> f32[4,8] (2 keys)",
        "~ the keys that both have come in another order",
        "beside the tensors:",
        "  - /gone  'a'",
        "  + /x  None",
        "  ~ /epoch  1 -> 2",
        "  ~ /groups/{0,1}/lr  0.1 -> 0.2",
        "  ~ /one  1 -> True",
        "1 tensor the same, 0 moved, 1 removed, 1 added, 2 changed",
    ]


def test_differences_for_machines():
    found = compare(Schema.of("a: f32[1]", "b: f32[1]"), Schema.of("m.a: f32[1]", "m.b: f32[1]"))
    (said,) = differences.as_json(found)
    assert json.loads(said) == {
        "version": 1,
        "added": [],
        "removed": [],
        "changed": [],
        "moved": [{"pattern": "{a,b}", "keys": ["a", "b"], "before": "", "after": "m."}],
        "tied": [],
        "untied": [],
        "reordered": False,
        "same": 2,
        "rest": {},
    }


def test_a_place_is_not_repeated_from_one_finding_to_the_next():
    def at(line: int) -> Finding:
        definition = Definition(Place("m.py", line, said="self.w = 1"), sure=False)
        return finding("error", "w")._replace(definition=definition)

    said = render("text", replace(REPORT, findings=(at(3), at(3), at(4), at(3))))
    assert said.count("near: m.py:3") == 2
    assert said.count("near: m.py:4") == 1
