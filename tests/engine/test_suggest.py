"""Laws of `suggest`: what it decides is right, and what nothing decides is left open."""

from __future__ import annotations

import pytest

from ckptlint.core.dtype import ANY
from ckptlint.core.schema import Schema
from ckptlint.core.spec import TensorSpec
from ckptlint.engine.suggest.names import Synonyms
from ckptlint.engine.suggest.suggest import SuggestOptions, suggest
from ckptlint.engine.suggest.suggestion import Suggestion

NOTHING_KNOWN = Synonyms(joined=(("q", "k", "v"), ("gate", "up")))


def found(old: Schema, new: Schema, **options) -> Suggestion:
    return suggest(old, new, NOTHING_KNOWN, SuggestOptions(**options))


def edges(suggestion: Suggestion) -> dict[str, tuple[str, ...]]:
    return {target: edge.sources for edge in suggestion.edges() for target in edge.targets}


def schema(shapes: dict[str, tuple[int, ...]]) -> Schema:
    return Schema({key: TensorSpec(ANY, shape) for key, shape in shapes.items()})


def block(prefix: str, width: int = 8) -> dict[str, tuple[int, ...]]:
    return {
        f"{prefix}.norm1.weight": (width,),
        f"{prefix}.norm1.bias": (width,),
        f"{prefix}.attn.q_proj.weight": (width, width),
        f"{prefix}.attn.k_proj.weight": (width, width),
        f"{prefix}.attn.v_proj.weight": (width, width),
        f"{prefix}.attn.out_proj.weight": (width, width),
        f"{prefix}.norm2.weight": (width,),
        f"{prefix}.norm2.bias": (width,),
        f"{prefix}.mlp.fc1.weight": (4 * width, width),
        f"{prefix}.mlp.fc2.weight": (width, 4 * width),
    }


def tower(prefix: str, layers: int = 3, width: int = 8) -> dict[str, tuple[int, ...]]:
    return {key: shape for layer in range(layers) for key, shape in block(f"{prefix}.{layer}", width).items()}


def renamed(shapes: dict[str, tuple[int, ...]], *pairs: tuple[str, str]) -> dict[str, tuple[int, ...]]:
    def name(key: str) -> str:
        for old, new in pairs:
            key = key.replace(old, new)
        return key

    return {name(key): shape for key, shape in shapes.items()}


def test_moved_and_renamed_blocks_are_found_whole():
    old = {"embed.weight": (50, 8), **tower("h"), "head.weight": (50, 8)}
    pairs = (("h.", "model.layers."), ("attn.", "self_attn."), ("norm", "layer_norm"), ("embed.", "model.embed."))
    new = {key.replace("model.layers.ead", "head"): shape for key, shape in renamed(old, *pairs).items()}
    new = {key.replace("model.layers.", "model.layers.", 1): shape for key, shape in new.items()}
    suggestion = found(schema(old), schema(new))
    assert suggestion.complete
    assert edges(suggestion) == {target: (source,) for source, target in zip(old, new, strict=True)}


def test_identical_towers_are_told_apart_by_name_alone_where_the_name_is_kept():
    old = {**tower("encoder_a"), **tower("encoder_b")}
    new = renamed(old, ("encoder_", "model.encoder_"))
    assert edges(found(schema(old), schema(new))) == {f"model.{key}": (key,) for key in old}


@pytest.mark.parametrize("use_order", [True, False])
def test_identical_towers_of_other_names_are_left_open(use_order):
    old = {**tower("left"), **tower("right")}
    new = {**tower("first"), **tower("second")}
    assert edges(found(schema(old), schema(new), use_order=use_order)) == {}


def test_a_layer_inserted_somewhere_is_not_guessed():
    old, new = {"embed.weight": (50, 8), **tower("h", 3)}, {"embed.weight": (50, 8), **tower("h", 4)}
    suggestion = found(schema(old), schema(new))
    assert edges(suggestion) == {"embed.weight": ("embed.weight",)}
    assert not suggestion.complete


def test_siblings_that_only_their_order_tells_apart_are_left_open():
    old = {"embed.weight": (50, 8), "m.alpha.weight": (8, 8), "m.beta.weight": (8, 8)}
    new = {"embed.weight": (50, 8), "m.xenon.weight": (8, 8), "m.zinc.weight": (8, 8)}
    assert edges(found(schema(old), schema(new))) == {"embed.weight": ("embed.weight",)}


