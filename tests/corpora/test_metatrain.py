"""Every checkpoint of the metatrain corpus is read, without torch or metatrain, into the tree its authors' tools see."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ckptlint.engine.tree_notation import tree_notation
from ckptlint.formats import open_checkpoint
from ckptlint.formats.tensor_bytes import tensor_digest

REPO = Path(__file__).parents[2]
CORPUS = Path(os.environ.get("CKPTLINT_CORPORA", REPO / "../shared/corpora")) / "metatrain"
FILES = sorted(CORPUS.glob("*.ckpt.gz"))
pytestmark = pytest.mark.skipif(not FILES, reason=f"the corpus is not at {CORPUS}")


def snapshot(path: Path) -> dict:
    checkpoint = open_checkpoint(path)
    tree = tree_notation(checkpoint.root, lambda tensor: tensor_digest(checkpoint, tensor))
    checkpoint.close()
    return tree


def in_our_notation(entry: dict) -> dict:
    """The corpus writes a float that JSON does not have as a plain text."""
    return {"value": {"float": entry["value"]}} if entry.get("value") in ("inf", "-inf", "nan") else entry


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.removesuffix(".ckpt.gz"))
def test_the_tree_is_the_one_that_the_authors_see(path):
    truth = Path(str(path).replace(".ckpt.gz", ".ckpt.truth.json.gz"))
    tree = snapshot(path)
    if not truth.exists():
        assert any("tensor" in entry for entry in tree.values())
        return
    before = json.loads(gzip.decompress(truth.read_bytes()))["before"]
    expected = {place: in_our_notation(entry) for place, entry in before.items()}
    assert json.dumps(tree) == json.dumps(expected)  # as text: the order of the keys too, and true is not 1


@pytest.mark.parametrize("path", FILES[:1], ids=["all"])
def test_every_file_has_weights_and_nothing_is_imported_for_it(path):
    program = f"""
import sys
from pathlib import Path
from ckptlint.formats import open_checkpoint
files = sorted(Path({str(CORPUS)!r}).glob("*.ckpt.gz"))
for file in files:
    checkpoint = open_checkpoint(file)
    assert "/model_state_dict" in [s.path for s in checkpoint.sections if s.kind == "weights"], file
    checkpoint.close()
print(len(files), sorted({{"torch", "numpy", "metatrain", "metatensor", "yaml", "rich"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=REPO, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == (f"{len(FILES)} []\n", "")
