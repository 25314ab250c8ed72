"""Migrate checkpoints: ckptlint against `cp` with sync, and against the script one would write by hand.

    python benchmarks/migrate.py [--megabytes 100,1500] [--kinds rename,cast] [--suffixes .pt]
                                 [--rounds 7] [--naive-rounds 1] [--folder DIR]

Migrations that rename, split, cast and transpose, in place and into shards, on two formats and of three sizes.
Every contender starts as a process and ends with synced data.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from itertools import cycle, product
from pathlib import Path

from measure import Contender, interleaved, table

RENAME = """\
ckptlint: 1
summary: layers renamed
rewrites:
  - rename: {"layers.{i:int}.{p:path}": "blocks.{i}.{p}"}
"""
RESHAPE = """\
ckptlint: 1
summary: layers renamed, qkv split, down projection transposed
rewrites:
  - from: layers.{i:int}.qkv.weight
    to: ["blocks.{i}.q.weight", "blocks.{i}.k.weight", "blocks.{i}.v.weight"]
    ops: [split: {dim: 0, parts: 3}]
  - from: layers.{i:int}.down.weight
    to: blocks.{i}.down.weight
    ops: [rearrange: "o i -> i o"]
  - rename: {"layers.{i:int}.{n:one(up|norm)}.weight": "blocks.{i}.{n}.weight"}
"""
BACK = """\
ckptlint: 1
summary: layers renamed back
rewrites:
  - rename: {"blocks.{i:int}.{p:path}": "layers.{i}.{p}"}
"""
SPLIT = """\
ckptlint: 1
summary: qkv split
rewrites:
  - from: layers.{i:int}.qkv.weight
    to: ["blocks.{i}.q.weight", "blocks.{i}.k.weight", "blocks.{i}.v.weight"]
    ops: [split: {dim: 0, parts: 3}]
  - rename: {"layers.{i:int}.{n:one(up|down|norm)}.weight": "blocks.{i}.{n}.weight"}
"""
CAST = """\
ckptlint: 1
summary: all in bf16
rewrites:
  - {from: "layers.{p:path}", to: "blocks.{p}", ops: [cast: {dtype: bf16}]}
"""
TRANSPOSE = """\
ckptlint: 1
summary: all matrices transposed
rewrites:
  - {from: "layers.{i:int}.{n:one(qkv|up|down)}.weight", to: "blocks.{i}.{n}.weight", ops: [rearrange: "o i -> i o"]}
  - rename: {"layers.{i:int}.norm.weight": "blocks.{i}.norm.weight"}
"""
KINDS = {
    "rename": RENAME,
    "split": SPLIT,
    "reshape": RESHAPE,
    "cast": CAST,
    "transpose": TRANSPOSE,
    "shards": RENAME,
    "in-place": RENAME,
}
TOOL = [sys.executable, "-m", "ckptlint"]
NAIVE = """\
import os, sys, torch
source, output, kind, mmap = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4] == "mmap"
if source.endswith(".safetensors"):
    from safetensors.torch import load_file, save_file
    old = load_file(source)
else:
    old = torch.load(source, mmap=mmap, weights_only=True)
new = {}
for key, value in old.items():
    name = key.replace("layers.", "blocks.")
    if kind in ("split", "reshape") and ".qkv." in name:
        for part, piece in zip("qkv", value.chunk(3)):
            new[name.replace("qkv", part)] = piece.clone()
    elif kind == "reshape" and ".down." in name or kind == "transpose" and value.ndim == 2:
        new[name] = value.T.contiguous()
    elif kind == "cast":
        new[name] = value.bfloat16()
    else:
        new[name] = value
if output.endswith(".safetensors"):
    save_file(new, output)
else:
    torch.save(new, output)
descriptor = os.open(output, os.O_RDONLY)
os.fsync(descriptor)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--naive-rounds", type=int, help="fewer rounds for the scripts that one would write by hand")
    parser.add_argument("--megabytes", default="100,1500,6000")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--suffixes", default=".pt,.safetensors")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.make:
        _make(given.make, int(given.megabytes))
        return
    naive = given.rounds if given.naive_rounds is None else given.naive_rounds
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        for megabytes, suffix in product(map(int, given.megabytes.split(",")), given.suffixes.split(",")):
            source = make(Path(folder) / f"old{suffix}", megabytes)
            for kind in given.kinds.split(","):
                compared = compare if kind != "in-place" else compare_in_place
                runs = interleaved(compared(source, kind, naive), given.rounds, warm=2)
                print(table(f"{kind}, {suffix}, {megabytes} MB", runs, "cp + sync"), flush=True)
                _clean(source.parent)
            source.unlink()


