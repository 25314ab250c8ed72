"""The main job, end to end, for the three ways people save: lint, migrate, strict load, equal values.

The old classes live in a module that only the saving and the final checks can import; ckptlint runs where they do not exist.
"""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

OLD = """
import torch
from torch import nn

class Config:
    def __init__(self, **entries):
        self.__dict__.update(entries)
    def __eq__(self, other):
        return type(self) is type(other) and self.__dict__ == other.__dict__

class Layer(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.norm = nn.BatchNorm1d(width)

class Net(nn.Module):
    def __init__(self, width=8, depth=3):
        super().__init__()
        self.embed = nn.Embedding(11, width)
        self.layers = nn.ModuleList(Layer(width) for _ in range(depth))
        self.head = nn.Linear(width, 11, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("scratch", torch.zeros(2), persistent=False)

def make():
    torch.manual_seed(3)
    model = Net()
    for name, buffer in model.named_buffers():
        if buffer.is_floating_point():
            buffer.uniform_()
    return model
"""

NEW = """
from torch import nn

class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.q = nn.Linear(width, width)
        self.k = nn.Linear(width, width)
        self.v = nn.Linear(width, width)
        self.bn = nn.BatchNorm1d(width)

class Model(nn.Module):
    def __init__(self, width, depth=3):
        super().__init__()
        self.tokens = nn.Embedding(11, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.head = nn.Linear(width, 11, bias=False)
        self.head.weight = self.tokens.weight
"""

MIGRATION = """
ckptlint: 1
summary: layers became blocks, qkv was split
rewrites:
  - rename:
      embed.weight: tokens.weight
      layers.{i:int}.norm.{p}: blocks.{i}.bn.{p}
  - keep: head.weight
  - from: layers.{i:int}.qkv.{t:one(weight|bias)}
    to: ["blocks.{i}.q.{t}", "blocks.{i}.k.{t}", "blocks.{i}.v.{t}"]
    ops: [split: {dim: 0, parts: 3}]
"""
SPEC = "newnet.py:Model"


