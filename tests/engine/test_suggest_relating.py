"""Another model of the same width and depth is not the one that was renamed: it has what the source lacks, and lacks what it has."""

from __future__ import annotations

from test_suggest import edges, found, renamed, schema, tower

STRANGE = (
    ("norm1", "ln_a.first"),
    ("norm2", "ln_b.second"),
    ("q_proj", "query"),
    ("k_proj", "key"),
    ("v_proj", "value"),
    ("out_proj", "dense"),
    ("attn.", "attention."),
    ("fc1", "wide"),
    ("fc2", "narrow"),
)


def both(extra_old, extra_new, layers=3):
    """A tower, and one of the same shapes and other names, each with more in every layer and beside them."""
    old = {"embed.weight": (50, 8), **tower("h", layers)}
    new = {**renamed(tower("layer", layers), *STRANGE), "embed.weight": (50, 8)}
    for shapes, root, extra in ((old, "h", extra_old), (new, "layer", extra_new)):
        shapes |= {f"{root}.{i}.{key}": shape for i in range(layers) for key, shape in extra.items()}
    return schema(old), schema(new)


def test_the_same_architecture_is_one_model_whatever_its_names():
    made = edges(found(*both({}, {})))
    assert {target.rpartition(".")[2] for target in made} == {"weight", "bias"}
    assert len(made) >= 10


def test_layers_that_lack_what_the_others_have_are_not_one():
    assert set(edges(found(*both({}, {"gate.weight": (32, 8)})))) == {"embed.weight"}
    assert set(edges(found(*both({"scale.gamma": (8,)}, {})))) == {"embed.weight"}


def test_buffers_and_masks_of_the_layers_do_not_count():
    buffers = {"attn.inv_freq": (4,), "attn.bias": (1, 1, 16, 16)}
    assert edges(found(*both(buffers, {}))).keys() >= edges(found(*both({}, {}))).keys()


def test_layers_that_kept_their_names_may_have_more():
    new = {"embed.weight": (50, 8), **tower("model.h")}
    new |= {f"model.h.{i}.attn.q_proj.lora_A.weight": (2, 8) for i in range(3)}
    old = {"embed.weight": (50, 8), **tower("h")}
    made = edges(found(schema(old), schema(new)))
    assert {target: sources for target, sources in made.items() if sources} == {
        f"model.{key}" if key.startswith("h.") else key: (key,) for key in old
    }


def test_models_of_other_inputs_are_not_one_though_their_layers_are_alike():
    old, new = both({}, {})
    text = {key: spec.shape for key, spec in old.tensors.items()}
    image = {key: spec.shape for key, spec in new.tensors.items() if key != "embed.weight"}
    image |= {"patches.weight": (8, 3, 4, 4), "cls": (1, 1, 8)}
    assert edges(found(schema(text), schema(image))) == {}


def test_a_tower_is_taken_out_of_a_larger_model():
    old = {"text.embed.weight": (99, 24), **tower("text.h", 5, 24), **tower("vision.h", 3)}
    new = {key.removeprefix("vision."): shape for key, shape in old.items() if key.startswith("vision.")}
    assert edges(found(schema(old), schema(new))) == {key: (f"vision.{key}",) for key in new}


def test_values_speak_louder_than_what_is_left_over():
    old, new = both({}, {"gate.weight": (32, 8)})
    twins = dict(zip(tower("h"), renamed(tower("layer"), *STRANGE), strict=True))
    made = edges(found(old, new, twins=twins))
    assert {made[target] for target in twins.values()} == {(source,) for source in twins}


def test_what_has_one_name_and_shape_on_both_sides_is_kept_whatever_else_was_resized():
    old = {"cls_token": (1, 1, 8), "pos_embed": (1, 5, 8), **tower("blocks", 3)}
    result = found(schema(old), schema({**old, "pos_embed": (1, 10, 8)}))
    assert (("cls_token",), ("cls_token",)) in [(edge.sources, edge.targets) for edge in result.edges()]
    assert not result.dropped
