"""Import every conversion mapping of transformers, and rules of torch-state-bridge, and compare each key with what those make of it.

    pip install --no-deps --target /tmp/peers transformers torch-state-bridge
    pip install --target /tmp/peers huggingface_hub tokenizers regex tqdm packaging typer filelock requests
    PYTHONPATH=/tmp/peers python benchmarks/importers.py --layouts ../shared/corpora/layouts

The keys are those of one side of a layout, drawn for each mapping. Needs torch, for transformers does.
"""

from __future__ import annotations

import argparse
import copy
import gzip
import json
import random
import sys
from pathlib import Path

from ckptlint.core.schema import Schema
from ckptlint.documents.foreign import read_foreign
from ckptlint.engine.adopting.adopt import adopt
from ckptlint.errors import CkptlintError

RULES = """
layers.{n}, blocks.{(n + 1)}
encoder.{a}.{b}, stages.{(a * 4 + b)}
attn, attention
{n}.weight, {n}.w
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--layouts", type=Path, required=True, help="Folder of layouts, NAME.json.gz.")
    given = parser.parse_args()
    keys = list(_key_sets(given.layouts))
    counts = [_transformers(keys), _bridge(keys[::10])]
    for name, mappings, unread, compared, changed, wrong in counts:
        print(
            f"{name:20} mappings {mappings:4}  not stated outright {unread:3}  keys {compared:9,}  changed {changed:8,}  other {wrong}"
        )
    return 1 if any(count[-1] for count in counts) else 0


def _key_sets(folder: Path) -> list[list[str]]:
    found = []
    for path in sorted(folder.glob("*.json.gz")):
        layout = json.loads(gzip.decompress(path.read_bytes()))
        found += [list(layout[side]) for side in ("source", "target") if layout.get(side)]
    return found


def _compared(keys: list[str], mapping: object, original: object) -> tuple[int, int, int]:
    """How many keys, how many of them changed by the original, and how many are another key with us."""
    schema = Schema.of(*(f"{key}: f32[1]" for key in keys))
    ours = {
        source: edge.targets[0]
        for edge in adopt(schema, mapping).suggestion.edges()
        for source in edge.sources
        if len(edge.targets) == 1
    }
    theirs = {key: original(key) for key in keys}
    wrong = [key for key in ours if ours[key] != theirs[key]]
    for key in wrong[:3]:
        print(f"  {key}: {theirs[key]}, here {ours[key]}")
    return len(keys), sum(new != key for key, new in theirs.items()), len(wrong)


def _transformers(every: list[list[str]]) -> tuple[str, int, int, int, int, int]:
    from transformers import conversion_mapping
    from transformers.core_model_loading import WeightConverter, WeightRenaming, dot_natural_key, rename_source_key

    path = conversion_mapping.__file__
    text = Path(path).read_bytes()
    mappings = conversion_mapping._build_checkpoint_conversion_mapping()  # noqa: SLF001
    unread, totals = 0, [0, 0, 0]
    for name, transforms in mappings.items():
        try:
            mapping = read_foreign(text, path, name, None, {})
        except CkptlintError as fault:
            unread += 1
            print(f"  {fault}")
            continue
        for keys in random.Random(name).sample(every, 1):
            renamings = copy.deepcopy([each for each in transforms if isinstance(each, WeightRenaming)])
            converters = copy.deepcopy([each for each in transforms if isinstance(each, WeightConverter)])
            ordered = sorted(keys, key=dot_natural_key)
            counted = _compared(
                ordered, mapping, lambda key, a=renamings, b=converters: rename_source_key(key, a, b)[0]
            )
            totals = [total + count for total, count in zip(totals, counted, strict=True)]
    return ("transformers", len(mappings), unread, *totals)


def _bridge(every: list[list[str]]) -> tuple[str, int, int, int, int, int]:
    from torch_state_bridge import parse_rules

    mapping = read_foreign(RULES.encode(), "rules.txt", None, None, {})
    engine = parse_rules(RULES)
    totals = [0, 0, 0]
    for keys in every:
        counted = _compared(keys, mapping, engine.apply)
        totals = [total + count for total, count in zip(totals, counted, strict=True)]
    return ("torch-state-bridge", 1, 0, *totals)


if __name__ == "__main__":
    sys.exit(main())
