"""A source with some of the layers: those whose numbers leave a gap are known by them, the first of more are not; values decide."""

from __future__ import annotations

import pytest

from ckptlint.core.dtype import ANY
from ckptlint.core.schema import Schema
from ckptlint.core.spec import TensorSpec
from ckptlint.engine.suggest.names import Synonyms
from ckptlint.engine.suggest.suggest import SuggestOptions, suggest

BLOCK = {"norm.weight": (8,), "attn.weight": (8, 8), "up.weight": (32, 8), "up.bias": (32,), "down.weight": (8, 32)}
TARGET = {"embed.weight": (50, 8), **{f"layers.{i}.{key}": shape for i in range(6) for key, shape in BLOCK.items()}}


def schema(shapes):
    return Schema({key: TensorSpec(ANY, shape) for key, shape in shapes.items()})


def having(layers):
    inside = {f"model.h.{i}.{key}": shape for i in layers for key, shape in BLOCK.items()}
    return {"model.embed.weight": (50, 8), **inside}


def edges(found):
    return {edge.targets[0]: edge.sources[0] for edge in found.edges() if edge.sources}


@pytest.mark.parametrize("layers", [[3, 4, 5], [0, 2, 5], [2, 3]])
def test_numbers_with_a_gap_are_names(layers):
    found = suggest(schema(having(layers)), schema(TARGET), Synonyms(), SuggestOptions())
    wanted = {f"layers.{i}.{key}": f"model.h.{i}.{key}" for i in layers for key in BLOCK}
    assert edges(found) == {"embed.weight": "model.embed.weight", **wanted}
    missing = {f"layers.{i}.{key}" for i in range(6) if i not in layers for key in BLOCK}
    assert {key for family in found.open_targets for key in family.keys} == missing
    assert not found.open_sources


@pytest.mark.parametrize("layers", [[0, 1, 2], [0], [1, 2], [1, 2, 3, 4, 5]])
def test_the_first_of_more_layers_are_not_known(layers):
    found = suggest(schema(having(layers)), schema(TARGET), Synonyms(), SuggestOptions())
    assert not {target for target in edges(found) if target.startswith("layers.")}
    assert found.open_sources


def test_values_say_which_layers_these_are():
    twins = {f"model.h.{i}.{key}": f"layers.{2 * i}.{key}" for i in range(3) for key in BLOCK}
    found = suggest(schema(having([0, 1, 2])), schema(TARGET), Synonyms(), SuggestOptions(twins=twins))
    assert {target: source for target, source in edges(found).items() if target != "embed.weight"} == {
        target: source for source, target in twins.items()
    }


def test_two_towers_of_one_content_are_left_open():
    two = {f"b.{key}": shape for key, shape in TARGET.items()} | {f"a.{key}": shape for key, shape in TARGET.items()}
    found = suggest(schema(having([3, 4, 5])), schema(two), Synonyms(), SuggestOptions())
    assert not edges(found)
