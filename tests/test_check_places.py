"""`ckptlint check --against`: a key that came and one that went, each at its line, the latter in the text that the base had."""

import json
from pathlib import Path

from repositories import commit, repository

from ckptlint.cli import main
from ckptlint.core.schema import Schema
from ckptlint.documents.lock import write_lock

NET = "from torch import nn\n\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.{} = nn.Linear(2, 2)\n"


def write(name):
    Path("net.py").write_text(NET.format(name))
    modules = {"": "net.Net", name: "torch.nn.modules.linear.Linear"}
    Path("ckpt").mkdir(exist_ok=True)
    schema = Schema.of(f"{name}.weight: f32[2,2]", modules=modules)
    Path("ckpt/schema.lock").write_text(write_lock(schema, model="net", factory="net.py:Net"))


def test_a_renamed_attribute_is_at_both_its_lines(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write("fc")
    repository()
    commit()
    write("head")
    assert main(["check", "ckpt", "--against", "HEAD", "--format", "json"]) == 1
    found = {
        each["keys"][0]: each["definition"] for each in json.loads(capsys.readouterr().out)["findings"] if each["keys"]
    }
    came, went = found["head.weight"], found["fc.weight"]
    assert (came["path"], came["line"], came["sure"]) == ("net.py", 6, True)
    assert (went["path"], went["line"], went["sure"]) == ("net.py", 4, False)
    before = went["related"][0]
    assert (before["line"], before["revision"], before["said"]) == (6, "HEAD", "Net: self.fc = nn.Linear(2, 2)")
