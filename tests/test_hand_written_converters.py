"""Converters that people wrote by hand for one family of models, said as migrations: the same tensors under the same keys, and back.

What each does to its keys is written out here in a few lines of Python of our own; the originals (timm's filters for PVT v2, RegNet of
torchvision, PoolFormer and FocalNet) were run beside these once, with equal results.
"""

import re

import pytest

torch = pytest.importorskip("torch")

from migrating import write_migration  # noqa: E402  needs torch

from ckptlint.commands.migrate import Request, migrate  # noqa: E402

PYRAMID = """
stages:
- rewrites:
  - rename: {"{p:path}.dwconv.dwconv.{t}": "{p}.dwconv.{t}"}
  rest: keep
- rewrites:
  - rename:
      patch_embed1.{p:path}: patch_embed.{p}
      "patch_embed{n:one(2|3|4)}.{p:path}": "stages.{n-1}.downsample.{p}"
      "block{n:int}.{j:int}.{p:path}": "stages.{n-1}.blocks.{j}.{p}"
      "norm{n:int}.{t}": "stages.{n-1}.norm.{t}"
  - keep: head.{t}
"""
UNITS = """
lookups: {unit: {a: conv1, b: conv2, c: conv3}, part: [conv, bn]}
rewrites:
- rename:
    "stem.{k:int}.{t}": "stem.{lookup(part, k)}.{t}"
    "trunk.block{s:int}.block{s:int}-{j:int}.f.{x:one(a|b|c)}.{k:int}.{t}": "s{s}.b{j+1}.{lookup(unit, x)}.{lookup(part, k)}.{t}"
    "trunk.block{s:int}.block{s:int}-{j:int}.proj.{k:int}.{t}": "s{s}.b{j+1}.downsample.{lookup(part, k)}.{t}"
"""
POOLING = """
stages:
- rewrites:
  - rename: {"{p:path}.layer_scale_{k:int}": "{p}.layer_scale{k}.scale"}
  - from: "{p:path}.mlp.fc{k:int}.weight"
    to: "{p}.mlp.fc{k}.weight"
    ops: [rearrange: o i 1 1 -> o i]
  rest: keep
- rewrites:
  - rename:
      "network.{n:int}.{j:int}.{p:path}": "stages.{n//2}.blocks.{j}.{p}"
      "network.{n:int}.proj.{t}": "stages.{(n+1)//2}.downsample.conv.{t}"
"""
FOCAL = """
rewrites:
- rename:
    "{p:path}.gamma_{k:int}": "{p}.ls{k}.gamma"
    "layers.{s:int}.downsample.{p:path}": "layers.{s+1}.downsample.{p}"
- from: "layers.{s:int}.blocks.{j:int}.f.weight"
  to: "layers.{s}.blocks.{j}.f.weight"
  ops: [rearrange: o i -> o i 1 1]
"""


def pyramid(key):
    key = re.sub(r"^patch_embed1", "patch_embed", key)
    key = re.sub(r"^patch_embed([234])", lambda x: f"stages.{int(x[1]) - 1}.downsample", key)
    key = re.sub(r"^block(\d+)\.(\d+)", lambda x: f"stages.{int(x[1]) - 1}.blocks.{x[2]}", key)
    return re.sub(r"^norm(\d+)", lambda x: f"stages.{int(x[1]) - 1}.norm", key).replace("dwconv.dwconv", "dwconv")


def units(key):
    key = re.sub(r"^trunk\.block\d\.block(\d)-(\d+)", lambda x: f"s{x[1]}.b{int(x[2]) + 1}", key)
    for old, new in (("f.a", "conv1"), ("f.b", "conv2"), ("f.c", "conv3"), ("proj", "downsample")):
        key = key.replace(old, new)
    return re.sub(r"\.([01])\.", lambda x: (".conv.", ".bn.")[int(x[1])], key)


def pooling(key):
    key = re.sub(r"layer_scale_(\d)", r"layer_scale\1.scale", key)
    key = re.sub(r"^network\.(\d)\.proj", lambda x: f"stages.{(int(x[1]) + 1) // 2}.downsample.conv", key)
    return re.sub(r"^network\.(\d)\.(\d)", lambda x: f"stages.{int(x[1]) // 2}.blocks.{x[2]}", key)


def focal(key):
    key = re.sub(r"gamma_(\d)", r"ls\1.gamma", key)
    return re.sub(r"layers\.(\d)\.downsample", lambda x: f"layers.{int(x[1]) + 1}.downsample", key)


def state(*patterns):
    """Tensors for the keys that patterns such as `block{1-2}.w: 3,4` stand for."""
    found = {}
    for pattern in patterns:
        keys, shape = pattern.split(": ")
        todo = [keys]
        while todo:
            key = todo.pop(0)
            hole = re.search(r"\{(\w+)-(\w+)\}", key)
            if hole is None:
                found[key] = torch.randn([int(size) for size in shape.split(",")])
                continue
            todo += [key[: hole.start()] + chr(at) + key[hole.end() :] for at in range(ord(hole[1]), ord(hole[2]) + 1)]
    return found


CASES = {
    "pvt v2": (
        PYRAMID,
        pyramid,
        lambda value, _: value,
        (
            "patch_embed{1-4}.proj.weight: 4,3,3,3",
            "block{1-4}.{0-1}.mlp.dwconv.dwconv.weight: 4,1,3,3",
            "norm{1-4}.bias: 4",
            "head.bias: 2",
        ),
    ),
    "regnet": (
        UNITS,
        units,
        lambda value, _: value,
        (
            "stem.{0-1}.weight: 4",
            "trunk.block{1-4}.block{1-4}-{0-2}.f.{a-c}.{0-1}.weight: 4",
            "trunk.block{1-4}.block{1-4}-0.proj.{0-1}.weight: 4",
        ),
    ),
    "poolformer": (
        POOLING,
        pooling,
        lambda value, key: value.reshape(value.shape[:2]) if ".mlp.fc" in key else value,
        (
            "network.{0-0}.{0-1}.layer_scale_{1-2}: 4",
            "network.{2-2}.{0-1}.mlp.fc{1-2}.weight: 8,4,1,1",
            "network.{1-1}.proj.bias: 4",
        ),
    ),
    "focalnet": (
        FOCAL,
        focal,
        lambda value, key: value[:, :, None, None] if key.endswith("f.weight") else value,
        (
            "layers.{0-2}.blocks.{0-1}.gamma_{1-2}: 4",
            "layers.{0-2}.blocks.{0-1}.f.weight: 9,4",
            "layers.{0-1}.downsample.norm.bias: 4",
        ),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_the_same_and_comes_back(name, tmp_path):
    body, renamed, changed, patterns = CASES[name]
    old = {key: value for key, value in state(*patterns).items() if not re.search(r"block(\d)\.block(?!\1)", key)}
    torch.save(old, tmp_path / "old.pt")
    file = str(write_migration(tmp_path, body))
    old_path, new_path, back_path = (str(tmp_path / f"{name}.pt") for name in ("old", "new", "back"))
    migrate(Request(old_path, (file,), new_path))
    new = torch.load(new_path)
    assert list(new) == [renamed(key) for key in old]
    assert all(torch.equal(new[renamed(key)], changed(value, key)) for key, value in old.items())
    migrate(Request(new_path, (file,), back_path, reverse=True, source=old_path))
    back = torch.load(back_path)
    assert list(back) == list(old)
    assert all(torch.equal(back[key], value) for key, value in old.items())
