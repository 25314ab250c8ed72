"""No wrong cause is claimed of layouts that people really published: a file that fits has none, and a rename is no damage."""

import gzip
import json
import os
from pathlib import Path

import pytest

from ckptlint.core.dtype import ANY
from ckptlint.core.schema import Schema
from ckptlint.core.spec import TensorSpec
from ckptlint.documents.rules import load_rules
from ckptlint.engine.lint import lint

ROOT = Path(__file__).parent.parent.parent
FOLDER = Path(os.environ.get("CKPTLINT_CORPORA") or ROOT.parent / "shared" / "corpora") / "layouts"
FILES = sorted(FOLDER.glob("*.json.gz"))
LARGEST = 3000  # keys of a side; a few layouts of experts are far larger and say nothing new
NEVER = {
    "unmerged-adapter",
    "quantized",
    "flat-parameter",
    "placeholder",
    "averaged-copies",
    "cut-keys",
    "doubled-keys",
}

pytestmark = pytest.mark.skipif(not FILES, reason=f"there are no layouts at {FOLDER}")


def schema(shapes):
    return Schema({key: TensorSpec(ANY, tuple(shape)) for key, shape in shapes.items()})


@pytest.fixture(scope="module")
def rules():
    return load_rules([])


@pytest.mark.parametrize("path", FILES[::3], ids=lambda path: path.name.removesuffix(".json.gz"))
def test_what_is_said_of_a_layout_is_not_wrong(path, rules):
    pair = json.loads(gzip.decompress(path.read_bytes()))
    source, target = schema(pair["source"]), schema(pair["target"])
    if max(len(source.tensors), len(target.tensors)) > LARGEST:
        pytest.skip("a large layout")
    same = lint(target, target, rules)
    assert same.findings == ()
    assert same.headline == ""
    said = lint(source, target, rules)
    assert NEVER.isdisjoint(finding.slug for finding in said.findings)
