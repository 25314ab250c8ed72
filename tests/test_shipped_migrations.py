"""The shipped migrations, each by the name that users give it: on state dicts that torch makes, against what the original conversion
computes, and on layouts that were really published. Where a migration says that there is a way back, it gives the old file again.
"""

import gzip
import json
import os
from pathlib import Path

import pytest

from ckptlint.checks.naming import STRIPPED
from ckptlint.commands import sources
from ckptlint.commands.migrate import Request, migrate
from ckptlint.core.dtype import DType
from ckptlint.core.operation import Grade
from ckptlint.core.schema import Schema
from ckptlint.core.spec import TensorSpec
from ckptlint.documents.shipped import folder
from ckptlint.engine.facts import HeaderFacts
from ckptlint.engine.infer_source import infer_source
from ckptlint.engine.prove import prove
from ckptlint.errors import PlanError

ROOT = Path(__file__).parent.parent
NAMES = sorted(path.stem for path in (ROOT / "migrations").glob("*.yaml"))
LAYOUTS = Path(os.environ.get("CKPTLINT_CORPORA", ROOT.parent / "shared" / "corpora")) / "layouts"


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.fixture
def carried(torch, tmp_path):
    """Save a state dict, migrate it by a shipped migration, load the result."""

    def carry(state, name, *params, reverse=False, source=None):
        old, new = tmp_path / "old.pt", tmp_path / "new.pt"
        torch.save(state, old)
        request = Request(
            str(old), (name,), str(new), sources.parameters(params), reverse=reverse, source=source, force=True
        )
        migrate(request)
        return torch.load(new)

    return carry


def same(torch, one, other):
    return list(one) == list(other) and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("name", NAMES)
