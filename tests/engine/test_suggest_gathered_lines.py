"""What is done alike to tensors that differ in one word is one rewrite, and no other is touched."""

from __future__ import annotations

from ckptlint.core.dtype import ANY
from ckptlint.core.schema import Schema
from ckptlint.core.spec import TensorSpec
from ckptlint.documents.migrations import read_migration
from ckptlint.documents.suggested import migration_yaml
from ckptlint.engine.prove import prove
from ckptlint.engine.suggest.names import Synonyms
from ckptlint.engine.suggest.suggest import SuggestOptions, suggest

PLAIN = {"embed.weight": (50, 8), "norm.weight": (8,), "norm.bias": (8,)}


def written(old, new):
    sides = [Schema({key: TensorSpec(ANY, shape) for key, shape in side.items()}) for side in (old, new)]
    text = migration_yaml(suggest(*sides, Synonyms(), SuggestOptions()), *sides)
    assert not prove(read_migration(text, "m.yaml"), *sides).failed
    return text


def test_transposed_siblings_are_one_rewrite():
    shapes = {
        f"h.{i}.mlp.{name}.weight": shape for i in range(2) for name, shape in (("up", (8, 32)), ("down", (5, 8)))
    }
    text = written(PLAIN | shapes, PLAIN | {key: shape[::-1] for key, shape in shapes.items()})
    assert text.count("rearrange") == 1
    assert "h.{i:int}.mlp.{t:one(up|down)}.weight" in text


def test_what_else_is_beside_them_is_not_taken():
    shapes = {
        f"h.{i}.mlp.{name}.weight": shape for i in range(2) for name, shape in (("up", (8, 32)), ("down", (5, 8)))
    }
    kept = {f"h.{i}.mlp.mid.weight": (7, 9) for i in range(2)}
    text = written(PLAIN | kept | shapes, PLAIN | kept | {key: shape[::-1] for key, shape in shapes.items()})
    assert "{t:one(up|down)}" in text


def test_one_that_is_renamed_besides_is_a_rewrite_of_its_own():
    old = {"h.up.weight": (8, 32), "h.down.weight": (5, 8)}
    text = written(PLAIN | old, PLAIN | {"h.up_proj.weight": (32, 8), "h.down.weight": (8, 5)})
    assert text.count("rearrange") == 2