def ckptlint(folder, *arguments, code=0):
    """Run the command line in `folder`, where the old classes do not exist."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run(
        [sys.executable, "-m", "ckptlint", *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """The old module, imported, and only reachable through this fixture."""
    folder = tmp_path_factory.mktemp("old")
    (folder / "oldnet.py").write_text(OLD)
    sys.path.insert(0, str(folder))
    yield __import__("oldnet")
    sys.path.remove(str(folder))
    del sys.modules["oldnet"]


@pytest.fixture(scope="module")
def new(tmp_path_factory):
    folder = tmp_path_factory.mktemp("new")
    (folder / "newnet.py").write_text(NEW)
    (folder / "migration.yaml").write_text(MIGRATION)
    sys.path.insert(0, str(folder))
    yield folder, __import__("newnet").Model
    sys.path.remove(str(folder))
    del sys.modules["newnet"]


def expected(state):
    """The same change, by hand."""
    result = {}
    for key, value in state.items():
        renamed = key.replace("embed.", "tokens.").replace("layers.", "blocks.").replace(".norm.", ".bn.")
        if ".qkv." in key:
            result.update(
                {renamed.replace("qkv", name): part for name, part in zip("qkv", value.chunk(3), strict=True)}
            )
        else:
            result[renamed] = value
    return result


def by_hand_equals(state, migrated):
    assert list(migrated) == list(expected(state))
    assert all(torch.equal(migrated[key], value) for key, value in expected(state).items())
    assert migrated["tokens.weight"].data_ptr() == migrated["head.weight"].data_ptr()


def findings(folder, *arguments, code):
    return json.loads(ckptlint(folder, "lint", *arguments, "--format", "json", code=code))["findings"]


SAVED = {
    "state dict": lambda model, old: model.state_dict(),
    "whole module": lambda model, old: model,
    "beside a custom object": lambda model, old: {
        "epoch": 3,
        "model_state_dict": model.state_dict(),
        "cfg": old.Config(lr=0.1, layers=[1, 2]),
        "rng": torch.arange(5),
    },
}


@pytest.mark.parametrize("way", SAVED)
def test_lint_migrate_load(way, old, new, tmp_path):
    folder, model_class = new
    model = old.make()
    source, output = tmp_path / "old.pt", tmp_path / "new.pt"
    torch.save(SAVED[way](model, old), source)

    reported = findings(folder, source, "--model", SPEC, "--args", "{width: 8}", code=1)
    assert {key for each in reported if each["rule"] == "CKK101" for key in each["keys"]} <= set(
        model_class(8).state_dict()
    )
    ckptlint(folder, "migrate", source, "-m", "migration.yaml", "-o", output)
    assert not [
        f for f in findings(folder, output, "--model", SPEC, "--args", "{width: 8}", code=0) if f["severity"] == "error"
    ]

    loaded = torch.load(output, weights_only=False)
    state = loaded["model_state_dict"] if way == "beside a custom object" else loaded
    by_hand_equals(model.state_dict(), state)
    model_class(8).load_state_dict(state, strict=True)
    if way == "beside a custom object":
        assert list(loaded) == ["epoch", "model_state_dict", "cfg", "rng"]
        assert (loaded["epoch"], loaded["cfg"]) == (3, old.Config(lr=0.1, layers=[1, 2]))
        assert torch.equal(loaded["rng"], torch.arange(5))
        assert state._metadata["blocks.0.bn"] == {"version": 2}


def test_the_way_back_restores_every_tensor(old, new, tmp_path):
    folder, _ = new
    state = old.make().state_dict()
    torch.save(state, tmp_path / "old.pt")
    ckptlint(folder, "migrate", tmp_path / "old.pt", "-m", "migration.yaml", "-o", tmp_path / "new.safetensors")
    ckptlint(
        folder, "migrate", tmp_path / "new.safetensors", "-m", "migration.yaml", "--reverse", "-o", tmp_path / "back.pt"
    )
    back = torch.load(tmp_path / "back.pt", weights_only=True)
    assert list(back) == list(state)
    assert all(torch.equal(back[key], value) for key, value in state.items())


def test_safetensors_agrees_with_its_own_library(old, new, tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    folder, _ = new
    state = old.make().state_dict()
    torch.save(state, tmp_path / "old.pt")
    ckptlint(folder, "migrate", tmp_path / "old.pt", "-m", "migration.yaml", "-o", tmp_path / "new.safetensors")
    loaded = safetensors.load_file(tmp_path / "new.safetensors")
    assert all(torch.equal(loaded[key], value) for key, value in expected(state).items())
    assert loaded.keys() == expected(state).keys()


def test_what_does_not_fit_writes_nothing(old, new, tmp_path):
    folder, _ = new
    torch.save(old.make().state_dict(), tmp_path / "old.pt")
    (tmp_path / "bad.yaml").write_text(textwrap.dedent(MIGRATION).replace("parts: 3", "sizes: [8, 8]"))
    ckptlint(folder, "migrate", tmp_path / "old.pt", "-m", tmp_path / "bad.yaml", "-o", tmp_path / "new.pt", code=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.yaml", "old.pt"]


def test_ties_that_another_tool_has_broken_are_not_believed(old, new, tmp_path):
    safetensors = pytest.importorskip("safetensors")
    numpy = pytest.importorskip("safetensors.torch")
    folder, _ = new
    torch.save(old.make().state_dict(), tmp_path / "old.pt")
    ckptlint(folder, "migrate", tmp_path / "old.pt", "-m", "migration.yaml", "-o", tmp_path / "new.safetensors")
    with safetensors.safe_open(tmp_path / "new.safetensors", "pt") as opened:
        metadata = opened.metadata()
    state = numpy.load_file(tmp_path / "new.safetensors")
    state["head.weight"] = state["head.weight"] + 1
    numpy.save_file(state, tmp_path / "edited.safetensors", metadata=metadata)
    (tmp_path / "keep.yaml").write_text("ckptlint: 1\nsummary: s\nrewrites:\n- keep: '**'\n")
    ckptlint(
        folder,
        "migrate",
        tmp_path / "edited.safetensors",
        "-m",
        tmp_path / "keep.yaml",
        "-o",
        tmp_path / "x.pt",
        code=1,
    )
    assert not (tmp_path / "x.pt").exists()