def test_a_thousand_equal_matrices_of_strange_names_are_left_open():
    old = schema({f"a{number * 7919 % 1000}x.w": (8, 8) for number in range(1000)})
    new = schema({f"b{number * 7907 % 1000}y.w": (8, 8) for number in range(1000)})
    suggestion = found(old, new)
    assert edges(suggestion) == {}
    assert sum(len(family.members) for family in suggestion.open_sources) == 1000


def test_a_thousand_equal_matrices_keep_their_names():
    old = {f"module_{number}.w": (8, 8) for number in range(1000)}
    assert edges(found(schema(old), schema(old))) == {key: (key,) for key in old}


def test_an_unrelated_model_is_left_open():
    old = {
        **{
            f"layer{stage}.{index}.conv{n}.weight": (16 * stage, 16 * stage, 3, 3)
            for stage in (1, 2)
            for index in (0, 1)
            for n in (1, 2)
        },
        **{f"layer{stage}.{index}.bn{n}.weight": (16 * stage,) for stage in (1, 2) for index in (0, 1) for n in (1, 2)},
        "fc.weight": (10, 32),
        "fc.bias": (10,),
    }
    new = {
        "wte.weight": (100, 16),
        "wpe.weight": (32, 16),
        **tower("h", 4, 16),
        "ln_f.weight": (16,),
        "lm_head.weight": (100, 16),
    }
    assert len(edges(found(schema(old), schema(new)))) <= 1


def test_a_partial_checkpoint_gives_what_it_has():
    new = {"embed.weight": (50, 8), **tower("h"), "head.weight": (20, 8)}
    old = {f"model.{key}": shape for key, shape in new.items() if key != "head.weight"}
    made = edges(found(schema(old), schema(new)))
    assert {target: sources for target, sources in made.items() if sources} == {
        key: (f"model.{key}",) for key in new if key != "head.weight"
    }


def test_fused_parts_come_in_the_order_that_the_name_spells():
    old = schema({f"h.{layer}.mlp.{part}_proj.weight": (12, 8) for layer in range(2) for part in ("up", "gate")})
    new = schema({f"h.{layer}.mlp.gate_up_proj.weight": (24, 8) for layer in range(2)})
    assert edges(found(old, new)) == {
        f"h.{layer}.mlp.gate_up_proj.weight": (f"h.{layer}.mlp.gate_proj.weight", f"h.{layer}.mlp.up_proj.weight")
        for layer in range(2)
    }


def test_experts_are_stacked_in_the_order_of_their_numbers():
    old = schema({f"h.{layer}.experts.{e}.down.weight": (8, 12) for e in range(3) for layer in range(2)})
    new = schema({f"h.{layer}.experts.down": (3, 8, 12) for layer in range(2)})
    assert edges(found(old, new)) == {
        f"h.{layer}.experts.down": tuple(f"h.{layer}.experts.{e}.down.weight" for e in range(3)) for layer in range(2)
    }


def test_numbers_that_begin_elsewhere_do_not_tell_which_is_which():
    old = schema({"stem.weight": (4, 3), **{f"pyramid.s{level}.weight": (8, 8) for level in (5, 4, 3, 2)}})
    new = schema({"stem.weight": (4, 3), **{f"pyramid.blocks{level}.weight": (8, 8) for level in range(4)}})
    assert edges(found(old, new)) == {"stem.weight": ("stem.weight",)}


def test_a_lower_confidence_makes_no_fewer_edges():
    old = {"embed.weight": (50, 8), **tower("h")}
    new = renamed(old, ("attn", "attention"), ("h.", "blocks."))
    counts = [len(edges(found(schema(old), schema(new), min_confidence=level))) for level in (0.5, 0.9, 0.96, 1.0)]
    assert counts == sorted(counts, reverse=True)


def test_lists_within_very_many_lists_are_matched_all_the_same():
    old = {".".join(["m", *(["0"] * level), str(i), "w"]): (4, level + 1) for level in range(20) for i in range(2)}
    assert edges(found(schema(old), schema(old))) == {key: (key,) for key in old}
