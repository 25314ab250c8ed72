"""Shipped migrations between layouts: against what the originals say (layouts.json, made by layouts_oracle.py), published pairs of
layouts, and for those that compute, against torch."""

import gzip
import json
from pathlib import Path

import pytest
from test_shipped_migrations import LAYOUTS, carried, same, torch  # noqa: F401  carried and torch are fixtures

from ckptlint.commands import sources
from ckptlint.commands.migrate import Request, migrate
from ckptlint.core.dtype import DType
from ckptlint.core.operation import Grade
from ckptlint.core.schema import Schema
from ckptlint.core.spec import TensorSpec
from ckptlint.engine.facts import HeaderFacts
from ckptlint.engine.infer_source import infer_source
from ckptlint.engine.prove import prove
from ckptlint.errors import PlanError

ORIGINALS = json.loads((Path(__file__).parent / "layouts" / "layouts.json").read_text(encoding="utf-8"))


def schema(keys):
    return Schema({key: TensorSpec(DType.parse("f32"), tuple(shape)) for key, shape in keys.items()})


@pytest.mark.parametrize(
    "name", ORIGINALS
)  # "vit-timm-to-hf" "whisper-openai-to-hf" "resnet-torchvision-to-hf" "ldm-vae-to-diffusers"
def test_it_does_what_the_original_does(name):
    known = ORIGINALS[name]
    migration, source = sources.migration(name), schema(known["source"])
    proof = prove(migration, source, schema(known["target"]))
    assert not proof.failed, proof.findings
    assert proof.grade is Grade.EXACT
    made = {(tuple(edge.sources), frozenset(edge.targets)) for edge in proof.plan.edges}
    assert made == {(tuple(old), frozenset(new)) for old, new in known["edges"]}
    facts = HeaderFacts(params={"stages": 2} if "stages" in {param.name for param in migration.params} else {})
    assert infer_source(proof.plan.target, migration, facts).tensors == source.tensors


PUBLISHED = {
    "fair-esm2-to-hf-esm": "esm2-to-hf",
    "openclip-to-timm-vit": "openclip-to-timm-vit",
    "hf-4.57-to-5.18-CLIPVisionModel": "clip-vision-unnested",
    "hf-siglip_vision_model": "clip-vision-unnested",
    "hf-4.57-to-5.18-DetrForObjectDetection": "detr-to-transformers-5",
    "hf-qwen2_vl": "qwen-vl-to-transformers-5",
    **dict.fromkeys(
        ["hf-got_ocr2", "hf-internvl", "hf-mistral3", "hf-paligemma", "hf-qwen2_audio", "hf-vipllava", "hf-voxtral"],
        "vision-language-to-transformers-5",
    ),
}


@pytest.mark.parametrize("layout", PUBLISHED)
def test_a_published_pair_of_layouts(layout):
    path = LAYOUTS / f"{layout}.json.gz"
    if not path.exists():
        pytest.skip(f"the corpus of layouts is not at {LAYOUTS}")
    known = json.loads(gzip.decompress(path.read_bytes()))
    proof = prove(sources.migration(PUBLISHED[layout]), schema(known["source"]), schema(known["target"]))
    assert not proof.failed, proof.findings
    inputs, outputs = proof.plan.inputs, proof.plan.outputs
    for edge in known["truth"]:
        if edge["sources"] and edge["targets"] and set(edge["ops"]) <= {"rename"}:
            assert [inputs[key] for key in edge["sources"]] == [outputs[key] for key in edge["targets"]]


def planned(name, keys, **params):
    """The target of a migration, for literal keys."""
    return prove(sources.migration(name), Schema.of(*keys), None, HeaderFacts(params=params)).plan


def test_swin_timm_downsample():
    keys = (
        "layers.0.downsample.norm.weight: f32[8]",
        "layers.0.downsample.reduction.weight: f32[4,8]",
        "head.bias: f32[3]",
    )
    made = planned("swin-timm-downsample", keys).target
    assert list(made.tensors) == [
        "layers.1.downsample.norm.weight",
        "layers.1.downsample.reduction.weight",
        "head.fc.bias",
    ]


def test_t5_tied_embeddings(torch, carried):  # noqa: F811  fixtures
    made = carried({"shared.weight": torch.rand(4, 2), "x": torch.rand(1)}, "t5-tied-embeddings")
    names = ["shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight"]
    assert len({made[name].data_ptr() for name in names}) == 1


def test_strip_model_prefix(torch, carried):  # noqa: F811  fixtures
    state = {"a.weight": torch.rand(2)}
    assert same(torch, carried({f"model.{key}": value for key, value in state.items()}, "strip-model-prefix"), state)
    with pytest.raises(PlanError, match="has the prefix"):
        carried({"model.a": torch.rand(1), "loss.b": torch.rand(1)}, "strip-model-prefix")


def test_split_gate_up(torch, carried):  # noqa: F811  fixtures
    fused = torch.rand(6, 2)
    made = carried({"m.gate_up_proj.weight": fused}, "split-gate-up")
    assert torch.equal(made["m.gate_proj.weight"], fused[:3])
    assert torch.equal(made["m.up_proj.weight"], fused[3:])
    assert torch.equal(carried(made, "split-gate-up", reverse=True)["m.gate_up_proj.weight"], fused)


