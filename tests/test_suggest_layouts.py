"""Suggestions for published conversions of `benchmarks/layouts`: nothing wrong, and what is complete migrates to the target's schema."""

import gzip
import json
from pathlib import Path

import pytest
from cli import ckptlint

from ckptlint.core.dtype import ANY
from ckptlint.core.schema import Schema
from ckptlint.core.spec import TensorSpec
from ckptlint.documents.evidence import shipped_synonyms
from ckptlint.engine.suggest.suggest import SuggestOptions, suggest

LAYOUTS = sorted((Path(__file__).parent.parent / "benchmarks" / "layouts").glob("*.json.gz"))


def layout(path):
    return json.loads(gzip.decompress(path.read_bytes()))


def schema(shapes):
    return Schema({key: TensorSpec(ANY, tuple(shape)) for key, shape in shapes.items()})


@pytest.mark.parametrize("path", LAYOUTS, ids=lambda path: path.name.partition(".")[0])
def test_every_edge_is_right(path):
    known = layout(path)
    truth = {target: sorted(edge["sources"]) for edge in known["truth"] for target in edge["targets"]}
    found = suggest(schema(known["source"]), schema(known["target"]), shipped_synonyms(), SuggestOptions())
    made = {target: sorted(edge.sources) for edge in found.edges() for target in edge.targets}
    assert made == {target: truth[target] for target in made}
    assert len(made) >= 0.7 * len(truth)


@pytest.mark.parametrize("name", ["megatron-gpt2-to-hf", "microsoft-phi-to-hf"])
def test_what_was_suggested_migrates_a_file(name, tmp_path):
    np = pytest.importorskip("numpy")
    safetensors = pytest.importorskip("safetensors.numpy")
    known = layout(next(path for path in LAYOUTS if path.name == f"{name}.json.gz"))
    random = np.random.default_rng(0)
    arrays = {key: random.standard_normal(shape, dtype=np.float32) for key, shape in known["source"].items()}
    safetensors.save_file(arrays, tmp_path / "old.safetensors")
    (tmp_path / "new.json").write_text(json.dumps(known["target"]))
    ckptlint(tmp_path, "suggest", "old.safetensors", "new.json", "-o", "m.yaml")
    ckptlint(tmp_path, "migrate", "old.safetensors", "-m", "m.yaml", "-o", "new.safetensors")
    made = safetensors.load_file(tmp_path / "new.safetensors")
    assert {key: list(array.shape) for key, array in made.items()} == known["target"]
