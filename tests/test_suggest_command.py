"""`ckptlint suggest` as a user runs it."""

import json
import os
import subprocess
import sys

import pytest
from cli import ROOT, ckptlint
from click.testing import CliRunner

from ckptlint.cli import cli

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


@pytest.mark.torch
def test_the_optimizer_goes_with_what_was_suggested(tmp_path):
    torch = pytest.importorskip("torch")
    weights = {key: torch.nn.Parameter(torch.randn(shape)) for key, shape in OLD.items()}
    optimizer = torch.optim.AdamW(weights.values())
    sum((each**2).sum() for each in weights.values()).backward()
    optimizer.step()
    state = {"model": {key: each.detach() for key, each in weights.items()}, "optimizer": optimizer.state_dict()}
    torch.save(state, tmp_path / "old.pt")
    write(tmp_path)
    ckptlint(tmp_path, "suggest", "old.pt", "new.json", "--section", "/model", "-o", "migration.yaml")
    ckptlint(tmp_path, "migrate", "old.pt", "-m", "migration.yaml", "-o", "new.pt", "--model", "new.json")
    moved = torch.load(tmp_path / "new.pt")["optimizer"]["state"]
    before = {key: optimizer.state[each]["exp_avg"] for key, each in weights.items()}
    for at, key in enumerate(NEW):
        parts = [before[f"h.{at - 1}.attn.{part}.weight"] for part in "qkv"] if at else [before[key]]
        assert torch.equal(moved[at]["exp_avg"], torch.cat(parts))


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


def test_what_nothing_decides_is_asked_and_the_answers_are_written(tmp_path):
    old = {"e.weight": [50, 8], "a.x.weight": [8, 8], "a.y.weight": [8, 8]}
    new = {"e.weight": [50, 8], "a.p.weight": [8, 8], "a.r.weight": [8, 8]}
    write(tmp_path, old, new)
    said = CliRunner().invoke(
        cli,
        ["suggest", str(tmp_path / "old.json"), str(tmp_path / "new.json"), "--ask"],
        input="2\n",
        catch_exceptions=False,
    )
    assert "1) a.p.weight" in said.stderr
    assert "2) a.r.weight" in said.stderr
    assert said.exit_code == 0
    assert "a.x.weight: a.r.weight  # 1, 1.00: answered" in said.stdout
    assert "a.y.weight: a.p.weight" in said.stdout


@pytest.mark.parametrize(
    ("answers", "code", "left"), [("s\ns\n", 1, 2), ("q\n", 1, 2), ("d\n1\nz\n", 0, 0), ("d\n1\ns\n", 1, 0)]
)
def test_what_is_not_answered_stays_open_and_what_is_dropped_is_dropped(tmp_path, answers, code, left):
    old = {"e.weight": [50, 8], "a.x.weight": [8, 8], "a.y.weight": [8, 8]}
    new = {"e.weight": [50, 8], "a.p.weight": [8, 8], "a.r.weight": [8, 8]}
    write(tmp_path, old, new)
    paths = [str(tmp_path / name) for name in ("old.json", "new.json")]
    said = CliRunner().invoke(
        cli, ["suggest", *paths, "--ask", "--format", "json"], input=answers, catch_exceptions=False
    )
    assert said.exit_code == code
    assert len(json.loads(said.stdout)["abstained"]["sources"]) == left


def test_an_end_of_input_is_an_abort(tmp_path):
    write(tmp_path, {"a.x.weight": [8, 8], "a.y.weight": [8, 8]}, {"a.p.weight": [8, 8], "a.r.weight": [8, 8]})
    command = [sys.executable, "-m", "ckptlint", "suggest", "old.json", "new.json", "--ask"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 130


def test_values_beyond_the_beginning_of_a_tensor_decide(tmp_path):
    np = pytest.importorskip("numpy")
    safetensors = pytest.importorskip("safetensors.numpy")
    random = np.random.default_rng(0)
    shape = (64, 64)  # the first 1,024 elements are one and the same
    old = {f"m.{name}.weight": np.zeros(shape, np.float32) for name in "abc"}
    for value in old.values():
        value[16:] = random.standard_normal((48, 64))
    moved = {"m.a.weight": "m.z.weight", "m.b.weight": "m.x.weight", "m.c.weight": "m.y.weight"}
    exact = {"m.i.steps": np.arange(8, dtype=np.int64), "m.j.steps": np.arange(1, 9, dtype=np.int64)}
    new = {moved[key]: value + np.float32(0.01) * value**2 for key, value in old.items()}
    safetensors.save_file(old | exact, tmp_path / "old.safetensors")
    safetensors.save_file(
        new | {"m.q.steps": exact["m.i.steps"], "m.p.steps": exact["m.j.steps"]}, tmp_path / "new.safetensors"
    )
    found = json.loads(ckptlint(tmp_path, "suggest", "old.safetensors", "new.safetensors", "--format", "json").stdout)
    made = {edge["sources"][0]: edge["targets"][0] for edge in found["edges"]}
    assert made == {**moved, "m.i.steps": "m.q.steps", "m.j.steps": "m.p.steps"}


def test_a_trained_source_tells_norms_from_biases_of_a_fresh_target(tmp_path):
    np = pytest.importorskip("numpy")
    safetensors = pytest.importorskip("safetensors.numpy")
    random = np.random.default_rng(0)
    noise = [random.normal(0, 0.1, 32).astype(np.float32) for _ in range(2)]
    stem = random.standard_normal((32, 3)).astype(np.float32)
    safetensors.save_file({"stem.weight": stem, "n.u": 1 + noise[0], "n.v": noise[1]}, tmp_path / "old.safetensors")
    fresh = {"stem.weight": stem * 0 + 1, "n.first": np.zeros(32, np.float32), "n.second": np.ones(32, np.float32)}
    safetensors.save_file(fresh, tmp_path / "new.safetensors")
    found = json.loads(ckptlint(tmp_path, "suggest", "old.safetensors", "new.safetensors", "--format", "json").stdout)
    made = {edge["sources"][0]: edge["targets"][0] for edge in found["edges"]}
    assert made == {"stem.weight": "stem.weight", "n.u": "n.second", "n.v": "n.first"}


def test_what_cannot_be_written_is_left_as_it_is(tmp_path):
    write(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "map.json").write_text('{"a": "b"}')
    for place, said in (("pipe", "is not a regular file"), ("folder", "is a directory"), ("map.json/x", "its folder")):
        for command in (["suggest", "old.json", "new.json"], ["import", "map.json", "old.json"]):
            assert said in ckptlint(tmp_path, *command, "-o", place, code=3).stderr
    assert (tmp_path / "pipe").is_fifo()