def test_each_is_found_by_its_name_and_says_what_it_is_for(name):
    migration = sources.migration(name)
    comment = (folder("migrations") / f"{name}.yaml").read_text(encoding="utf-8").partition("ckptlint:")[0]
    assert migration.summary
    assert "# When:" in comment
    tests = [path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_shipped_*.py")]
    assert f'"{name}"' in "".join(tests)


def test_as_is_writes_the_state_dict_of_a_pickled_module(torch, carried):
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    assert same(torch, carried(model, "as-is"), model.state_dict())
    assert same(torch, carried(model.state_dict(), "as-is", reverse=True), model.state_dict())


def test_as_is_writes_a_slice_without_what_it_was_cut_from(torch, carried):
    part = carried({"w": torch.arange(1000.0)[:3]}, "as-is")["w"]
    assert (part.tolist(), part.untyped_storage().nbytes()) == ([0, 1, 2], 12)


def test_strip_wrappers_takes_what_lint_says_it_takes():
    prefix = sources.migration("strip-wrappers").prefix
    assert prefix is not None
    assert set(prefix.strip) == STRIPPED


def test_strip_wrappers(torch, carried, tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    compiled = torch.nn.ModuleDict({"_orig_mod": model})  # the keys of torch.compile, without its seconds of start-up
    wrapped = torch.nn.DataParallel(compiled).state_dict()
    assert next(iter(wrapped)) == "module._orig_mod.0.weight"
    state = carried(wrapped, "strip-wrappers")
    assert same(torch, state, model.state_dict())
    assert state._metadata["1"] == {"version": 2}
    assert same(torch, carried(state, "strip-wrappers", reverse=True), model.state_dict())
    torch.save(wrapped, tmp_path / "wrapped.pt")
    assert same(torch, carried(state, "strip-wrappers", reverse=True, source=str(tmp_path / "wrapped.pt")), wrapped)
    with pytest.raises(PlanError, match=r"has the prefix 'module\.', but not b"):
        carried({"module.a": torch.zeros(1), "b": torch.zeros(1)}, "strip-wrappers")


def test_averaged_model(torch, carried):
    model = torch.nn.Linear(2, 3)
    averaged = torch.optim.swa_utils.AveragedModel(model)
    averaged.update_parameters(model)
    assert same(torch, carried(averaged.state_dict(), "averaged-model"), model.state_dict())


def test_layernorm_gamma_beta(torch, carried):
    new = {"a.LayerNorm.weight": torch.rand(3), "a.LayerNorm.bias": torch.rand(3), "b.gamma": torch.rand(3)}
    old = {key.replace(".weight", ".gamma").replace(".bias", ".beta"): value for key, value in new.items()}
    assert same(torch, carried(old, "layernorm-gamma-beta"), new)
    assert same(torch, carried(new, "layernorm-gamma-beta", reverse=True), old)
    with pytest.raises(PlanError, match=r"a\.LayerNorm\.beta: is missing"):
        carried({"a.LayerNorm.gamma": torch.rand(3)}, "layernorm-gamma-beta")


def convolutions(torch, old, new):
    """The same small network under the old and under the new form of a norm of its weights."""

    def network(norm):
        torch.manual_seed(2)
        layers = [norm(torch.nn.Conv1d(4, 8, 3)), torch.nn.Sequential(norm(torch.nn.ConvTranspose1d(8, 8, 3)))]
        return torch.nn.Sequential(*layers, torch.nn.BatchNorm1d(8)).eval()

    return network(old), network(new)


NORMS = {
    "weight-norm-to-parametrizations": "weight_norm",
    "spectral-norm-to-parametrizations": "spectral_norm",
}


@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated:FutureWarning")
@pytest.mark.parametrize("name", NORMS)
def test_norms_to_parametrizations(name, torch, carried):
    norm = NORMS[name]
    old, new = convolutions(torch, getattr(torch.nn.utils, norm), getattr(torch.nn.utils.parametrizations, norm))
    state = old.state_dict()
    migrated = carried(state, name)
    assert list(migrated) == list(new.state_dict())
    new.load_state_dict(dict(migrated), strict=True)  # a plain dict, so that no hook of torch's can help
    values = torch.rand(2, 4, 9)
    assert torch.equal(new(values), old(values))
    assert same(torch, carried(migrated, name, reverse=True), state)


def test_norms_of_the_root_module(torch, carried):
    state = {"bias": torch.rand(2), "weight_g": torch.rand(2, 1), "weight_v": torch.rand(2, 3)}
    model = torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(3, 2))
    model.load_state_dict(carried(state, "weight-norm-to-parametrizations"), strict=True)


def test_two_norms_with_one_name_are_refused(torch, carried):
    state = {
        "a.weight_g": torch.rand(2, 1),
        "a.weight_v": torch.rand(2, 3),
        "b.weight_orig": torch.rand(2, 3),
        "b.weight_u": torch.rand(2),
        "b.weight_v": torch.rand(3),
    }
    for name in NORMS:
        with pytest.raises(PlanError, match="is missing beside"):
            carried(state, name)


@pytest.mark.parametrize("bias", [True, False])
def test_split_in_proj(bias, torch, carried):
    attention = torch.nn.MultiheadAttention(6, 2, bias=bias)
    state = torch.nn.ModuleDict({"block": attention}).state_dict()
    migrated = carried(state, "split-in-proj")
    thirds = attention.in_proj_weight.chunk(3)
    assert all(torch.equal(migrated[f"block.{x}_proj.weight"], part) for x, part in zip("qkv", thirds, strict=True))
    assert set(migrated) == {
        f"block.{layer}.{t}"
        for layer in ("q_proj", "k_proj", "v_proj", "out_proj")
        for t in (("weight", "bias") if bias else ("weight",))
    }
    assert same(torch, carried(migrated, "split-in-proj", reverse=True), state)
    named = carried(state, "split-in-proj", "q=query", "k=key", "v=value")
    assert torch.equal(named["block.key.weight"], thirds[1])


def test_split_qkv(torch, carried):
    state = {"blocks.0.attn.qkv.weight": torch.rand(6, 2), "blocks.0.attn.qkv.bias": torch.rand(6)}
    migrated = carried(state, "split-qkv")
    assert list(migrated) == [f"blocks.0.attn.{x}.{t}" for t in ("weight", "bias") for x in "qkv"]
    assert torch.equal(migrated["blocks.0.attn.k.bias"], state["blocks.0.attn.qkv.bias"][2:4])
    assert same(torch, carried(migrated, "split-qkv", reverse=True), state)


def test_split_qkv_per_head(torch, carried):
    heads, size, width = 4, 3, 5
    state = {"a.query_key_value.weight": torch.rand(heads * 3 * size, width), "a.query_key_value.bias": torch.rand(36)}
    migrated = carried(state, "split-qkv-per-head", f"heads={heads}")
    x = torch.rand(7, width)
    fused = torch.nn.functional.linear(x, state["a.query_key_value.weight"], state["a.query_key_value.bias"])
    parts = fused.view(7, heads, 3 * size).chunk(3, dim=-1)  # as GPT-NeoX of transformers reads it
    for name, part in zip("qkv", parts, strict=True):
        made = torch.nn.functional.linear(x, migrated[f"a.{name}_proj.weight"], migrated[f"a.{name}_proj.bias"])
        torch.testing.assert_close(made.view(7, heads, size), part)
    assert same(torch, carried(migrated, "split-qkv-per-head", f"heads={heads}", reverse=True), state)
    with pytest.raises(PlanError, match="parameter 'heads'"):
        carried(state, "split-qkv-per-head")


EXPERTS = {
    "stack-experts": ("a.mlp.experts.{}.{}.weight", ("gate_proj", "up_proj", "down_proj"), "a.mlp.experts"),
    "mixtral-stack-experts": ("a.block_sparse_moe.experts.{}.{}.weight", ("w1", "w3", "w2"), "a.mlp.experts"),
}


@pytest.mark.parametrize("name", EXPERTS)
def test_experts(name, torch, carried):
    key, (gate, up, down), new = EXPERTS[name]
    shapes = {gate: (3, 2), up: (3, 2), down: (2, 3)}
    state = {key.format(e, part): torch.rand(shape) for e in range(12) for part, shape in shapes.items()}
    if name == "mixtral-stack-experts":
        state["a.block_sparse_moe.gate.weight"] = torch.rand(12, 2)
    migrated = carried(state, name)

    def of(part):
        return torch.stack([state[key.format(e, part)] for e in range(12)])

    assert torch.equal(migrated[f"{new}.gate_up_proj"], torch.cat([of(gate), of(up)], dim=1))
    assert torch.equal(migrated[f"{new}.down_proj"], of(down))
    assert len(migrated) == (3 if "mixtral" in name else 2)
    assert migrated.keys() >= {f"{new}.gate_up_proj", f"{new}.down_proj"}
    back = carried(migrated, name, reverse=True)
    assert back.keys() == state.keys()
    assert all(torch.equal(back[key], state[key]) for key in state)


def test_gpt2_conv1d_to_linear(torch, carried):
    width = 4
    state = {"transformer.wte.weight": torch.rand(7, width)}
    for layer, out, into in (("attn.c_attn", 3, 1), ("attn.c_proj", 1, 1), ("mlp.c_fc", 4, 1), ("mlp.c_proj", 1, 4)):
        state[f"transformer.h.0.{layer}.weight"] = torch.rand(into * width, out * width)
        state[f"transformer.h.0.{layer}.bias"] = torch.rand(out * width)
    masks = {
        "transformer.h.0.attn.bias": torch.ones(1, 1, 3, 3),
        "transformer.h.0.attn.masked_bias": torch.tensor(-1e4),
    }
    migrated = carried(state | masks, "gpt2-conv1d-to-linear")
    assert list(migrated) == list(state)
    for key, value in state.items():
        turned = ".h.0." in key and key.endswith("weight")
        assert torch.equal(migrated[key], value.T if turned else value)
    assert same(torch, carried(migrated, "gpt2-conv1d-to-linear", reverse=True), state)
    with pytest.raises(PlanError, match="does not hold"):
        carried(migrated, "gpt2-conv1d-to-linear")


def permuted(weight, heads):
    """The function of transformers' own conversion script for Llama, with its numbers of rows and columns read off the tensor."""
    rows, columns = weight.shape
    return weight.view(heads, rows // heads // 2, 2, columns).transpose(1, 2).reshape(rows, columns)


def test_llama_meta_to_hf(torch, carried):
    heads, kv, size, width = 4, 2, 6, 24
    state = {
        "tok_embeddings.weight": torch.rand(9, width),
        "norm.weight": torch.rand(width),
        "output.weight": torch.rand(9, width),
        "layers.0.attention.wq.weight": torch.rand(heads * size, width),
        "layers.0.attention.wk.weight": torch.rand(kv * size, width),
        "layers.0.attention.wv.weight": torch.rand(kv * size, width),
        "layers.0.attention.wo.weight": torch.rand(width, heads * size),
        "layers.0.feed_forward.w1.weight": torch.rand(32, width),
        "layers.0.feed_forward.w2.weight": torch.rand(width, 32),
        "layers.0.feed_forward.w3.weight": torch.rand(32, width),
        "layers.0.attention_norm.weight": torch.rand(width),
        "layers.0.ffn_norm.weight": torch.rand(width),
    }
    migrated = carried(state | {"rope.freqs": torch.rand(size // 2)}, "llama-meta-to-hf")
    for old, new, count in (("wq", "q_proj", heads), ("wk", "k_proj", kv)):
        expected = permuted(state[f"layers.0.attention.{old}.weight"], count)
        assert torch.equal(migrated[f"model.layers.0.self_attn.{new}.weight"], expected)
    assert same(torch, carried(state, "llama-meta-to-hf", "pairs=3"), migrated)
    assert same(torch, carried(migrated, "llama-meta-to-hf", "pairs=3", reverse=True), state)
    with pytest.raises(PlanError, match=r"no key rope\.freqs(.|\n)*--param pairs="):
        carried(state, "llama-meta-to-hf")


def test_transformer_encoder_to_hf_bert(torch, carried):
    layer = torch.nn.TransformerEncoderLayer(8, 2, 16, activation="gelu", batch_first=True)
    encoder = torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    state = encoder.state_dict()
    migrated = carried(state, "transformer-encoder-to-hf-bert")
    x = torch.rand(3, 5, 8)
    torch.testing.assert_close(bert_encoder(torch, migrated, x, heads=2), encoder(x))
    assert same(torch, carried(migrated, "transformer-encoder-to-hf-bert", reverse=True), state)


def bert_encoder(torch, state, x, heads):
    """What BertEncoder computes, by the names of its keys."""
    functional = torch.nn.functional

    def linear(name, value):
        return functional.linear(value, state[f"{name}.weight"], state[f"{name}.bias"])

    def norm(name, value):
        return functional.layer_norm(value, (value.shape[-1],), state[f"{name}.weight"], state[f"{name}.bias"])

    for number in range(2):
        layer = f"layer.{number}"
        parts = (linear(f"{layer}.attention.self.{name}", x) for name in ("query", "key", "value"))
        parts = [part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in parts]
        mixed = functional.scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2)
        x = norm(f"{layer}.attention.output.LayerNorm", linear(f"{layer}.attention.output.dense", mixed) + x)
        inner = functional.gelu(linear(f"{layer}.intermediate.dense", x))
        x = norm(f"{layer}.output.LayerNorm", linear(f"{layer}.output.dense", inner) + x)
    return x


def test_openclip_to_hf_clip(torch, carried):
    def tower(start, width):
        block = f"{start}transformer.resblocks.0"
        shapes = {"attn.in_proj_weight": (3 * width, width), "attn.in_proj_bias": (3 * width,)}
        for layer, out, into in (("attn.out_proj", 1, 1), ("mlp.c_fc", 4, 1), ("mlp.c_proj", 1, 4)):
            shapes |= {f"{layer}.weight": (out * width, into * width), f"{layer}.bias": (out * width,)}
        shapes |= {f"{norm}.{t}": (width,) for norm in ("ln_1", "ln_2") for t in ("weight", "bias")}
        return {f"{block}.{key}": torch.rand(shape) for key, shape in shapes.items()}

    names = {
        "logit_scale": ((), "logit_scale"),
        "text_projection": ((4, 5), "text_projection.weight"),
        "token_embedding.weight": ((9, 4), "text_model.embeddings.token_embedding.weight"),
        "positional_embedding": ((7, 4), "text_model.embeddings.position_embedding.weight"),
        "ln_final.weight": ((4,), "text_model.final_layer_norm.weight"),
        "visual.class_embedding": ((6,), "vision_model.embeddings.class_embedding"),
        "visual.positional_embedding": ((5, 6), "vision_model.embeddings.position_embedding.weight"),
        "visual.proj": ((6, 5), "visual_projection.weight"),
        "visual.conv1.weight": ((6, 3, 2, 2), "vision_model.embeddings.patch_embedding.weight"),
        "visual.ln_pre.weight": ((6,), "vision_model.pre_layrnorm.weight"),
        "visual.ln_post.weight": ((6,), "vision_model.post_layernorm.weight"),
    }
    state = {key: torch.rand(shape) for key, (shape, _) in names.items()} | tower("", 4) | tower("visual.", 6)
    migrated = carried({**state, "attn_mask": torch.zeros(7, 7)}, "openclip-to-hf-clip")
    for key, (_, new) in names.items():
        assert torch.equal(migrated[new], state[key].T if key in ("text_projection", "visual.proj") else state[key])
    for start, new in (("", "text_model"), ("visual.", "vision_model")):
        fused = state[f"{start}transformer.resblocks.0.attn.in_proj_weight"]
        for name, part in zip("qkv", fused.chunk(3), strict=True):  # as transformers' conversion script cuts it
            assert torch.equal(migrated[f"{new}.encoder.layers.0.self_attn.{name}_proj.weight"], part)
    assert same(torch, carried(migrated, "openclip-to-hf-clip", reverse=True), state)


def test_drop_position_ids(torch, carried):
    kept = {"text_model.embeddings.position_embedding.weight": torch.rand(3, 2)}
    state = {"text_model.embeddings.position_ids": torch.arange(3)[None], **kept}
    assert same(torch, carried(state, "drop-position-ids"), kept)
    assert same(torch, carried({**kept, "l.0.rotary_emb.inv_freq": torch.rand(2)}, "drop-position-ids"), kept)
    with pytest.raises(PlanError, match="does not hold"):
        carried(kept, "drop-position-ids")


@pytest.fixture
def batch_norm(torch):
    return torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3), torch.nn.BatchNorm1d(3)).state_dict()


def test_drop_num_batches_tracked(torch, carried, batch_norm):
    migrated = carried(batch_norm, "drop-num-batches-tracked")
    assert list(migrated) == [key for key in batch_norm if not key.endswith("num_batches_tracked")]
    with pytest.raises(PlanError, match="drops"):
        carried(migrated, "drop-num-batches-tracked", reverse=True)


def test_add_num_batches_tracked(torch, carried, batch_norm):
    old = {key: value for key, value in batch_norm.items() if not key.endswith("num_batches_tracked")}
    migrated = carried(old, "add-num-batches-tracked")
    assert same(torch, migrated, batch_norm)
    assert same(torch, carried(migrated, "add-num-batches-tracked", reverse=True), old)


def test_restore_tied_lm_head(torch, carried):
    state = {"model.embed_tokens.weight": torch.rand(5, 2), "model.norm.weight": torch.rand(2)}
    migrated = carried(state, "restore-tied-lm-head")
    assert migrated["lm_head.weight"].data_ptr() == migrated["model.embed_tokens.weight"].data_ptr()
    assert torch.equal(migrated["lm_head.weight"], state["model.embed_tokens.weight"])
    assert same(torch, carried(migrated, "restore-tied-lm-head", reverse=True), state)
    with pytest.raises(PlanError, match="does not hold"):
        carried({"encoder.weight": torch.rand(1)}, "restore-tied-lm-head")


PUBLISHED = {  # layout: the migration and its parameters
    "torch-weightnorm-to-parametrizations": ("weight-norm-to-parametrizations", {}),
    "hf-gpt2-to-nanogpt": ("gpt2-conv1d-to-linear", {}),
    "meta-llama-to-hf-llama": ("llama-meta-to-hf", {"pairs": 8}),
    "torch-transformerencoder-to-hf-bertencoder": ("transformer-encoder-to-hf-bert", {}),
    "openclip-to-hf-clip": ("openclip-to-hf-clip", {}),
    "hf-qwen2_moe": ("stack-experts", {}),
    "hf-olmoe": ("stack-experts", {}),
    "hf-4.57-to-5.18-Qwen3MoeForCausalLM": ("stack-experts", {}),
    "hf-mixtral": ("mixtral-stack-experts", {}),
    "hf-4.57-to-5.18-MixtralForCausalLM": ("mixtral-stack-experts", {}),
}


@pytest.mark.parametrize("layout", PUBLISHED)
def test_published_layouts(layout):
    path = LAYOUTS / f"{layout}.json.gz"
    if not path.exists():
        pytest.skip(f"the corpus of layouts is not at {LAYOUTS}")
    known = json.loads(gzip.decompress(path.read_bytes()))
    name, params = PUBLISHED[layout]
    source, target = (schema(known[side]) for side in ("source", "target"))
    migration, facts = sources.migration(name), HeaderFacts(params=params)
    proof = prove(migration, source, target, facts)
    assert not proof.failed, proof.findings
    assert proof.grade is Grade.EXACT
    became = {(frozenset(edge.sources), frozenset(edge.targets)) for edge in proof.plan.edges}
    for edge in known["truth"]:
        if set(edge["ops"]) <= {"rename"}:  # the very tensor, then
            assert [proof.plan.inputs[key] for key in edge["sources"]] == [
                proof.plan.outputs[key] for key in edge["targets"]
            ]
        elif edge["targets"]:  # the registry names the targets of some of its stacks only beside others
            assert (frozenset(edge["sources"]), frozenset(edge["targets"])) in became
    assert infer_source(proof.plan.target, migration, facts).tensors == source.tensors


def schema(keys):
    return Schema({key: TensorSpec(DType.parse("f32"), tuple(shape)) for key, shape in keys.items()})
