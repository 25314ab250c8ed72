"""What a migration takes of memory is what a dry run says: of one huge tensor, of very many small ones, and of many that are compared."""

import json
import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from arrays import KIT
from cli import ROOT

from ckptlint.commands.migrate import Request, migrate
from ckptlint.core.dtype import DType
from ckptlint.core.plan import Plan, Step
from ckptlint.core.schema import Schema
from ckptlint.core.spec import TensorSpec
from ckptlint.errors import UsageError
from ckptlint.formats import open_checkpoint
from ckptlint.ops.cast import Cast
from ckptlint.runners.local import LocalRunner

MB, GB = 10**6, 10**9
TURN = '- {from: embedding, to: embedding, ops: [rearrange: "a b -> b a"]}\n'
CAST = "- {from: embedding, to: embedding, ops: [cast: bf16]}\n"
MERGE = "- {from: [embedding, down, up], to: embedding, ops: [merge_lora: {alpha: 8}]}\n"
SORT = '- {from: embedding, to: embedding, ops: [{rearrange: "a (b c) -> (b a) c", b: 2}, {rearrange: "a b -> b a"}]}\n'


def sparse(path, tensors):
    """A safetensors file of zeros that takes no room on the disk; f32 tensors by their shapes."""
    header, end = {}, 0
    for key, shape in tensors.items():
        start, end = end, end + 4 * int(np.prod(shape))
        header[key] = {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    os.truncate(path, 8 + len(text) + end)
    return path


def migration(folder, rewrites):
    path = folder / "m.yaml"
    path.write_text(f"ckptlint: 1\nsummary: x\nrest: keep\nrewrites:\n{rewrites}")
    return path


@pytest.mark.parametrize(
    ("change", "most"), [(TURN, 1.1 * GB), (CAST, 0.2 * GB), (SORT, 3.2 * GB)], ids=["turn", "cast", "twice"]
)
def test_a_large_embedding_is_not_refused_where_there_is_memory(change, most, tmp_path, monkeypatch):
    source = sparse(tmp_path / "m.safetensors", {"embedding": [128_000, 4096]})
    files = [str(migration(tmp_path, change))]
    monkeypatch.setattr("ckptlint.commands.migrate.usual_memory", lambda: 16 * GB)
    assert (migrate(Request(str(source), files, dry_run=True)).memory or 0) <= most


def test_what_works_on_whole_tensors_is_refused_before_anything_is_written(tmp_path):
    source = sparse(tmp_path / "m.safetensors", {"embedding": [8192, 8192], "down": [4, 8192], "up": [8192, 4]})
    files = [str(migration(tmp_path, MERGE))]
    needed = migrate(Request(str(source), files, dry_run=True, max_memory=64 * GB)).memory
    assert needed > 8192 * 8192 * 4
    for dry in (True, False):
        with pytest.raises(UsageError, match=f"needs {needed:,} bytes of memory") as caught:
            migrate(Request(str(source), files, str(tmp_path / "new.safetensors"), dry_run=dry, max_memory=100 * MB))
        assert caught.value.hint.startswith(f"--max-memory {-(-needed // MB)}M")
    assert sorted(os.listdir(tmp_path)) == ["m.safetensors", "m.yaml"]


PEAK = """\
import resource, sys
from ckptlint.commands.migrate import Request, migrate
import numpy
said = migrate(Request(sys.argv[1], [sys.argv[2]], dry_run=True)).memory
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
migrate(Request(sys.argv[1], [sys.argv[2]], sys.argv[3]))
print(said, 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts what Linux counts")
@pytest.mark.parametrize("change", [TURN, CAST], ids=["turn", "cast"])
def test_one_huge_tensor_takes_what_was_said(change, tmp_path):
    source = sparse(tmp_path / "m.safetensors", {"embedding": [16_384, 4096]})
    files = [str(source), str(migration(tmp_path, change)), str(tmp_path / "new.safetensors")]
    command = [sys.executable, "-c", PEAK, *files]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    said, taken = map(int, done.stdout.split())
    assert taken <= said + 16 * MB  # modules that are imported to write, threads
    assert said <= 3 * 16_384 * 4096 * 4 + 150 * MB


def test_many_small_tensors_take_what_one_takes(tmp_path):
    count = 50_000
    checkpoint = open_checkpoint(sparse(tmp_path / "m.safetensors", {f"t{n}": [4] for n in range(count)}))
    tensors = checkpoint.sections[0].tensors
    cast = Cast(DType.parse("bf16"))
    old, new = TensorSpec.parse("f32[4]"), TensorSpec.parse("bf16[4]")
    plan = Plan(
        Schema(dict.fromkeys(tensors, old)),
        Schema(dict.fromkeys(tensors, new)),
        (*[old] * count, *[new] * count),
        tuple(Step(cast, (n,), (count + n,)) for n in range(count)),
        {key: n for n, key in enumerate(tensors)},
        {key: count + n for n, key in enumerate(tensors)},
        (),
    )
    runner = LocalRunner(plan, tensors, checkpoint, KIT)
    said = runner.peak_bytes()
    assert most_held(runner, list(plan.outputs.values())[:1000]) <= said + (256 << 10)
    checkpoint.close()


def most_held(runner, numbers):
    tracemalloc.start()
    try:
        for number in numbers:
            for piece in runner.pieces(number):
                del piece
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_many_that_are_compared_are_never_together(tmp_path):
    names = [f"t{n}" for n in range(40)]
    checkpoint = open_checkpoint(sparse(tmp_path / "m.safetensors", {name: [256, 1024] for name in names}))
    spec = TensorSpec.parse("f32[256,1024]")
    schema = Schema(dict.fromkeys(names, spec))
    numbers = {name: n for n, name in enumerate(names)}
    plan = Plan(schema, schema, (spec,) * 40, (), numbers, {"t0": 0}, (), tuple((0, n) for n in range(1, 40)))
    runner = LocalRunner(plan, checkpoint.sections[0].tensors, checkpoint, KIT)
    said = runner.peak_bytes()
    tracemalloc.start()
    try:
        runner.check_equal()
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    checkpoint.close()
    assert most <= said + (256 << 10)
    assert most < 3 * spec.nbytes
