"""Ignore comments at the lines that define keys: what `lint` and `check` accept by them, key by key, and which are wrong themselves."""

import json
from pathlib import Path

import pytest
from repositories import commit, repository

from ckptlint.cli import main
from ckptlint.core.schema import Schema
from ckptlint.documents.lock import write_lock

NET = """from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)]){body}
        self.head = nn.Linear(2, 2){head}
        self.tail = nn.Linear(
            2,
            2,
        ){tail}
"""
LINEAR = "torch.nn.modules.linear.Linear"
MODULES = {
    "": "net.Net",
    "body": "torch.nn.modules.container.ModuleList",
    "body.0": LINEAR,
    "body.1": LINEAR,
    "head": LINEAR,
    "tail": LINEAR,
}
KEYS = ["body.0.weight", "body.1.weight", "head.weight", "tail.weight"]


def source(**comments):
    said = {name: f"  # ckptlint: ignore{text}" for name, text in comments.items()}
    Path("net.py").write_text(NET.format(**{"body": "", "head": "", "tail": "", **said}))


def lock(keys=KEYS, names=MODULES):
    Path("ckpt/net").mkdir(parents=True, exist_ok=True)
    schema = Schema.of(*(f"{key}: f32[2,2]" for key in keys), modules=names)
    Path("ckpt/net/schema.lock").write_text(write_lock(schema, model="net", factory="net.py:Net"))


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("ckptlint.toml").write_text("[models.net]\nfactory = 'net.py:Net'\ncheckpoints = ['*.json']\n")
    lock()

    def run(*arguments):
        capsys.readouterr()
        code = main([*arguments, "--format", "json"])
        return code, json.loads(capsys.readouterr().out)

    return run


def linted(run, keys, *arguments):
    """Lint a file of these keys: the exit code, what is found as rule and keys, and how many are ignored."""
    Path("old.json").write_text(json.dumps({key: [2, 2] for key in keys}))
    code, said = run("lint", "old.json", *arguments)
    return code, [(each["rule"], *each["keys"]) for each in said["findings"]], said["summary"]["ignored"]


def gated(run):
    code, said = run("check", "ckpt/net", "--against", "HEAD")
    return code, [(each["rule"], *each["keys"]) for each in said["findings"]]


def test_a_comment_takes_the_keys_of_its_line(run):
    source(head="[CKK101] made anew")
    assert linted(run, KEYS[:2]) == (1, [("CKK101", "tail.weight")], 1)
    source(head="[missing-key] made anew", tail="[CKK1] at the end of the statement")
    assert linted(run, KEYS[:2]) == (0, [], 2)
    source(body="[CKK101] one line for two keys")
    assert linted(run, KEYS[2:]) == (0, [], 2)


def test_a_key_that_is_too_many_is_at_the_class(run):
    source()
    text = Path("net.py").read_text()
    Path("net.py").write_text(
        text.replace("__init__(self):", "__init__(self):  # ckptlint: ignore[CKK102] of old heads")
    )
    assert linted(run, [*KEYS, "scale"]) == (0, [], 1)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[CKK101]", [("CKK101", "head.weight"), ("CKX103",)]),
        ("[CKK101] until 2020-01-01: then", [("CKK101", "head.weight"), ("CKX102",)]),
        ("[CKK101] until 9999-01-01: then", []),
        ("[CKK201] of another rule", [("CKK101", "head.weight"), ("CKX101",)]),
        ("[CKB101, CKL101] of other commands", [("CKK101", "head.weight")]),
    ],
)
def test_comments_that_are_wrong(run, text, found):
    source(head=text)
    keys = [key for key in KEYS if key != "head.weight"]
    assert linted(run, keys)[:2] == (int(any(each[0] != "CKX101" for each in found)), found)


def test_what_nothing_needs_is_told_where_a_run_can_tell(run):
    source(head="[CKK101] made anew")
    assert linted(run, KEYS) == (0, [("CKX101",)], 0)
    assert linted(run, KEYS, "--ignore", "CKX101") == (0, [], 0)
    assert linted(run, KEYS, "--select", "CKK2") == (0, [], 0)
    Path("more.json").write_text("{}")
    assert linted(run, KEYS) == (0, [], 0)  # a checkpoint of the model was not looked at


def test_the_gate(run):
    repository()
    source()
    commit()
    names = {"trunk" + name[4:] if name.startswith("body") else name: kind for name, kind in MODULES.items()}
    lock(["trunk.0.weight", "trunk.1.weight", *KEYS[2:], "more.weight"], {**names, "more": LINEAR})
    text = NET.replace("self.body", "self.trunk") + "        self.more = nn.Linear(2, 2){more}\n"

    def write(**comments):
        said = {name: f"  # ckptlint: ignore[CKB101] {reason}" for name, reason in comments.items()}
        Path("net.py").write_text(text.format(**{"body": "", "head": "", "tail": "", "more": "", **said}))

    write(more="starts at zero")
    code, found = gated(run)
    assert code == 1
    assert ("CKM109", "more.weight") not in found
    assert {rule for rule, *_ in found} == {"CKB101", "CKM109"}
    write(more="starts at zero", body="was never released")
    text = text.replace("__init__(self):", "__init__(self):  # ckptlint: ignore[CKB101] body was never released")
    write(more="starts at zero", body="was never released")
    assert gated(run) == (0, [])
    commit()
    assert gated(run) == (0, [("CKX101",)] * 3)
    Path("ckptlint.toml").write_text("severity = { CKX101 = 'off' }\n")
    assert gated(run) == (0, [])


def test_a_file_of_several_locks_is_not_judged_by_one(run):
    source(head="[CKB101] for the other")
    repository()
    commit()
    assert gated(run) == (0, [("CKX101",)])
    other = Path("ckpt/other/schema.lock")
    other.parent.mkdir()
    schema = Schema.of(
        "head.weight: f32[2,2]", modules={"": "net.Net", "head": LINEAR}, classes={"net.Net": "head=Linear:0|"}
    )
    for path in (other, Path("ckpt/net/schema.lock")):
        path.write_text(write_lock(schema, model="other", factory="net.py:Net"))
    Path("ckptlint.toml").write_text("")
    commit()
    assert ("CKX101",) not in gated(run)[1]
