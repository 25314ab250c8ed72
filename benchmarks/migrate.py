"""Migrate a 1.5 GB checkpoint: ckptlint against `cp` with sync, and against the script one would write by hand.

    python benchmarks/migrate.py [--rounds 7] [--megabytes 1500] [--kinds rename,cast] [--folder DIR]

Migrations that rename, split, cast and transpose, in place and into shards, on two formats.
Every contender starts as a process and ends with synced data.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
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
    parser.add_argument("--megabytes", type=int, default=1500)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.make:
        _make(given.make, given.megabytes)
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        for suffix in (".pt", ".safetensors"):
            source = make(Path(folder) / f"old{suffix}", given.megabytes)
            for kind in given.kinds.split(","):
                title = f"{kind}, {suffix}, {given.megabytes} MB"
                print(table(title, compare(source, kind, KINDS[kind], given.rounds), "cp + sync"), flush=True)
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


def compare(source: Path, kind: str, text: str, rounds: int) -> dict[str, list[object]]:
    folder = source.parent
    migration, naive = folder / f"{kind}.yaml", folder / "naive.py"
    migration.write_text(text)
    naive.write_text(NAIVE)
    output = folder / f"new{source.suffix}"

    def clean() -> None:
        for path in folder.glob("new*"):
            path.unlink()
        if kind == "in-place":  # each run changes names that the one before it has not changed
            shutil.copyfile(source, folder / f"newest{source.suffix}")

    ours = [sys.executable, "-m", "ckptlint", "migrate", str(source), "-m", str(migration), "-o", str(output)]
    if kind == "shards":
        whole = output.with_suffix(".bin") if source.suffix == ".pt" else output
        ours = [*ours[:-1], f"{whole}.index.json", "--max-shard-size", str(source.stat().st_size // 5)]
    if kind == "in-place":
        ours = [*ours[:4], str(folder / f"newest{source.suffix}"), "-m", str(migration), "--in-place"]
    copy = f"cp --reflink=never {source} {output} && sync {output}"
    contenders = [
        Contender("cp + sync", ["sh", "-c", copy], clean),
        Contender("ckptlint migrate", ours, clean),
        Contender("ckptlint migrate --no-verify", [*ours, "--no-verify"], clean),
        Contender(
            "torch.load + torch.save" if source.suffix == ".pt" else "load_file + save_file",
            _naive(naive, source, output, kind),
            clean,
        ),
    ]
    if source.suffix == ".pt":
        contenders.append(
            Contender("torch.load(mmap) + torch.save", [*_naive(naive, source, output, kind)[:-1], "mmap"], clean)
        )
    runs = interleaved(contenders, rounds, warm=1)
    for path in folder.glob("new*"):
        path.unlink()
    return runs


def _naive(script: Path, source: Path, output: Path, kind: str) -> list[str]:
    return [sys.executable, str(script), str(source), str(output), kind, "whole"]


if __name__ == "__main__":
    if shutil.which("cp") is None:
        sys.exit("needs cp")
    main()
