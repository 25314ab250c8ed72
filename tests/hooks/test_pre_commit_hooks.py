"""The hooks on a repository, as pre-commit runs them: staged files that match `files` are appended to `entry`."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from safetensors.numpy import save_file

np = pytest.importorskip("numpy")

PROJECT = Path(__file__).parents[2]
HOOKS = {hook["id"]: hook for hook in yaml.safe_load((PROJECT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))}
SETTINGS = """
[tool.ckptlint.models.net]
factory = "net:Net"
args = { width = 4 }
checkpoints = ["weights/net*"]
[tool.ckptlint.models.other]
lock = "other.json"
checkpoints = ["weights/other*"]
"""
NET = """
import torch
class Net(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.{name} = torch.nn.Linear(width, 2)
"""
MIGRATION = """
ckptlint: 1
summary: the layer is called fc now
rewrites:
- rename:
    linear.{p:path}: fc.{p}
"""


class Repository:
    """A git repository with hooks, run on what is staged."""

    def __init__(self, folder):
        self.folder = folder
        self.git("init", "-q")

    def git(self, *arguments):
        return subprocess.run(["git", *arguments], cwd=self.folder, check=True, capture_output=True, text=True).stdout

    def stage(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        self.git("add", name)

    def stage_checkpoint(self, name, **shapes):
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        save_file(
            {key.replace("_", "."): np.zeros(shape, "float32") for key, shape in shapes.items()}, self.folder / name
        )
        self.git("add", name)

    def selected(self, hook):
        staged = self.git("diff", "--cached", "--name-only", "--diff-filter=ACMRTUXB", "-z").split("\0")
        return [name for name in staged if name and re.search(hook["files"], name)]

    def run(self, hook_id):
        """Exit code and output of a hook; None where no staged file is its business, and pre-commit skips it."""
        hook = HOOKS[hook_id]
        names = self.selected(hook)
        if not names:
            return None
        program, *arguments = shlex.split(hook["entry"])
        assert program == "ckptlint"
        command = [sys.executable, "-m", "ckptlint", *arguments, *(names if hook.get("pass_filenames", True) else [])]
        environment = {**os.environ, "PYTHONPATH": str(PROJECT), "PYTHONWARNINGS": ""}
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def repository(tmp_path):
    repository = Repository(tmp_path)
    repository.stage("pyproject.toml", SETTINGS)
    repository.stage("net.py", NET.format(name="fc"))
    return repository


@pytest.fixture
def locked(repository):
    """With the lock of the model, made from its keys alone: these hooks run where torch is not."""
    from ckptlint.core.schema import Schema
    from ckptlint.documents.lock import write_lock

    repository.stage(
        "ckpt/net/schema.lock", write_lock(Schema.of("fc.weight: f32[2,4]", "fc.bias: f32[2]"), model="net")
    )
    repository.stage("other.json", '{"w": [3]}')
    return repository


def test_a_checkpoint_is_linted_against_the_lock_of_its_model(locked):
    assert locked.run("ckptlint-lint") is None
    locked.stage_checkpoint("weights/net.safetensors", fc_weight=(2, 4), fc_bias=(2,))
    locked.stage_checkpoint("weights/other.safetensors", w=(3,))
    code, said = locked.run("ckptlint-lint")
    assert code == 0, said
    locked.stage_checkpoint("weights/net-old.safetensors", linear_weight=(2, 4), linear_bias=(2,))
    code, said = locked.run("ckptlint-lint")
    assert code == 1, said
    assert "weights/net-old.safetensors" in said
    assert "fc.{bias,weight}" in said or "fc.weight" in said


def test_a_checkpoint_that_cannot_be_read_stops_the_commit(locked):
    locked.stage("weights/net.pt", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n")
    code, said = locked.run("ckptlint-lint")
    assert code == 3, said


def test_migrations_are_checked_by_themselves(repository):
    assert repository.run("ckptlint-migrations") is None
    repository.stage("ckpt/net/0001_fc.yaml", MIGRATION)
    code, said = repository.run("ckptlint-migrations")
    assert code == 0, said
    repository.stage("ckpt/net/0002_bad.yaml", MIGRATION.replace("rename:", "renaem:"))
    code, said = repository.run("ckptlint-migrations")
    assert code == 2, said
    assert "ckpt/net/0002_bad.yaml:5:" in said


def test_code_that_loads_checkpoints_is_checked(repository):
    code, said = repository.run("ckptlint-code")  # net.py itself
    assert code == 0, said
    repository.stage("load.py", "import torch\n\ndef load(path):\n    return torch.load(path)\n")
    code, said = repository.run("ckptlint-code")
    assert code == 1, said
    assert "load.py:4:12: warning[CKL102 torch-load-unsafe]" in said
    repository.stage("load.py", "import torch\nx = torch.load('x')  # ckptlint: ignore[CKL102] our own file, of 2019\n")
    code, said = repository.run("ckptlint-code")
    assert code == 0, said
    assert "1 ignored" in said


@pytest.mark.torch
def test_a_lock_must_be_what_the_model_gives(repository):
    pytest.importorskip("torch")
    repository.stage("pyproject.toml", SETTINGS.partition("[tool.ckptlint.models.other]")[0])
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    subprocess.run([sys.executable, "-m", "ckptlint", "lock"], cwd=repository.folder, env=environment, check=True)
    code, said = repository.run("ckptlint-lock")
    assert code == 0, said
    repository.stage("net.py", NET.format(name="head"))
    code, said = repository.run("ckptlint-lock")
    assert code == 1, said
    assert "ckpt/net/schema.lock" in said
    assert "head" in said


def test_each_hook_is_complete():
    assert sorted(HOOKS) == ["ckptlint-code", "ckptlint-lint", "ckptlint-lock", "ckptlint-migrations"]
    for hook in HOOKS.values():
        assert {"name", "entry", "language", "files"} <= set(hook)
        assert hook["language"] == ("python" if hook.get("pass_filenames", True) else "system")
