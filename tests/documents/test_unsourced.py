"""A trained tensor that nothing becomes is no decision: its `new` is a comment, which proves once it is uncommented."""

from __future__ import annotations

from ckptlint.core.dtype import DType
from ckptlint.core.schema import Schema
from ckptlint.core.spec import TensorSpec
from ckptlint.documents.migrations import read_migration
from ckptlint.documents.suggested import migration_yaml
from ckptlint.engine.prove import prove
from ckptlint.engine.suggest.names import Synonyms
from ckptlint.engine.suggest.suggest import SuggestOptions, suggest

PLAIN = {"norm.weight": (8,), "embed.weight": (50, 8), "fc.weight": (32, 8), "out.weight": (8, 32)}


def schema(shapes):
    return Schema({key: TensorSpec(DType.parse("f32"), shape) for key, shape in shapes.items()})


def suggested(more, gone=()):
    old = schema({f"m.{key}": shape for key, shape in PLAIN.items()} | dict.fromkeys(gone, (3, 3)))
    new = schema(PLAIN | more)
    found = suggest(old, new, Synonyms(), SuggestOptions())
    return found, migration_yaml(found, old, new), lambda text: prove(read_migration(text, "m.yaml"), old, new)


def test_a_trained_tensor_without_a_source_is_proposed_and_not_made():
    found, text, proof = suggested({"norm.bias": (8,), "cls_token": (1, 1, 8), "top.norm.weight": (5,)})
    assert not found.complete
    assert [family.keys for family in found.unsourced] == [("norm.bias",), ("cls_token",), ("top.norm.weight",)]
    assert proof(text).failed
    assert not proof(text.replace("\n#   - new:", "\n  - new:")).failed
    assert '"norm.bias", shape: [8], dtype: f32, fill: zeros' in text
    assert '"top.norm.weight", shape: [5], dtype: f32, fill: ones' in text
    assert '"cls_token", shape: [1, 1, 8], dtype: f32, init: {from_model: true, seed: 0}' in text


def test_what_is_left_of_the_source_beside_it_is_dropped():
    found, text, proof = suggested({"norm.bias": (8,)}, gone=["old.table"])
    assert [family.keys for family in found.dropped] == [("old.table",)]
    assert not proof(text.replace("\n#   - new:", "\n  - new:")).failed


def test_a_count_that_starts_at_0_is_made():
    found, text, proof = suggested({"norm.num_batches_tracked": ()})
    assert found.complete
    assert not proof(text).failed
