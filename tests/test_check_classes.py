"""`ckptlint check` says which classes of the source are otherwise than the lock knows them, without torch."""

import json
from pathlib import Path

from ckptlint.cli import main
from ckptlint.core.schema import Schema
from ckptlint.documents.lock import write_lock
from ckptlint.source.where.fingerprints import fingerprints
from ckptlint.source.where.library import Library, texts

CODE = "from torch import nn\n\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.fc = nn.Linear(2, 2)\n"


def test_a_lock_that_the_source_left_behind(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(CODE)
    plain = Schema.of("fc.weight: f32[2,2]", modules={"": "net.Net", "fc": "torch.nn.modules.linear.Linear"})
    classes = fingerprints(plain, Library([texts({"net.py": CODE})]))
    Path("schema.lock").write_text(
        write_lock(
            Schema.of("fc.weight: f32[2,2]", modules=plain.modules, classes=classes), model="net", factory="net.py:Net"
        )
    )
    assert main(["check", "."]) == 0
    Path("net.py").write_text(CODE.replace("self.fc", "self.head"))
    capsys.readouterr()
    assert main(["check", ".", "--format", "json"]) == 1
    found = json.loads(capsys.readouterr().out)["findings"]
    assert [(each["rule"], each["where"].split(":")[:2]) for each in found] == [
        ("CKS101", ["net.py", "4"]),
        ("CKS102", ["net.py", "6"]),
    ]
    Path("net.py").unlink()
    assert main(["check", "."]) == 0
