"""Seconds and memory of `ckptlint suggest` on mixtures of experts of about 6,000 and 50,000 keys, all renamed.

python benchmarks/suggest_speed.py
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from suggest import proves, schema

from ckptlint.core.schema import Schema
from ckptlint.documents.evidence import shipped_synonyms
from ckptlint.engine.suggest.suggest import SuggestOptions, suggest

SIZES = ((60, 31), (80, 207))  # layers, experts
OLD = ("model.", "self_attn", "mlp", "norm")
NEW = ("", "attention", "ffn", "ln")


def main() -> int:
    for layers, experts in SIZES:
        old, new = model(layers, experts, *OLD), model(layers, experts, *NEW)
        start = time.process_time()
        found = suggest(old, new, shipped_synonyms(), SuggestOptions())
        suggested = time.process_time() - start
        proved = proves(found, old, new)
        total = time.process_time() - start
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(
            f"{len(old.tensors)} keys: {suggested:.2f} s, written and proved ({proved}) after {total:.2f} s, {memory} MB"
        )
    return 0


def model(layers: int, experts: int, prefix: str, attention: str, mlp: str, norm: str) -> Schema:
    keys = {f"{prefix}embed_tokens.weight": [32000, 4096]}
    for layer in range(layers):
        block = f"{prefix}layers.{layer}"
        keys |= {f"{block}.{attention}.{part}_proj.weight": [4096, 4096] for part in "qkvo"}
        keys |= {f"{block}.{norm}_{number}.weight": [4096] for number in (1, 2)}
        for expert in range(experts):
            for part in ("gate", "up"):
                keys[f"{block}.{mlp}.experts.{expert}.{part}_proj.weight"] = [14336, 4096]
            keys[f"{block}.{mlp}.experts.{expert}.down_proj.weight"] = [4096, 14336]
    return schema(keys)


if __name__ == "__main__":
    raise SystemExit(main())
