"""Ignores that have themselves to be looked at: unused, expired, without a reason, of no rule; each told, and not told beside it."""

import json
from pathlib import Path

import pytest
from repositories import commit, repository

from ckptlint.cli import main
from ckptlint.documents.lock import write_lock
from ckptlint.documents.schema_json import read_schema_json

BAD = "import torch\nx = torch.load('x')  # ckptlint: ignore"
FINE = "import torch\nx = 1  # ckptlint: ignore"


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code = main(list(arguments))
        said = capsys.readouterr().out
        return code, said

    return run


def rules(run, *arguments):
    code, said = run(*arguments, "--format", "json")
    return code, [each["rule"] for each in json.loads(said)["findings"]]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (BAD + "[CKL102] ours", []),
        (FINE + "[CKL102] ours", ["CKX101"]),
        (BAD + "[CKL102, CKL101] ours", ["CKX101"]),
        (FINE + "[CKS101] no lock knows the file", []),
        (FINE + "[CKB101] for the gate", []),
        (FINE + "[CKC311] of another command", []),
        (FINE + "[CK] of several commands", []),
        (BAD + "[CKL102] until 2020-02-01: ours", ["CKL102", "CKX102"]),
        (BAD + "[CKL102] until 2020-02-31: ours", ["CKL102", "CKX102"]),
        (BAD + "[CKL102] until 9999-01-01: ours", []),
        (BAD + "[CKL102]", ["CKL102", "CKX103"]),
        (BAD + "[CKL102, CKZ1] ours", ["CKX104"]),
        (BAD, ["CKL102", "CKX104"]),
        ("x = 1  # ckptlint: ignore[CKL102] neither torch nor state", ["CKX101"]),
        ("x = '# ckptlint: ignore[CKL102] no comment'", []),
    ],
)
def test_comments(run, text, found):
    Path("a.py").write_text(text + "\n")
    assert rules(run, "hook", "a.py") == (int(bool(found)), found)


def test_what_the_user_does_not_ask_for_is_not_said(run):
    Path("a.py").write_text(FINE + "[CKL102] ours\n")
    assert rules(run, "hook", "a.py", "--select", "CKL101") == (0, [])
    assert rules(run, "hook", "a.py", "--ignore", "CKX101") == (0, [])
    assert rules(run, "hook", "a.py", "--ignore", "CKL102") == (0, [])
    Path("ckptlint.toml").write_text('severity = {CKX101 = "off"}')
    assert rules(run, "hook", "a.py") == (0, [])


def entry(code, reason="known", **more):
    Path("ckptlint.toml").write_text(
        "[models.net]\nlock = 'net.lock'\ncheckpoints = ['*.json']\n[[ignore]]\n"
        + "".join(f"{key} = {value!r}\n" for key, value in {"code": code, "reason": reason, **more}.items())
    )


def test_entries_about_code(run):
    Path("a.py").write_text("import torch\nx = torch.load('x')\n")
    Path("b.py").write_text("import torch\n")
    entry("CKL102", paths="a*.py")
    assert rules(run, "hook", "a.py", "b.py") == (0, [])
    assert rules(run, "hook", "b.py") == (0, [])  # a.py was not looked at
    entry("CKL102", paths="b*.py")
    assert rules(run, "hook", "a.py", "b.py") == (1, ["CKL102", "CKX101"])
    entry("CKL102", until="2020-01-01")
    assert rules(run, "hook", "a.py") == (1, ["CKL102", "CKX102"])
    entry("CKZ")
    assert rules(run, "hook", "b.py") == (1, ["CKX104"])
    entry("CKK101", until="2020-01-01")
    assert rules(run, "hook", "b.py") == (0, [])  # lint says so


KEYS = '{"a": [2], "b": [3]}'


def lock(text, name="net.lock"):
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(write_lock(read_schema_json(text, "x"), model="net"))


def test_entries_about_checkpoints(run):
    lock(KEYS)
    Path("old.json").write_text('{"a": [2]}')
    Path("new.json").write_text(KEYS)
    entry("CKK101", keys="b")
    assert rules(run, "lint", "old.json", "new.json") == (0, [])
    assert rules(run, "lint", "new.json") == (0, [])  # a part of the model's checkpoints
    Path("old.json").unlink()
    assert rules(run, "lint", "new.json") == (0, ["CKX101"])
    assert rules(run, "lint", "new.json", "--fail-on", "warning") == (1, ["CKX101"])
    assert rules(run, "lint", "new.json", "--only", "a") == (0, [])
    assert rules(run, "lint", "new.json", "--select", "CKK") == (0, [])
    entry("CKK101", keys="b", until="2020-01-01")
    assert rules(run, "lint", "new.json") == (1, ["CKX102"])
    entry("CKQ")
    code, said = run("lint", "new.json")
    assert (code, "ckptlint.toml:4" in said, "checked 1 checkpoint," in said) == (1, True, True)
    sarif = json.loads(run("lint", "new.json", "--format", "sarif")[1])
    assert [each["ruleId"] for each in sarif["runs"][0]["results"]] == ["CKX104"]


def test_an_entry_ends_with_its_revision(run):
    lock('{"a": [2]}', "ckpt/net/schema.lock")
    Path("new.json").write_text('{"b": [2]}')
    entry("CKK", until="0002")
    Path("ckptlint.toml").write_text(Path("ckptlint.toml").read_text().replace("net.lock", "ckpt/net/schema.lock"))
    Path("ckpt/net/0001_first.yaml").write_text("ckptlint: 1\nrest: keep\n")
    assert rules(run, "lint", "new.json")[0] == 0
    Path("ckpt/net/0002_second.yaml").write_text("ckptlint: 1\nrest: keep\n")
    assert rules(run, "lint", "new.json")[1][-1] == "CKX102"


def test_entries_about_the_gate(run):
    lock(KEYS, "ckpt/schema.lock")
    repository()
    commit()
    gate = ("check", "ckpt", "--against", "HEAD")
    settings = "[models.net]\nlock = 'ckpt/schema.lock'\n[[ignore]]\ncode = 'CKB101'\nreason = 'r'\nmodel = 'net'\n"
    Path("ckptlint.toml").write_text(settings + "keys = 'b'\n")
    assert rules(run, *gate) == (0, ["CKX101"])
    lock('{"a": [2]}', "ckpt/schema.lock")
    assert rules(run, *gate) == (0, [])
    lock('{"c": [2]}', "ckpt/schema.lock")
    assert rules(run, *gate) == (1, ["CKB101", "CKM109", "CKM109"])
    Path("ckptlint.toml").write_text(settings + "keys = '**'\nuntil = '2020-01-01'\n")
    assert rules(run, *gate)[1][-1] == "CKX102"
    Path("ckptlint.toml").write_text(settings.replace("'net'", "'other'"))
    assert rules(run, *gate) == (1, ["CKB101", "CKM109", "CKM109", "CKM109"])
