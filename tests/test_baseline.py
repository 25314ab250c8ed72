"""Baselines: what is known fails nothing, what is mended must be taken out, and what is new needs a reason."""

import json
from pathlib import Path

import pytest
from repositories import commit, repository

from ckptlint.cli import main
from ckptlint.core.issue import fingerprint
from ckptlint.documents.baseline import Entry, read_baseline, write_baseline
from ckptlint.documents.lock import write_lock
from ckptlint.documents.schema_json import read_schema_json
from ckptlint.errors import DocumentError

BAD = "import torch\nx = torch.load('x')\n"


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(*arguments, code):
        got = main(list(arguments))
        said = capsys.readouterr()
        assert got == code, said.out + said.err
        return said.out + said.err

    return run


def test_what_is_known_fails_nothing_wherever_it_moves(run):
    Path("a.py").write_text(BAD)
    run("hook", "a.py", code=1)
    run("hook", "a.py", "--baseline", "ckpt/baseline.json", code=2)  # there is none yet
    run("hook", "a.py", "--baseline", "ckpt/baseline.json", "--write-baseline", code=0)
    Path("a.py").write_text(BAD.replace("x = ", "\n\nx   = "))
    run("hook", "a.py", "--baseline", "ckpt/baseline.json", code=0)
    Path("a.py").write_text(BAD + "y = torch.load('y')\n")
    said = run("hook", "a.py", "--baseline", "ckpt/baseline.json", code=1)
    assert said.count("CKL102") == 1
    assert "1 ignored" in said
    document = json.loads(run("hook", "a.py", "--baseline", "ckpt/baseline.json", "--format", "sarif", code=1))
    assert [each.get("baselineState") for each in document["runs"][0]["results"]] == ["unchanged", None]


def test_what_is_mended_must_be_taken_out(run):
    Path("a.py").write_text(BAD)
    Path("b.py").write_text(BAD)
    run("hook", "a.py", "b.py", "--baseline", "base.json", "--write-baseline", code=0)
    Path("a.py").write_text("import torch\n")
    said = run("hook", "a.py", "b.py", "--baseline", "base.json", code=1)
    assert "base.json:2:1: error[CKX106 stale-baseline]" in said
    run("hook", "b.py", "--baseline", "base.json", code=0)  # a.py was not looked at
    run("hook", "a.py", "b.py", "--baseline", "base.json", "--prune-baseline", code=0)
    run("hook", "a.py", "b.py", "--baseline", "base.json", code=0)
    assert [each.subject for each in read_baseline(Path("base.json").read_text(), "")] == ["b.py"]


def test_the_other_commands_have_it_too(run):
    Path("old.json").write_text('{"a": [2], "b": [3]}')
    Path("new.json").write_text('{"a": [2], "c": [3]}')
    arguments = ("lint", "old.json", "--against", "new.json", "--baseline", "base.json")
    run(*arguments, "--write-baseline", code=0)
    assert "ignored" in run(*arguments, code=0)
    Path("old.json").write_text('{"a": [2], "c": [3]}')
    assert "CKX106" in run(*arguments, code=1)
    Path("x.pkl").write_bytes(b"cos\nsystem\n(S'x'\ntR.")
    run("scan", "x.pkl", code=1)
    run("scan", "x.pkl", "--baseline", "scan.json", "--write-baseline", code=0)
    run("scan", "x.pkl", "--baseline", "scan.json", code=0)


def test_the_gate_lets_a_baseline_shrink_and_not_grow(run):
    Path("ckpt").mkdir()
    lock = Path("ckpt/schema.lock")
    lock.write_text(write_lock(read_schema_json('{"a": [2]}', "x"), model="m"))
    Path("base.json").write_text(write_baseline([]))
    repository()
    commit()
    lock.write_text(write_lock(read_schema_json('{"b": [2]}', "x"), model="m"))
    arguments = ("check", "ckpt", "--against", "HEAD", "--baseline", "base.json")
    assert "CKB101" in run(*arguments, code=1)
    run(*arguments, "--write-baseline", code=1)
    said = run(*arguments, code=1)
    assert "CKX105 baseline-grew" in said
    assert "CKB101 no-way" not in said
    entries = [
        Entry(each.fingerprint, each.rule, each.subject, each.pattern, "it was never released")
        for each in read_baseline(Path("base.json").read_text(), "")
    ]
    Path("base.json").write_text(write_baseline(entries))
    run(*arguments, code=0)


def test_a_baseline_is_a_line_an_entry_and_reads_as_it_is_written():
    entries = [Entry(fingerprint("CKK101", name), "CKK101", name, "a.{b,c}", "") for name in "zäa\n"]
    text = write_baseline(entries)
    assert set(read_baseline(text, "")) == set(entries)
    assert text == write_baseline(reversed(entries))
    assert len(text.splitlines()) == len(entries) + 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"version": 2, "entries": []}',
        '{"version": 1, "entries": [1]}',
        '{"version": 1, "entries": [{"rule": 1, "fingerprint": "a"}]}',
        "[" * 100000,
    ],
)
def test_what_is_no_baseline_is_bad_use(text):
    with pytest.raises(DocumentError):
        read_baseline(text, "base.json")
