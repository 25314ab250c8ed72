"""Suggestions on published conversions: what is decided is right, and what is solved migrates random weights to the target's schema."""

import gzip
import json
import os
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

REPO = Path(__file__).parents[2]
CORPUS = Path(os.environ.get("CKPTLINT_CORPORA", REPO / "../shared/corpora")) / "layouts"
FILES = sorted(CORPUS.glob("*.json.gz"))
pytestmark = pytest.mark.skipif(not FILES, reason=f"the corpus is not at {CORPUS}")
sys.path.insert(0, str(REPO / "benchmarks"))

_MOST_KEYS = 250  # of the layouts that are scored here; all of them are in benchmarks/suggest.py
_MOST_ELEMENTS = 100_000  # of those whose weights are migrated


def layouts():
    for path in FILES:
        layout = json.loads(gzip.decompress(path.read_bytes()))
        if max(len(layout["source"]), len(layout["target"])) <= _MOST_KEYS:
            yield layout


def elements(layout) -> int:
    return sum(int(np.prod(shape)) for shape in layout["source"].values())


def test_almost_all_is_right_and_nothing_wrong_on_families_that_the_data_does_not_know():
    import suggest as benchmark

    known = benchmark.Known([json.loads(gzip.decompress(path.read_bytes())) for path in FILES])
    runs = [benchmark.run(layout, known.synonyms(layout["family"])) for layout in layouts()]
    counts = Counter()
    for run in runs:
        counts.update(run.score.counts)
    total = Counter()
    for (kind, _), count in counts.items():
        total[kind] += count
    wrong = sum(count for (_, verdict), count in counts.items() if verdict == "wrong")
    assert wrong <= 0.001 * sum(total.values())
    assert counts["renamed", "right"] >= 0.97 * total["renamed"]
    assert counts["joined", "right"] >= 0.95 * total["joined"]
    assert sum(run.score.solved and run.proved for run in runs) >= 0.85 * len(runs)


@pytest.mark.parametrize(
    "layout", [each for each in layouts() if elements(each) <= _MOST_ELEMENTS], ids=lambda each: each["name"]
)
def test_what_is_solved_migrates_random_weights_to_the_schema_of_the_target(layout, tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    from cli import ckptlint

    random = np.random.default_rng(0)
    weights = {key: random.standard_normal(shape).astype(np.float32) for key, shape in layout["source"].items()}
    safetensors.save_file(weights, tmp_path / "old.safetensors")
    (tmp_path / "new.json").write_text(json.dumps(layout["target"]))
    arguments = ["old.safetensors", "new.json", "--format", "json", "-o", "migration.yaml"]
    if layout["trust"] == "forward-aligned":
        arguments.append("--no-order")
    found = json.loads(ckptlint(tmp_path, "suggest", *arguments, code=None).stdout)
    if not found["complete"]:
        assert found["abstained"]["sources"] or found["abstained"]["targets"]
        return
    ckptlint(tmp_path, "migrate", "old.safetensors", "-m", "migration.yaml", "-o", "new.safetensors")
    made = safetensors.load_file(tmp_path / "new.safetensors")
    assert {key: list(array.shape) for key, array in made.items()} == layout["target"]
    for edge in found["edges"]:
        if not edge["ops"]:
            np.testing.assert_array_equal(made[edge["targets"][0]], weights[edge["sources"][0]])
