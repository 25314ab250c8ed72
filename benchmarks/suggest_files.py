"""Score `ckptlint suggest` on files: with values, and by migrating random weights with what it wrote.

    python benchmarks/suggest_files.py [FOLDER] [--only NAME] [--elements N]

FOLDER is that of `benchmarks/suggest.py`; layouts of more elements than N (default 20 million) are left out. The source gets random
weights; the target those of the true renames, trained a little (each tensor has noise of a twentieth of its spread), and random others.
`values` says how many renamed keys are right, wrong and open then. `migrated` says whether the suggested YAML, where it is complete,
makes of the source a file of exactly the target's keys and shapes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

sys.path.insert(0, str(Path(__file__).parent))

from learn_names import read
from suggest import FOLDER, Layout, kind_of, scored

Arrays = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER)
    parser.add_argument("--only", default="")
    parser.add_argument("--elements", type=int, default=20_000_000)
    given = parser.parse_args()
    total: Counter[str] = Counter()
    complete = migrated = 0
    for layout in read(given.folder):
        size = sum(prod(shape) for side in ("source", "target") for shape in layout[side].values())
        if given.only not in layout["name"] or size > given.elements:
            continue
        with tempfile.TemporaryDirectory() as folder:
            counts, done, same = tried(layout, Path(folder))
        total.update(counts)
        complete, migrated = complete + done, migrated + same
        print(f"{layout['name']:60} {dict(counts)} {'migrated' if same else 'differs' if done else 'not complete'}")
    print(f"values: {dict(total)}; complete {complete}, of which migrated to the target's schema {migrated}")
    return 0 if not total["wrong"] and complete == migrated else 1


def tried(layout: Layout, folder: Path) -> tuple[Counter[str], bool, bool]:
    """Counts of renamed keys with values; whether the suggestion is complete; whether it migrates to the target's schema."""
    old, new = arrays(layout)
    save_file(old, folder / "old.safetensors")
    save_file(new, folder / "new.safetensors")
    found = said(folder, "suggest", "old.safetensors", "new.safetensors", "--format", "json", "-o", "m.yaml")
    made = {target: edge["sources"] for edge in found["edges"] for target in edge["targets"]}
    counts: Counter[str] = Counter()
    for edge in scored(layout):
        if kind_of(edge) in {"renamed", "kept"}:
            for target in edge["targets"]:
                sources = made.get(target)
                counts["open" if sources is None else "right" if sources == edge["sources"] else "wrong"] += 1
    if not found["complete"]:
        return counts, False, False
    run(folder, "migrate", "old.safetensors", "-m", "m.yaml", "-o", "out.safetensors")
    return counts, True, shapes(folder / "out.safetensors") == shapes(folder / "new.safetensors")


def arrays(layout: Layout) -> tuple[Arrays, Arrays]:
    random = np.random.default_rng(0)
    old, new = (
        {key: np.asarray(random.standard_normal(shape, dtype=np.float32)) for key, shape in layout[side].items()}
        for side in ("source", "target")
    )
    for edge in layout["truth"]:
        if len(edge["sources"]) == len(edge["targets"]) == 1 and edge["ops"] in ([], ["rename"]):
            source, target = edge["sources"][0], edge["targets"][0]
            if source in old and target in new and old[source].shape == new[target].shape:
                new[target] = np.asarray(old[source] + np.float32(0.05) * new[target])
    return old, new


def shapes(path: Path) -> dict[str, list[int]]:
    with safe_open(path, "numpy") as file:
        return {key: file.get_slice(key).get_shape() for key in sorted(file.keys())}


def said(folder: Path, *words: str) -> Any:
    return json.loads(run(folder, *words))


def run(folder: Path, *words: str) -> str:
    command: Iterable[str] = [sys.executable, "-m", "ckptlint", *words]
    root = str(Path(__file__).parent.parent)
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env={"PYTHONPATH": root}, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(done.stderr)
    return done.stdout


if __name__ == "__main__":
    raise SystemExit(main())
