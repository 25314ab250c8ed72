"""Issues in the formats of platforms: each document has the form that its reader asks for, whatever names and texts are in it."""

import json
import os
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sarif_form import faults

from ckptlint.core.finding import Finding, Severity
from ckptlint.core.issue import Issue, fingerprint, issue_of, numbered
from ckptlint.core.place import Definition, Place
from ckptlint.errors import FormatError
from ckptlint.report.issues import FORMATS, failed

ERRORS = (FormatError("is cut off", where="run/a:b.pt: byte 7", hint="fetch it again", rule="CKC103"),)
SUMMARIES = {"CKB101": "No way from the base."}


def issue(severity=Severity.ERROR, path="src/net.py", line=3, **more):
    flow = (Place("src/net.py", 9, 5, 9, 20, "Net: self.a = A()"), Place(path, line, 1, line, 9, "A: self.b = <B>"))
    given = {
        "pattern": "a.{b,c}",
        "keys": ("a.b", "a.c"),
        "flow": flow,
        "related": (Place("n.py", 4, revision="HEAD~1"),),
        **more,
    }
    return Issue(
        "CKB101",
        "no-way-from-base",
        severity,
        "a & b <c>",
        "do",
        flow[1],
        fingerprint("CKB101", "m", path),
        "m",
        **given,
    )


ISSUES = numbered(
    [
        issue(),
        issue(Severity.INFO),
        issue(Severity.WARNING, "ä b%.py", accepted="old & ours"),
        issue(known=True),
        issue(line=0),
    ]
)


def written(form, issues=ISSUES, errors=ERRORS):
    return "\n".join(FORMATS[form](issues, errors, SUMMARIES))


def test_sarif_has_the_form():
    document = json.loads(written("sarif"))
    assert faults(document) == []
    results = document["runs"][0]["results"]
    assert [each.get("baselineState") for each in results] == [None, None, None, "unchanged", None]
    assert [bool(each.get("suppressions")) for each in results] == [False, False, True, True, False]
    assert results[2]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "%C3%A4%20b%25.py"
    steps = results[0]["codeFlows"][0]["threadFlows"][0]["locations"]
    assert [each["location"]["message"]["text"] for each in steps] == ["Net: self.a = A()", "A: self.b = <B>"]
    assert "region" not in results[4]["locations"][0]["physicalLocation"]
    assert document["runs"][0]["tool"]["driver"]["rules"][0]["shortDescription"]["text"] == "No way from the base."


def test_the_form_of_sarif_finds_faults():
    document = json.loads(written("sarif"))
    document["runs"][0]["results"][0]["partialFingerprints"]["x"] = 1
    document["runs"][0]["results"][1]["surprise"] = 1
    del document["version"]
    assert len(faults(document)) == 3


@pytest.mark.parametrize("errors", [(), ERRORS])
def test_the_standard_agrees(errors):
    schema = os.environ.get("CKPTLINT_SARIF_SCHEMA")
    if not schema:
        pytest.skip("CKPTLINT_SARIF_SCHEMA names no copy of the standard's JSON Schema")
    jsonschema = pytest.importorskip("jsonschema")
    with open(schema, encoding="utf-8") as file:
        jsonschema.Draft7Validator(json.load(file)).validate(json.loads(written("sarif", errors=errors)))


def test_fingerprints_hold_while_the_fault_does():
    moved = numbered([issue(line=77)])[0]
    assert moved.fingerprint == ISSUES[0].fingerprint
    assert len({each.fingerprint for each in ISSUES}) == len(ISSUES)
    one, other = (
        Finding("CKK101", "s", Severity.ERROR, f"said {word}", ("k",), "k", {"expected": "f32[2]"}) for word in "ab"
    )
    placed = Definition(Place("x.py", 5))

    prints = [issue_of(each, Place("f", 0), "m").fingerprint for each in (one, other, one._replace(definition=placed))]
    assert len(set(prints)) == 1
    assert issue_of(one._replace(words={"expected": "f32[3]"}), Place("f", 0), "m").fingerprint != prints[0]


def test_gitlab_lists_what_counts_each_with_a_path_and_a_line():
    listed = json.loads(written("gitlab"))
    assert [each["severity"] for each in listed] == ["major", "info", "major", "critical"]
    assert [(each["location"]["path"], each["location"]["lines"]["begin"]) for each in listed] == [
        ("src/net.py", 3),
        ("src/net.py", 3),
        ("src/net.py", 1),
        ("run/a", 1),
    ]
    assert json.loads(written("gitlab", (), ())) == []


def test_junit_counts_what_it_lists():
    suite = ET.fromstring(written("junit"))
    assert suite.attrib == {"name": "ckptlint", "tests": "6", "failures": "2", "errors": "1"}
    assert [len(suite.findall(f".//{name}")) for name in ("testcase", "failure", "error", "skipped")] == [6, 2, 1, 2]
    assert ET.fromstring(written("junit", (), ())).attrib["tests"] == "1"


def test_github_names_file_and_line_of_the_worst_first():
    lines = written("github").splitlines()
    assert lines[1] == "::error file=src/net.py,line=3,title=CKB101 no-way-from-base::a & b <c>. do"
    assert lines[-1].startswith(
        "::error title=ckptlint::3 findings: 2 errors, 0 warnings, 1 info; 2 accepted; 1 file could not"
    )


def test_markdown_is_one_row_an_issue():
    rows = [line for line in written("markdown").splitlines() if line.startswith("| error")]
    assert len(rows) == 2
    assert "src/net.py:9 Net: self.a = A() → src/net.py:3" in rows[0]


@pytest.mark.parametrize("form", FORMATS)
@given(text=st.text(st.characters(exclude_categories=()), max_size=30))
def test_any_text_is_written_whole(form, text):
    """Keys and paths come from files: none may break a document."""
    found = issue(path=text or "x", pattern=text, accepted=text)
    document = written(form, (found,), (FormatError(text, where=text),))
    if form == "junit":
        ET.fromstring(document)
    elif form in ("sarif", "gitlab"):
        json.loads(document)
    else:
        assert all(line.isprintable() for line in document.splitlines())


def test_what_is_accepted_fails_nothing():
    assert failed(ISSUES, Severity.ERROR)
    assert not failed([each for each in ISSUES if not each.counts], Severity.INFO)
    assert not failed(ISSUES, None)
