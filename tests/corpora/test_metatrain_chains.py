"""The chains in `examples/metatrain` make of every checkpoint what its authors' own upgrade functions make of it."""

import gzip
import json
import os
from pathlib import Path

import pytest

from ckptlint.commands.migrate import Request, migrate
from ckptlint.engine.tree_notation import tree_notation
from ckptlint.errors import PlanError
from ckptlint.formats import open_checkpoint
from ckptlint.formats.tensor_bytes import tensor_digest

REPO = Path(__file__).parents[2]
CHAINS = REPO / "examples" / "metatrain"
CORPUS = Path(os.environ.get("CKPTLINT_CORPORA", REPO / "../shared/corpora")) / "metatrain"
TRUTHS = sorted([*CORPUS.glob("pet*.truth.json.gz"), *CORPUS.glob("soap_bpnn*.truth.json.gz")])
pytestmark = pytest.mark.skipif(not TRUTHS, reason=f"the corpus is not at {CORPUS}")


def snapshot(path):
    checkpoint = open_checkpoint(path)
    tree = tree_notation(checkpoint.root, lambda tensor: tensor_digest(checkpoint, tensor))
    checkpoint.close()
    return tree


def in_our_notation(entry):
    return {"value": {"float": entry["value"]}} if entry.get("value") in ("inf", "-inf", "nan") else entry


def migrated(path, chain, output):
    migrate(Request(str(path), (), str(output), chain=str(CHAINS / chain), allow_python=True))
    return snapshot(output if output.exists() else path)


@pytest.fixture
def functions(monkeypatch):
    monkeypatch.syspath_prepend(str(CHAINS))
    pytest.importorskip("numpy")


@pytest.mark.parametrize("truth", TRUTHS, ids=lambda path: path.name.removesuffix(".ckpt.truth.json.gz"))
@pytest.mark.parametrize("kind", ["model", "trainer"])
def test_the_chain_makes_what_the_authors_make(truth, kind, tmp_path, functions):
    said = json.loads(gzip.decompress(truth.read_bytes()))
    path = Path(str(truth).replace(".truth.json.gz", ".gz"))
    chain = f"{said['architecture']}_{kind}"
    if f"{kind}_error" in said:
        with pytest.raises(PlanError, match=r"needs metatrain 2025\.10 or earlier"):
            migrated(path, chain, tmp_path / "new.ckpt")
        return
    tree = migrated(path, chain, tmp_path / "new.ckpt")
    assert tree == {place: in_our_notation(entry) for place, entry in said[f"{kind}_after"].items()}
