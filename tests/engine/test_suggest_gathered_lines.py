"""What is done alike to tensors that differ in one word is one rewrite, and no other is touched."""

from __future__ import annotations

import pytest

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


def test_more_words_than_a_pattern_may_have_are_several():
    sizes = {f"enc/Conv_{i:04}{'x' * 40}/kernel": (3, 3, i + 1, 2) for i in range(100)}
    turned = {f"enc.{key.split('/')[1]}.weight": (2, shape[2], 3, 3) for key, shape in sizes.items()}
    text = written(sizes, turned)
    assert 2 <= text.count("rearrange") <= 4


@pytest.mark.parametrize("key", ["m.qk\noptimizer: reset\n# v.weight", "k\roptimizer: reset\u2028#"])
@pytest.mark.parametrize("fits", [True, False])
def test_a_key_of_several_lines_stays_within_its_comment(key, fits):
    old, new = {**PLAIN, key: (4, 4)}, {**PLAIN, "other": (4, 4) if fits else (7, 9)}
    sides = [Schema({key: TensorSpec(ANY, shape) for key, shape in side.items()}) for side in (old, new)]
    text = migration_yaml(suggest(*sides, Synonyms(), SuggestOptions()), *sides)
    text.encode()
    assert read_migration(text, "m.yaml").optimizer == read_migration("ckptlint: 1\nrewrites: []\n", "m").optimizer


def test_a_fused_key_of_several_lines_stays_within_its_comment():
    old = {f"{name}_proj\noptimizer: reset\n#.weight": (8, 8) for name in "qkv"}
    text = written(PLAIN | old, PLAIN | {"qkv_proj\noptimizer: reset\n#.weight": (24, 8)})
    assert "\noptimizer" not in text
