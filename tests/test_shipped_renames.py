"""Shipped migrations that rename only: as the original scripts do it, whose renaming is written down here step by step."""

import re

import pytest

from ckptlint.commands import sources
from ckptlint.core.operation import Grade
from ckptlint.core.schema import Schema
from ckptlint.engine.facts import HeaderFacts
from ckptlint.engine.faults import PlanFaults
from ckptlint.engine.infer_source import infer_source
from ckptlint.engine.prove import prove

PAIR = ("weight", "bias")
LAYER = "encoder.layers.encoder_layer_{}"
FAIRSEQ = "w2v_encoder.w2v_model."


def each(stems, layers=2):
    """The keys of linear layers and norms; `{}` is the number of a layer."""
    return [f"{stem.format(n)}.{t}" for n in range(layers) for stem in stems for t in PAIR]


def torchvision(mlp):
    stems = [f"{LAYER}.{part}" for part in ("ln_1", "ln_2", "self_attention.out_proj", *mlp)]
    fused = [f"{LAYER.format(n)}.self_attention.in_proj_{t}" for n in range(2) for t in PAIR]
    return [
        "class_token",
        "encoder.pos_embedding",
        *each(stems),
        *fused,
        *each(["conv_proj", "encoder.ln", "heads.head"], 1),
    ]


def timm(key):
    key = re.sub(r"encoder\.layers\.encoder_layer_(\d+)\.", r"blocks.\1.", key)
    words = {
        "class_token": "cls_token",
        "conv_proj": "patch_embed.proj",
        "encoder.pos_embedding": "pos_embed",
        "encoder.ln.": "norm.",
        "heads.head": "head",
        "ln_": "norm",
        "self_attention.in_proj_": "attn.qkv.",
        "self_attention.out_proj": "attn.proj",
        "mlp.linear_": "mlp.fc",
        "mlp.0": "mlp.fc1",
        "mlp.3": "mlp.fc2",
    }
    return replaced(key, words)


def convnext():
    blocks = [f"stages.{s}.{{}}.{part}" for s in range(4) for part in ("dwconv", "norm", "pwconv1", "pwconv2")]
    gammas = [f"stages.{s}.{j}.gamma" for s in range(4) for j in range(2)]
    return [
        *each(["downsample_layers.{}.0", "downsample_layers.{}.1"], 4),
        *each(blocks),
        *gammas,
        *each(["norm", "head"], 1),
    ]


def convnext_hf(key):
    key = key.replace("downsample_layers.0.0", "embeddings.patch_embeddings")
    key = key.replace("downsample_layers.0.1", "embeddings.layernorm")
    key = re.sub(r"^downsample_layers\.(\d)", r"encoder.stages.\1.downsampling_layer", key)
    key = re.sub(r"^stages\.(\d)\.(\d)", r"encoder.stages.\1.layers.\2", key)
    key = re.sub(r"(^|\.)norm\.", r"\1layernorm.", key).replace("gamma", "layer_scale_parameter")
    return key.replace("head", "classifier") if key.startswith("head") else f"convnext.{key}"


def fairseq():
    attention = [f"self_attn.{name}_proj" for name in ("k", "v", "q", "out")]
    parts = (*attention, "self_attn_layer_norm", "fc1", "fc2", "final_layer_norm")
    whole = ("post_extract_proj", "layer_norm", "encoder.layer_norm", "feature_extractor.conv_layers.0.2")
    convolutions = [f"feature_extractor.conv_layers.{n}.0.weight" for n in range(3)]
    rest = ["mask_emb", *(f"encoder.pos_conv.0.{t}" for t in ("bias", "weight_g", "weight_v")), *convolutions]
    keys = [*each([f"encoder.layers.{{}}.{part}" for part in parts]), *each(whole, 1), *rest]
    return [*(FAIRSEQ + key for key in keys), "w2v_encoder.proj.weight", "w2v_encoder.proj.bias"]


def wav2vec2_hf(key):
    if not key.startswith(FAIRSEQ):
        return key.replace("w2v_encoder.proj", "lm_head")
    key = re.sub(r"conv_layers\.(\d)\.0\.", r"conv_layers.\1.conv.", key.removeprefix(FAIRSEQ))
    words = {
        "conv_layers.0.2": "conv_layers.0.layer_norm",
        "post_extract_proj": "feature_projection.projection",
        "mask_emb": "masked_spec_embed",
        "pos_conv.0.weight_g": "pos_conv_embed.conv.parametrizations.weight.original0",
        "pos_conv.0.weight_v": "pos_conv_embed.conv.parametrizations.weight.original1",
        "pos_conv.0": "pos_conv_embed.conv",
        "self_attn_layer_norm": "layer_norm",
        "self_attn": "attention",
        "fc1": "feed_forward.intermediate_dense",
        "fc2": "feed_forward.output_dense",
    }
    key = f"feature_projection.{key}" if key.startswith("layer_norm") else key
    return f"wav2vec2.{replaced(key, words)}"


def replaced(key, words):
    for old, new in words.items():
        key = key.replace(old, new)
    return key


CASES = {
    "torchvision's ViT, before 0.13": ("vit-torchvision-to-timm", torchvision(["mlp.linear_1", "mlp.linear_2"]), timm),
    "torchvision's ViT": ("vit-torchvision-to-timm", torchvision(["mlp.0", "mlp.3"]), timm),
    "ConvNeXt": ("convnext-to-hf", convnext(), convnext_hf),
    "wav2vec 2.0": ("wav2vec2-fairseq-to-hf", fairseq(), wav2vec2_hf),
}


@pytest.mark.parametrize("case", CASES)
def test_it_renames_as_the_original_does(case):
    name, keys, rename = CASES[case]
    source = Schema.of(*(f"{key}: f32[{number + 1}]" for number, key in enumerate(keys)))  # a shape tells each key
    proof = prove(sources.migration(name), source)
    assert not proof.failed, proof.findings
    assert proof.grade is Grade.EXACT
    assert proof.plan.target.tensors == {rename(key): spec for key, spec in source.tensors.items()}


def test_of_two_old_layouts_none_is_guessed():
    name, keys, _ = CASES["torchvision's ViT"]
    migration = sources.migration(name)
    made = prove(migration, Schema.of(*(f"{key}: f32[2]" for key in keys))).plan.target
    with pytest.raises(PlanFaults, match="is in one old layout that would give this file, and not in another"):
        infer_source(made, migration, HeaderFacts())


@pytest.mark.parametrize("case", ["ConvNeXt", "wav2vec 2.0"])
def test_the_old_keys_are_told_from_the_new_ones(case):
    name, keys, _ = CASES[case]
    source = Schema.of(*(f"{key}: f32[{number + 1}]" for number, key in enumerate(keys)))
    migration = sources.migration(name)
    assert infer_source(prove(migration, source).plan.target, migration, HeaderFacts()).tensors == source.tensors
