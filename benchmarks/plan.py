"""How long a plan takes and how large it gets, as keys grow: 100 rewrites of every form over 5,000, 50,000 and 200,000 keys.

python benchmarks/plan.py [--keys 5000 50000 200000] [--rewrites 100] [--rounds 3]

`plan` is the library's own call in a process that has read the migration and the schema: CPU seconds of that call, and the peak memory of
the process. `prove` is the command, from its start to its report: the schema is the header of a safetensors file (its data is a hole).
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from lint import write_safetensors
from measure import ENVIRONMENT, Contender, interleaved

Keys = dict[str, list[int]]
_LEAVES: Keys = {
    "attn.qkv.weight": [192, 64],
    "attn.proj.weight": [64, 64],
    "norm.gamma": [64],
    "norm.beta": [64],
    "mlp.gate.weight": [256, 64],
    "mlp.up.weight": [256, 64],
    "mlp.down.weight": [64, 256],
    "experts.0.w": [32, 64],
    "experts.1.w": [32, 64],
    "rope.inv_freq": [32],
}
_FORMS = """\
  - from: {tower}.{{i:int}}.attn.qkv.weight
    to: ["{new}.{{i}}.q.weight", "{new}.{{i}}.k.weight", "{new}.{{i}}.v.weight"]
    ops: [split: {{dim: 0, parts: 3}}]
  - rename: {{"{tower}.{{i:int}}.norm.gamma": "{new}.{{i}}.norm.weight", "{tower}.{{i:int}}.norm.beta": "{new}.{{i}}.norm.bias"}}
  - from: ["{tower}.{{i:int}}.mlp.gate.weight", "{tower}.{{i:int}}.mlp.up.weight"]
    to: "{new}.{{i}}.gate_up.weight"
    ops: [concat: {{dim: 0, sizes: [256, 256]}}]
  - from: "{tower}.{{i:int}}.attn.proj.weight"
    to: "{new}.{{i}}.o.weight"
    ops: [rearrange: o i -> i o]
  - {{from: "{tower}.{{i:int}}.experts.{{e:int}}.w", to: "{new}.{{i}}.experts", over: e, ops: [stack: {{over: e, dim: 0}}]}}
"""
_PLAN = """
import resource, sys, time
from pathlib import Path
from ckptlint.commands import sources
from ckptlint.engine.planner import make_plan

migration, schema = sources.migration(sys.argv[1]), sources.schema(sys.argv[2], sources.Building())
start = time.process_time()
plan = make_plan(schema, migration)
print(time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, len(plan.steps), len(plan.outputs))
"""


def keys(count: int, towers: int) -> Keys:
    """`count` tensors in towers of equal layers."""
    leaves = list(_LEAVES.items())
    found: Keys = {}
    for number in range(count):
        layer, leaf = divmod(number, len(leaves))
        found[f"t{layer % towers}.{layer // towers}.{leaves[leaf][0]}"] = leaves[leaf][1]
    return found


def migration(rewrites: int) -> str:
    """Rewrites of five forms for each tower, and one that drops."""
    towers = rewrites // 5
    body = "".join(_FORMS.format(tower=f"t{n}", new=f"tower{n}") for n in range(towers))
    return f'ckptlint: 1\nsummary: many rewrites\nrewrites:\n{body}  - drop: {{keys: "**.inv_freq", reason: computed}}\nrest: keep\n'


def planned(file: Path, checkpoint: Path) -> tuple[float, ...]:
    """CPU seconds of the call, peak MB of its process, steps and keys of the plan."""
    command = [sys.executable, "-c", _PLAN, str(file), str(checkpoint)]
    said = subprocess.run(command, check=True, capture_output=True, text=True, env=ENVIRONMENT).stdout
    return tuple(map(float, said.split()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, nargs="+", default=[5_000, 50_000, 200_000])
    parser.add_argument("--rewrites", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    print(f"### Planning, {given.rewrites} rewrites\n")
    print("| keys | steps | plan, CPU seconds | µs a key | MB | prove, CPU seconds | MB |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "migration.yaml"
        file.write_text(migration(given.rewrites), encoding="utf-8")
        for count in given.keys:
            checkpoint = write_safetensors(Path(folder) / f"{count}.safetensors", keys(count, given.rewrites // 5))
            plans = [planned(file, checkpoint) for _ in range(given.rounds)]
            seconds, memory, steps, _ = (statistics.median(column) for column in zip(*plans, strict=True))
            prove = [sys.executable, "-m", "ckptlint", "prove", str(file), "--source", str(checkpoint)]
            (runs,) = interleaved([Contender("prove", prove)], given.rounds, warm=0).values()
            proved = statistics.median(run.processor for run in runs)
            peak = statistics.median(run.megabytes for run in runs)
            print(
                f"| {count:,} | {steps:,.0f} | {seconds:.2f} | {seconds / count * 1e6:.1f} | {memory:.0f} "
                f"| {proved:.2f} | {peak:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
