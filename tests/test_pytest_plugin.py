"""`pytest --ckptlint` in a project of its own, with a real chain and old files; each ready test passes, and fails for its reason."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cli import ckptlint

from ckptlint.documents.lock import write_lock
from ckptlint.documents.schema_json import read_schema_json

safetensors = pytest.importorskip("safetensors.numpy")
ROOT = Path(__file__).parent.parent
FIRST = {"layers.0.up.weight": [4, 3], "layers.1.up.weight": [4, 3], "embed.weight": [5, 3], "head.old": [2]}
SECOND = {"layers.0.ffn.weight": [4, 3], "layers.1.ffn.weight": [4, 3], "embed.weight": [5, 3]}


def lock(shapes, path):
    path.write_text(write_lock(read_schema_json(json.dumps(shapes), "x.json"), model="toy"))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    chain = folder / "ckpt" / "toy"
    (chain / "golden").mkdir(parents=True)
    (folder / "pyproject.toml").write_text('[tool.ckptlint.models.toy]\nlock = "ckpt/toy/schema.lock"\n')
    lock(FIRST, folder / "old.lock")
    lock(SECOND, chain / "schema.lock")
    (folder / "answers.yaml").write_text(
        "drop: {head.old: no longer there}\nrename:\n  layers.0.up.weight: layers.0.ffn.weight\n  layers.1.up.weight: layers.1.ffn.weight\n"
    )
    ckptlint(folder, "make", "old.lock", "ckpt/toy/schema.lock", "--chain", "ckpt/toy", "--answers", "answers.yaml")
    draw = np.random.default_rng(0)
    values = {key: draw.standard_normal(shape).astype("float32") for key, shape in FIRST.items()}
    safetensors.save_file(values, chain / "golden" / "first.safetensors", metadata={"epoch": "3"})
    return folder


@pytest.fixture
def project(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "project"))


def pytested(folder, *more, code=0):
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:ckptlint",
        "-p",
        "ckptlint.pytest_plugin",
        "-p",
        "no:cacheprovider",
        "-q",
        "-rA",
        *more,
    ]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_nothing_is_added_without_the_option(project):
    assert "no tests ran" in pytested(project, code=5)


def test_a_whole_chain_passes(project):
    said = pytested(project, "--ckptlint")
    assert "4 passed" in said
    for name in (
        "single_head",
        "chain_reaches_lock",
        "golden_checkpoints_load[first.safetensors]",
        "up_down_identity[first.safetensors]",
    ):
        assert f"ckptlint::toy::{name}" in said


def test_a_lock_that_the_chain_does_not_reach_fails(project):
    lock({**SECOND, "more.weight": [2]}, project / "ckpt" / "toy" / "schema.lock")
    said = pytested(project, "--ckptlint", "-k", "chain_reaches_lock or golden", code=1)
    assert "$ ckptlint check" in said
    assert "2 failed" in said


def test_a_file_that_is_no_checkpoint_fails(project):
    (project / "ckpt" / "toy" / "golden" / "page.pt").write_text("<html>not found</html>")
    said = pytested(project, "--ckptlint", "-k", "page", code=1)
    assert "HTML" in said
    assert "exit code 3" in said


def test_settings_without_models_are_bad_use(tmp_path):
    assert "ckptlint init" in pytested(tmp_path, "--ckptlint", code=4)
