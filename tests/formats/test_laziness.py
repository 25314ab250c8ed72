"""Headers alone are read to inspect and lint, and little beside its own bytes for one tensor of many: counted, not timed."""

import io

import pytest
from formats.sources import Counted

from ckptlint.core.tree import Tensor
from ckptlint.engine.find_sections import find_sections
from ckptlint.engine.lint import LintOptions, lint
from ckptlint.engine.tree_notation import tree_notation
from ckptlint.formats import READERS
from ckptlint.formats.tensor_bytes import tensor_blocks
from ckptlint.formats.triage import recognise

torch = pytest.importorskip("torch")
save = pytest.importorskip("safetensors.torch").save

TENSORS, ELEMENTS = 1000, 16_384
STATE = {f"layers.{number}.weight": torch.zeros(ELEMENTS, dtype=torch.uint8) for number in range(TENSORS)}


def saved(**options):
    file = io.BytesIO()
    torch.save(STATE, file, **options)
    return file.getvalue()


FILES = {
    "torch-zip": saved,
    "torch-legacy": lambda: saved(_use_new_zipfile_serialization=False),
    "safetensors": lambda: save(STATE),
}
MOST = {"torch-zip": 0.025, "torch-legacy": 0.02, "safetensors": 0.007}  # of the file, whose tensors are small here


@pytest.mark.parametrize("kind", FILES)
def test_inspect_and_lint_read_the_header_alone_and_a_tensor_its_own_bytes(kind):
    content = FILES[kind]()
    source = Counted(content)
    checkpoint = READERS[recognise(source)](source)
    (section,) = find_sections(checkpoint.root)
    assert (checkpoint.format, len(section.tensors)) == (kind, TENSORS)
    header = source.taken
    assert header < len(content) * MOST[kind]
    assert len(tree_notation(checkpoint.root)) == TENSORS
    lint(section.schema(), section.schema(), (), LintOptions(kind))
    assert source.taken == header
    wanted = section.tensors["layers.500.weight"]
    assert isinstance(wanted, Tensor)
    assert sum(map(len, tensor_blocks(checkpoint, wanted))) == ELEMENTS
    assert source.taken - header == ELEMENTS