def test_split_qkv_grouped(torch, carried, tmp_path):  # noqa: F811  fixtures
    heads, groups, size = 6, 2, 3
    fused = torch.rand((heads + 2 * groups) * size, 4)
    state = {"a.linear_qkv.weight": fused}
    by_group = fused.view(groups, heads // groups + 2, size, 4)
    (tmp_path / "config.json").write_text('{"num_attention_heads": 6, "num_key_value_heads": 2}')
    made = carried(state, "split-qkv-grouped")
    assert torch.equal(made["a.q_proj.weight"], by_group[:, :-2].reshape(-1, 4))
    assert torch.equal(made["a.k_proj.weight"], by_group[:, -2].reshape(-1, 4))
    assert torch.equal(made["a.v_proj.weight"], by_group[:, -1].reshape(-1, 4))
    assert same(torch, carried(made, "split-qkv-grouped", reverse=True), state)
    (tmp_path / "config.json").unlink()
    assert same(torch, carried(state, "split-qkv-grouped", "heads=6", "groups=2"), made)
    with pytest.raises(PlanError, match=r"config\.json beside the checkpoint has nothing at /num_attention_heads"):
        carried(state, "split-qkv-grouped")


def test_swin_patch_merging_order(torch, carried):  # noqa: F811  fixtures
    """The functions of transformers' own script for UperNet."""
    weight, norm = torch.rand(6, 20), torch.rand(20)
    made = carried(
        {"s.0.downsample.reduction.weight": weight, "s.0.downsample.norm.weight": norm}, "swin-patch-merging-order"
    )
    wanted = weight.reshape(6, 5, 4)[:, :, [0, 2, 1, 3]].transpose(1, 2).reshape(6, 20)
    assert torch.equal(made["s.0.downsample.reduction.weight"], wanted)
    assert torch.equal(made["s.0.downsample.norm.weight"], norm.reshape(5, 4)[:, [0, 2, 1, 3]].T.reshape(20))


@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated:FutureWarning")
def test_merge_weight_norm(torch, carried):  # noqa: F811  fixtures
    layer = torch.nn.utils.weight_norm(torch.nn.Conv1d(3, 4, 2))
    made = carried(torch.nn.ModuleDict({"a": layer}).state_dict(), "merge-weight-norm")
    torch.nn.utils.remove_weight_norm(layer)
    torch.testing.assert_close(made["a.weight"], layer.weight.detach(), rtol=2e-6, atol=1e-7)


def test_fuse_conv_bn(torch, carried):  # noqa: F811  fixtures
    block = torch.nn.ModuleDict({"conv": torch.nn.Conv2d(3, 4, 3, bias=False), "bn": torch.nn.BatchNorm2d(4)}).eval()
    for tensor in (block["bn"].weight, block["bn"].bias, block["bn"].running_mean, block["bn"].running_var):
        torch.nn.init.uniform_(tensor, 0.5, 2)
    made = carried(torch.nn.ModuleDict({"m": block}).state_dict(), "fuse-conv-bn")
    x = torch.rand(2, 3, 5, 5)
    fused = torch.nn.functional.conv2d(x, made["m.conv.weight"], made["m.conv.bias"])
    torch.testing.assert_close(fused, block["bn"](block["conv"](x)), rtol=1e-5, atol=1e-5)
    assert len(made) == 2


def test_merge_peft_lora(torch, carried):  # noqa: F811  fixtures
    weight, a, b = torch.rand(6, 4), torch.rand(2, 4), torch.rand(6, 2)
    names = ["base_layer.weight", "lora_A.default.weight", "lora_B.default.weight"]
    state = {f"base_model.model.q.{name}": x for name, x in zip(names, (weight, a, b), strict=True)}
    made = carried(state | {"base_model.model.norm": a[0]}, "merge-peft-lora", "alpha=6")
    torch.testing.assert_close(made["q.weight"], weight + b @ a * 3)
    assert list(made) == ["q.weight", "norm"]


def test_dequantize_fp8_blocks(torch, carried):  # noqa: F811  fixtures
    weight, scale = torch.randn(5, 6).to(torch.float8_e4m3fn), torch.rand(2, 2)
    made = carried({"q.weight": weight, "q.weight_scale_inv": scale}, "dequantize-fp8-blocks", "rows=4", "columns=4")
    spread = scale.repeat_interleave(4, 0).repeat_interleave(4, 1)[:5, :6]
    assert torch.equal(made["q.weight"], (weight.float() * spread).bfloat16())


def test_dequantize_mxfp4(torch, carried):  # noqa: F811  fixtures
    """The formula of transformers' convert_moe_packed_tensors."""
    codes = torch.randint(0, 256, (2, 3, 4, 16), dtype=torch.uint8)
    scales = torch.randint(100, 140, (2, 3, 4), dtype=torch.uint8)
    table = torch.tensor([0.0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], dtype=torch.bfloat16)
    made = carried({"e.down_proj_blocks": codes, "e.down_proj_scales": scales}, "dequantize-mxfp4")
    pairs = torch.stack([table[(codes & 15).long()], table[(codes >> 4).long()]], -1).flatten(-2)
    wanted = torch.ldexp(pairs, (scales.int() - 127)[..., None]).reshape(2, 3, 128).transpose(1, 2)
    assert torch.equal(made["e.down_proj"], wanted.contiguous())


def test_a_file_that_is_not_meant_is_refused(tmp_path, torch):  # noqa: F811  a fixture
    torch.save({"encoder.weight": torch.zeros(1)}, tmp_path / "x.pt")
    for name in (
        "vit-timm-to-hf",
        "whisper-openai-to-hf",
        "resnet-torchvision-to-hf",
        "detr-to-transformers-5",
        "esm2-to-hf",
    ):
        with pytest.raises(PlanError):
            migrate(Request(str(tmp_path / "x.pt"), (name,), str(tmp_path / "y.pt")))
