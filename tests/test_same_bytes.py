"""What comes out is one sequence of bytes: whatever the blocks, the threads, the way of copying, and whether a run was gone on with."""

import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
saving = pytest.importorskip("safetensors.torch")

from cli import ROOT  # noqa: E402  these need torch
from kills import dies_at  # noqa: E402
from migrating import write_migration  # noqa: E402

from ckptlint.commands.migrate import Request, migrate  # noqa: E402
from ckptlint.formats import copying  # noqa: E402
from ckptlint.formats.leftovers import leftovers  # noqa: E402
from ckptlint.runners import local  # noqa: E402

CHANGE = """\
rewrites:
- rename: {"old.{n}": "new.{n}"}
- {from: cut, to: [cut.1, cut.2, cut.3], ops: [split: {parts: 3}]}
- {from: across, to: [across.1, across.2], ops: [split: {dim: 1, parts: 2}]}
- {from: [one, other], to: joined, ops: [concat: {dim: 1}]}
- {from: turned, to: turned, ops: [rearrange: "x y -> y x"]}
- {from: narrow, to: narrow, ops: [cast: bf16]}
- {from: both, to: both, ops: [{rearrange: "x y -> y x"}, {cast: f16}]}
- {from: kept, to: kept, ops: [{rearrange: "(a b) c -> b (a c)", a: 3}, {rearrange: "x y -> y x"}]}
- {from: mean, to: mean, ops: [reduce: {dim: 0, how: mean}]}
- {from: [left, right], to: product, ops: [einsum: "a b, b c -> a c"]}
"""
OUTPUTS = ("new.pt", "new.safetensors", "new.safetensors.index.json", "new.bin.index.json")
SOURCES = ("source.pt", "source.safetensors")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("same")
    torch.manual_seed(0)
    names = ("cut", "across", "one", "other", "turned", "narrow", "both", "kept", "mean", "left", "right")
    tensors = {name: torch.rand(150, 150) for name in names}
    tensors |= {"old.1": torch.rand(350, 100), "old.2": torch.rand(5)}
    torch.save(tensors, folder / "source.pt")
    saving.save_file(tensors, folder / "source.safetensors")
    write_migration(folder, CHANGE).rename(folder / "m.yaml")
    return folder


def request(made, source, output, **more):
    shard = 100_000 if output.name.endswith("json") else None
    return Request(str(made / source), [str(made / "m.yaml")], str(output), max_shard_size=shard, **more)


def written(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def output_of(made, source, folder, name, **more):
    folder.mkdir()
    migrate(request(made, source, folder / name, **more))
    return written(folder)


@pytest.mark.parametrize("name", OUTPUTS)
@pytest.mark.parametrize("source", SOURCES)
def test_neither_blocks_nor_the_way_of_copying_show(source, name, made, tmp_path, monkeypatch):
    wanted = output_of(made, source, tmp_path / "usual", name)
    assert output_of(made, source, tmp_path / "little", name, max_memory=1 << 20) == wanted
    assert output_of(made, source, tmp_path / "unverified", name, verify=False) == wanted
    with monkeypatch.context() as patch:
        for place, size in ((local, "_COPIED"), (local, "_BLOCK"), (local, "_TURNED"), (copying, "_PART")):
            patch.setattr(place, size, 1 << 14)
        patch.setattr(copying, "_SMALL", 100)
        assert output_of(made, source, tmp_path / "crumbs", name, max_memory=1 << 18) == wanted
    monkeypatch.delattr(os, "copy_file_range", raising=False)
    assert output_of(made, source, tmp_path / "by hand", name) == wanted


RUN = """\
import os, sys
if sys.argv[1] == "one core":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from ckptlint.commands.migrate import Request, migrate
migrate(Request(sys.argv[2], [sys.argv[3]], sys.argv[4]))
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes choose no cores here")
def test_neither_cores_nor_threads_show(made, tmp_path):
    found = []
    for cores, threads in (("one core", "1"), ("all cores", "1"), ("all cores", "4")):
        output = tmp_path / f"{cores} {threads}" / "new.pt"
        output.parent.mkdir()
        command = [sys.executable, "-c", RUN, cores, str(made / "source.pt"), str(made / "m.yaml"), str(output)]
        threads_of = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), threads)
        subprocess.run(command, check=True, env={**os.environ, **threads_of, "PYTHONPATH": str(ROOT)})
        found.append(output.read_bytes())
    assert found[1:] == found[:1] * 2


@pytest.mark.parametrize("name", OUTPUTS[2:])
def test_going_on_does_not_show(name, made, tmp_path):
    wanted = output_of(made, "source.pt", tmp_path / "usual", name)
    finished = set()  # how many shards runs had finished
    for stop in itertools.count(20, 30):
        folder = tmp_path / "stopped"
        folder.mkdir()
        dies_at(stop, lambda: migrate(request(made, "source.pt", folder / name)))  # noqa: B023  called at once
        if (folder / name).exists():
            break  # the index is the last of all
        lists = [Path(left) / ".finished" for left in leftovers(str(folder / name))]
        finished |= {each.read_text().count("\n") - 1 for each in lists if each.exists()}
        migrate(request(made, "source.pt", folder / name, resume=True, max_memory=1 << 20))
        assert written(folder) == wanted
        shutil.rmtree(folder)
    assert len(finished) > 2
