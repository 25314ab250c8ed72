"""The numeric witness: models that compute the same, and those that only look so; and what comes out when a migration is computed again."""

import json
import textwrap

import pytest

torch = pytest.importorskip("torch")

from cli import ckptlint  # noqa: E402
from forked_build import fork  # noqa: E402
from migrating import migrated_file  # noqa: E402  these need torch

from ckptlint.commands.replay import Replay, replayed  # noqa: E402
from ckptlint.commands.sources import opened  # noqa: E402
from ckptlint.commands.witness import Wanted, witness  # noqa: E402
from ckptlint.errors import ModelError, UsageError  # noqa: E402
from ckptlint.source.witness import Input  # noqa: E402

MODELS = """
import torch
from torch import nn

class Attention(nn.Module):
    def forward(self, ids):
        x = self.emb(ids)
        q, k, v = self.projected(x)
        return {"y": self.out(torch.softmax(q @ k.transpose(-1, -2), -1) @ v), "n": [ids.sum()]}

class Old(Attention):
    def __init__(self, d=8):
        super().__init__()
        self.emb, self.qkv, self.out = nn.Embedding(20, d), nn.Linear(d, 3 * d), nn.Linear(d, d)
    def projected(self, x):
        return self.qkv(x).chunk(3, -1)

class New(Attention):
    def __init__(self, d=8):
        super().__init__()
        self.emb, self.out = nn.Embedding(20, d), nn.Linear(d, d)
        self.q, self.k, self.v = (nn.Linear(d, d) for _ in range(3))
    def projected(self, x):
        return self.q(x), self.k(x), self.v(x)

class Stubborn(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(4, 3)
    def forward(self, x):
        return self.l(x.to(torch.float32))

class Zero(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(4, 3)
    def forward(self, x):
        return self.l(x) * 0
"""
SPLIT = "rewrites:\n- {from: 'qkv.{t}', to: %s, ops: [{split: {dim: 0, parts: 3}}]}\nrest: keep\n"
GOOD = SPLIT % '["q.{t}", "k.{t}", "v.{t}"]'
SWAPPED = SPLIT % '["k.{t}", "q.{t}", "v.{t}"]'
TURNED = GOOD.replace("rest:", "- {from: out.weight, to: out.weight, ops: [{rearrange: 'a b -> b a'}]}\nrest:")
IDS = "ids=i64[2,5]<20"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models.py").write_text(textwrap.dedent(MODELS))
    names = {}
    exec(MODELS, names)
    torch.manual_seed(3)
    torch.save({"model": names["Old"]().state_dict(), "epoch": 1}, tmp_path / "old.pt")
    torch.save(names["Stubborn"]().state_dict(), tmp_path / "stubborn.pt")
    return tmp_path


def compared(folder, body, **more):
    new = migrated_file(folder, folder / "old.pt", body)
    asked = {"inputs": [IDS], "old": str(folder / "old.pt"), "old_model": "models.py:Old", "run": fork, **more}
    return witness(Wanted(str(new), "models.py:New", **asked))


def test_a_right_migration_computes_the_same(folder):
    found = compared(folder, GOOD)
    assert not found.fails
    assert [each.path for each in found.outputs] == ["output.y", "output.n[0]"]
    assert max(each.relative for each in found.outputs) < 1e-12
    assert found.precision == "float64"
    assert found.unseen == ("k.bias",)  # a softmax does not change where all its inputs do alike


@pytest.mark.parametrize("body", [SWAPPED, TURNED], ids=["queries for keys", "a square matrix turned"])
def test_what_shapes_do_not_tell_is_told(body, folder):
    found = compared(folder, body)
    assert found.loads
    assert found.fails
    assert max(each.relative for each in found.outputs) > 0.01


def test_rounded_weights_may_differ_by_their_rounding(folder):
    cast = GOOD.replace("rest:", "- {from: out.weight, to: out.weight, ops: [{cast: bf16}]}\nrest:")
    found = compared(folder, cast)
    assert not found.fails
    assert found.outputs[0].relative > 1e-6
    assert compared(folder, cast, tolerance=1e-9).fails


def test_what_the_inputs_do_not_reach_is_named(folder):
    found = compared(folder, SWAPPED, inputs=["i64[2,1]<20"])  # of one position, a softmax is 1
    assert not found.fails
    assert set(found.unseen) == {"q.weight", "q.bias", "k.weight", "k.bias"}


