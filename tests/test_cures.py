"""The command that a lint ends its first line with runs as it is printed, and what it writes fits."""

import json
import shlex

import pytest
from cli import ckptlint
from safetensors.numpy import save_file

np = pytest.importorskip("numpy")

MODEL = {
    "bert.LayerNorm.weight": [4],
    "bert.LayerNorm.bias": [4],
    "bert.dense.weight": [8, 4],
    "bert.dense.bias": [8],
    "head.weight": [3, 8],
}


def written(folder, keys, name="old model.safetensors"):
    save_file({key: np.ones(shape, "f4") for key, shape in keys.items()}, folder / name)
    (folder / "model.json").write_text(json.dumps(MODEL))
    return name


def cure(folder, name):
    said = ckptlint(folder, "lint", name, "--against", "model.json", "--format", "json", code=1)
    summary = json.loads(said.stdout)["summary"]["per_checkpoint"][0]
    assert summary["cure"] is None or summary["headline"].endswith(f": {summary['cure']}")
    return shlex.split(summary["cure"] or "")


@pytest.mark.parametrize(
    "rename",
    [
        lambda key: f"module._orig_mod.{key}",
        lambda key: f"_orig_mod.module.{key}",
        lambda key: key.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"),
    ],
    ids=["wrapped", "wrapped the other way", "gamma and beta"],
)
def test_a_shipped_migration_that_is_proved_is_the_cure(tmp_path, rename):
    name = written(tmp_path, {rename(key): shape for key, shape in MODEL.items()})
    command = cure(tmp_path, name)
    assert command[:2] == ["ckptlint", "migrate"]
    ckptlint(tmp_path, *command[1:])
    ckptlint(tmp_path, "lint", command[-1], "--against", "model.json")


def headline(folder, name):
    said = ckptlint(folder, "lint", name, "--against", "model.json", "--format", "json", code=1)
    return json.loads(said.stdout)["summary"]["per_checkpoint"][0]["headline"]


def test_of_a_draft_it_is_said_whether_it_proves(tmp_path):
    name = written(tmp_path, {key.replace("dense", "linear"): shape for key, shape in MODEL.items()})
    assert "; draft a migration, which proves: ckptlint suggest" in headline(tmp_path, name)


def test_of_a_draft_that_leaves_something_open_it_is_said_how_much_it_decides(tmp_path):
    keys = {key.replace("dense", "linear"): shape for key, shape in MODEL.items() if key != "bert.LayerNorm.bias"}
    name = written(tmp_path, keys)
    assert "draft a migration (decides 4 of the model's 5 tensors, the others are yours):" in headline(tmp_path, name)


def test_a_draft_is_the_cure_where_none_is_shipped(tmp_path):
    name = written(tmp_path, {key.replace("dense", "linear"): shape for key, shape in MODEL.items()})
    command = cure(tmp_path, name)
    assert command[:2] == ["ckptlint", "suggest"]
    ckptlint(tmp_path, *command[1:])
    ckptlint(tmp_path, "migrate", name, "-m", command[-1], "-o", "new.safetensors")
    ckptlint(tmp_path, "lint", "new.safetensors", "--against", "model.json")


@pytest.mark.parametrize(
    "keys",
    [
        {f"conv.{n}.weight": [5, 5, 3, 3] for n in range(5)},
        {**MODEL, "head.weight": [7, 8]},
        {key: [0] for key in MODEL},
        {**{f"{key}.lora_A.weight": [2, 4] for key in MODEL}, **{f"{key}.lora_B.weight": [8, 2] for key in MODEL}},
    ],
    ids=["another architecture", "a resized head", "placeholders", "an adapter"],
)
def test_nothing_is_offered_that_does_not_cure(tmp_path, keys):
    assert cure(tmp_path, written(tmp_path, keys)) == []


def test_one_finding_is_said_once(tmp_path):
    name = written(tmp_path, {f"module.{key}": shape for key, shape in MODEL.items()})
    said = ckptlint(tmp_path, "lint", name, "--against", "model.json", code=1)
    assert said.stdout.count("fit after stripping") == 1
    assert f"  cure: ckptlint migrate '{name}' -m strip-wrappers" in said.stdout
