"""`ckptlint import` as a user runs it."""

import json

import pytest
from cli import ckptlint

KEYS = {f"layers.{n}.attn.weight": [4, 4] for n in range(3)} | {"lm_head.weight": [5, 4]}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "old.json").write_text(json.dumps(KEYS))
    (tmp_path / "keys.py").write_text("revise_keys = [(r'^layers\\.', 'blocks.')]\nraise SystemExit(9)\n")
    return tmp_path


def test_a_mapping_becomes_a_migration_that_proves(folder):
    done = ckptlint(folder, "import", "keys.py", "old.json", "-o", "m.yaml")
    assert "proved" in done.stderr
    assert "layers.{i:int}.attn.weight: blocks.{i}.attn.weight" in (folder / "m.yaml").read_text()
    ckptlint(folder, "prove", "m.yaml", "--source", "old.json")


def test_the_target_is_what_the_result_must_fit(folder):
    (folder / "new.json").write_text(json.dumps({f"blocks.{n}.attention.weight": [4, 4] for n in range(3)}))
    done = ckptlint(folder, "import", "keys.py", "old.json", "new.json", code=1)
    assert "attention.weight" in done.stdout


def test_faults_are_findings(folder):
    (folder / "keys.json").write_text(json.dumps({"0": "x", "1": "x"}))
    done = ckptlint(folder, "import", "keys.json", "old.json", "--as", "substring", "--format", "json", code=1)
    report = json.loads(done.stdout)
    fault = (
        "layers.0.attn.weight and layers.1.attn.weight both become layers.x.attn.weight: one would overwrite the other"
    )
    assert report["faults"] == [fault]
    assert report["proved"] is False