def test_a_load_that_is_refused_is_said_by_key(folder):
    found = witness(Wanted(str(folder / "old.pt"), "models.py:New", run=fork))
    assert found.fails
    assert "q.weight" in found.missing
    assert found.unexpected == ("qkv.weight", "qkv.bias")


def test_parts_are_compared_by_their_own_inputs(folder):
    assert not compared(folder, GOOD, module="out", inputs=["f32[4,8]"]).fails
    assert compared(folder, TURNED, module="out=out", inputs=["f32[4,8]"]).fails
    with pytest.raises(UsageError, match="no sub-module 'body'"):
        compared(folder, GOOD, module="body", inputs=["f32[4,8]"])


def test_a_model_that_insists_on_f32_is_run_in_it(folder):
    name = str(folder / "stubborn.pt")
    found = witness(
        Wanted(name, "models.py:Stubborn", old=name, old_model="models.py:Stubborn", inputs=["f32[2,4]"], run=fork)
    )
    assert (found.fails, found.precision) == (False, "float32")


def test_outputs_that_are_all_zero_tell_nothing(folder):
    name = str(folder / "stubborn.pt")
    found = witness(Wanted(name, "models.py:Zero", old=name, old_model="models.py:Zero", inputs=["f32[2,4]"], run=fork))
    assert found.fails
    assert found.silent


def test_inputs_that_nothing_says_are_asked_for(folder):
    with pytest.raises(UsageError, match="needs ids, and nothing says of which shape"):
        compared(folder, GOOD, inputs=[])
    with pytest.raises(ModelError, match="index out of range"):
        compared(folder, GOOD, inputs=["i64[2,5]<1000"])
    with pytest.raises(UsageError, match="both"):
        compared(folder, GOOD, old_model=None)


@pytest.mark.parametrize("text", ["x", "x=f32", "i64[2]", "f32[2]<5", "x=q4_k[256]", "f32[2]<0", "=f32[2]"])
def test_inputs_are_read_strictly(text):
    with pytest.raises(UsageError):
        Input.parse(text)


def test_inputs_are_read():
    assert [str(Input.parse(text).spec) for text in ("f32[2,3]", "x=bf16[]", "ids=int64[2]<7", "bool[2]")] == [
        "f32[2,3]",
        "bf16[]",
        "i64[2]",
        "bool[2]",
    ]


def test_a_migration_computed_again_tells_what_differs(folder):
    made = migrated_file(folder, folder / "old.pt", GOOD + "tree:\n- set: {/epoch: 2}\n")
    (folder / "good.yaml").write_text(f"ckptlint: 1\nsummary: x\n{GOOD}tree:\n- set: {{/epoch: 2}}\n")
    replay = Replay(str(folder / "old.pt"), [str(folder / "good.yaml")])

    def problems(path):
        with opened(str(path)) as checkpoint:
            return {(each.kind, path) for each in replayed(checkpoint, replay) for path in each.tensors or ("",)}

    assert problems(made) == set()
    assert problems(migrated_file(folder, made, "rest: keep\n", suffix=".safetensors", section="/model")) == set()
    value = torch.load(made)
    value["model"]["q.bias"][0] += 1
    value["model"]["v.bias"] = value["model"]["v.bias"].double()
    value["model"]["more"] = value["model"].pop("k.bias")
    value["epoch"] = 3
    torch.save(value, made)
    assert problems(made) == {
        ("changed", "/model/q.bias"),
        ("retyped", "/model/v.bias"),
        ("missing", "/model/k.bias"),
        ("added", "/model/more"),
        ("changed", "/epoch"),
    }


def test_the_command_says_it_and_its_code_too(folder):
    bad = migrated_file(folder, folder / "old.pt", SWAPPED)
    (folder / "good.yaml").write_text(f"ckptlint: 1\nsummary: x\n{GOOD}")
    asked = ["verify", bad, "--plan-from", "old.pt"]
    done = ckptlint(
        folder,
        *asked,
        "--model",
        "models.py:New",
        "--old-model",
        "models.py:Old",
        "--input",
        IDS,
        "--format",
        "json",
        code=1,
    )
    said = json.loads(done.stdout)
    assert (said["agrees"], said["loads"]) == (False, True)
    text = ckptlint(folder, *asked, "-m", "good.yaml", code=1).stdout
    assert "changed: {/model/q,/model/k}.{weight,bias}" in text
    assert "nothing says how OLD became this" in ckptlint(folder, *asked, code=2).stderr
    assert "no model" in ckptlint(folder, "verify", bad, "--input", IDS, code=2).stderr
