"""`ckptlint suggest` as a user runs it."""

import json

import pytest
from cli import ckptlint

OLD = {
    "wte.weight": [50, 8],
    **{f"h.{i}.attn.q.weight": [8, 8] for i in range(2)},
    **{f"h.{i}.attn.k.weight": [8, 8] for i in range(2)},
    **{f"h.{i}.attn.v.weight": [8, 8] for i in range(2)},
}
NEW = {
    "wte.weight": [50, 8],
    **{f"blocks.{i}.attn.qkv.weight": [24, 8] for i in range(2)},
}


def write(folder, old=OLD, new=NEW):
    (folder / "old.json").write_text(json.dumps(old))
    (folder / "new.json").write_text(json.dumps(new))


def test_the_migration_is_written_and_proves(tmp_path):
    write(tmp_path)
    ckptlint(tmp_path, "suggest", "old.json", "new.json", "-o", "migration.yaml")
    text = (tmp_path / "migration.yaml").read_text()
    assert "concat: {dim: 0}" in text
    ckptlint(tmp_path, "prove", "migration.yaml", "--source", "old.json", "--target", "new.json")


def test_the_edges_are_there_as_json(tmp_path):
    write(tmp_path)
    found = json.loads(ckptlint(tmp_path, "suggest", "old.json", "new.json", "--format", "json").stdout)
    assert found["version"] == 1
    assert found["complete"]
    assert found["proved"]
    assert found["abstained"] == {"sources": [], "targets": []}
    fused = next(edge for edge in found["edges"] if edge["targets"] == ["blocks.1.attn.qkv.weight"])
    assert fused["sources"] == [f"h.1.attn.{part}.weight" for part in "qkv"]
    assert fused["ops"] == ["concat"]


def test_what_is_open_is_listed_and_the_exit_code_says_so(tmp_path):
    old = {"e.weight": [50, 8], "a.x.weight": [8, 8], "a.y.weight": [8, 8]}
    new = {"e.weight": [50, 8], "a.p.weight": [8, 8], "a.r.weight": [8, 8]}
    write(tmp_path, old, new)
    said = ckptlint(tmp_path, "suggest", "old.json", "new.json", code=1).stdout
    assert "# ambiguous:" in said
    found = json.loads(ckptlint(tmp_path, "suggest", "old.json", "new.json", "--format", "json", code=1).stdout)
    assert found["abstained"] == {"sources": ["a.x.weight", "a.y.weight"], "targets": ["a.p.weight", "a.r.weight"]}


def test_an_empty_schema_is_bad_use(tmp_path):
    write(tmp_path, {}, NEW)
    assert "holds no tensors" in ckptlint(tmp_path, "suggest", "old.json", "new.json", code=2).stderr


def test_values_decide_between_siblings_and_layers_that_changed_places(tmp_path):
    np = pytest.importorskip("numpy")
    safetensors = pytest.importorskip("safetensors.numpy")
    random = np.random.default_rng(0)
    old = {f"h.{i}.{name}.weight": random.standard_normal((8, 8), dtype=np.float32) for i in range(4) for name in "ab"}
    places = [2, 0, 3, 1]
    moved = {
        f"h.{i}.{name}.weight": f"h.{places[i]}.{'yx'['ab'.index(name)]}.weight" for i in range(4) for name in "ab"
    }
    noise = {key: 0.05 * random.standard_normal((8, 8), dtype=np.float32) for key in old}
    safetensors.save_file(old, tmp_path / "old.safetensors")
    safetensors.save_file({moved[key]: value + noise[key] for key, value in old.items()}, tmp_path / "new.safetensors")
    found = json.loads(ckptlint(tmp_path, "suggest", "old.safetensors", "new.safetensors", "--format", "json").stdout)
    assert {edge["sources"][0]: edge["targets"][0] for edge in found["edges"]} == moved
    ckptlint(tmp_path, "suggest", "old.safetensors", "new.safetensors", "--no-values", code=1)
