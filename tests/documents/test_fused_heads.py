"""Of fused attention it is said that the heads may lie otherwise, with the operation for that, which is a migration once it is taken."""

from __future__ import annotations

import pytest

from ckptlint.core.dtype import DType
from ckptlint.core.schema import Schema
from ckptlint.core.spec import TensorSpec
from ckptlint.documents.migrations import read_migration
from ckptlint.documents.suggested import migration_yaml
from ckptlint.engine.prove import prove
from ckptlint.engine.suggest.names import Synonyms
from ckptlint.engine.suggest.suggest import SuggestOptions, suggest

PARTS = {f"h.{i}.attn.{part}_proj.weight": (8, 8) for i in range(2) for part in "qkv"}
WHOLE = {f"h.{i}.attn.qkv_proj.weight": (24, 8) for i in range(2)}
BESIDE = {"embed.weight": (50, 8)}


def schema(shapes):
    return Schema({key: TensorSpec(DType.parse("f32"), shape) for key, shape in shapes.items()})


@pytest.mark.parametrize(("old", "new"), [(PARTS, WHOLE), (WHOLE, PARTS)], ids=["joined", "split"])
def test_the_other_order_of_heads_is_offered_and_proves(old, new):
    sides = schema(BESIDE | old), schema(BESIDE | new)
    text = migration_yaml(suggest(*sides, Synonyms(joined=(("q", "k", "v"),)), SuggestOptions()), *sides)
    assert "head by head" in text
    offered = text[text.index("- {rearrange") :].splitlines()[0].replace("HEADS", "2")
    place = "    ops:\n" if old is WHOLE else "      - concat: {dim: 0}\n"
    assert not prove(read_migration(text.replace(place, f"{place}      {offered}\n"), "m.yaml"), *sides).failed


def test_of_other_fusions_nothing_is_said():
    old = {f"h.{i}.mlp.{part}_proj.weight": (8, 8) for i in range(2) for part in ("gate", "up")}
    new = {f"h.{i}.mlp.gate_up_proj.weight": (16, 8) for i in range(2)}
    sides = schema(BESIDE | old), schema(BESIDE | new)
    assert "head by head" not in migration_yaml(
        suggest(*sides, Synonyms(joined=(("gate", "up"),)), SuggestOptions()), *sides
    )