def make(path: Path, megabytes: int) -> Path:
    """Write a checkpoint in a process of its own: a child's peak memory starts at what its parent has."""
    subprocess.run([sys.executable, __file__, "--make", str(path), "--megabytes", str(megabytes)], check=True)
    return path


def _make(path: Path, megabytes: int) -> None:
    """Write a checkpoint of this size: 24 layers of four tensors, as torch or safetensors saves it."""
    import torch

    width = 64 * round((megabytes * 1e6 / 4 / 24 / 6) ** 0.5 / 64)
    generator = torch.Generator().manual_seed(0)
    shapes = {"qkv": (3 * width, width), "up": (2 * width, width), "down": (width, width), "norm": (width,)}
    tensors = {
        f"layers.{layer}.{name}.weight": torch.rand(shape, generator=generator)
        for layer in range(24)
        for name, shape in shapes.items()
    }
    if path.suffix == ".pt":
        torch.save(tensors, path)
    else:
        from safetensors.torch import save_file

        save_file(tensors, path)


def compare(source: Path, kind: str, naive: int) -> list[Contender]:
    """Everybody who writes a new file; the scripts that one would write by hand run `naive` times."""
    folder = source.parent
    migration, script = folder / f"{kind}.yaml", folder / "naive.py"
    migration.write_text(KINDS[kind])
    script.write_text(NAIVE)
    output = folder / f"new{source.suffix}"
    clean = partial(_clean, folder)
    ours = [*TOOL, "migrate", str(source), "-m", str(migration), "-o", str(output)]
    if kind == "shards":
        whole = output.with_suffix(".bin") if source.suffix == ".pt" else output
        ours = [*ours[:-1], f"{whole}.index.json", "--max-shard-size", str(source.stat().st_size // 5)]
    contenders = [
        _copying(source, output),
        Contender("ckptlint migrate", ours, clean),
        Contender("ckptlint migrate --no-verify", [*ours, "--no-verify"], clean),
    ]
    by_hand = _naive(script, source, output, kind)
    if source.suffix == ".pt":
        mapped = [*by_hand[:-1], "mmap"]
        contenders.append(Contender("torch.load + torch.save", by_hand, clean, naive))
        contenders.append(Contender("torch.load(mmap) + torch.save", mapped, clean, naive))
    else:
        contenders.append(Contender("load_file + save_file", by_hand, clean, naive))
    return contenders


def compare_in_place(source: Path, kind: str, _: int) -> list[Contender]:
    """A rename of the file itself, there and back in turn, beside a copy of it."""
    folder = source.parent
    migration, own, output = folder / f"{kind}.yaml", folder / f"own{source.suffix}", folder / f"new{source.suffix}"
    made = [*TOOL, "migrate", str(source), "-o", str(own), "--force"]  # with room in its header
    subprocess.run(made, check=True, stdout=subprocess.DEVNULL)
    turns = cycle((KINDS[kind], BACK))
    start = [sys.executable, "-c", "pass"]
    ours = [*TOOL, "migrate", str(own), "-m", str(migration), "--in-place"]
    return [
        _copying(source, output),
        Contender("ckptlint migrate --in-place", ours, lambda: migration.write_text(next(turns)) and None),
        Contender("python -c pass", start),
    ]


def _copying(source: Path, output: Path) -> Contender:
    command = f"cp --reflink=never {source} {output} && sync {output}"
    return Contender("cp + sync", ["sh", "-c", command], partial(_clean, source.parent))


def _clean(folder: Path) -> None:
    for path in folder.glob("new*"):
        path.unlink()


def _naive(script: Path, source: Path, output: Path, kind: str) -> list[str]:
    return [sys.executable, str(script), str(source), str(output), kind, "whole"]


if __name__ == "__main__":
    if shutil.which("cp") is None:
        sys.exit("needs cp")
    main()
