"""Write layouts.json: what the original converters and the models themselves say of layouts that migrations are shipped for.

python tests/layouts/layouts_oracle.py TRANSFORMERS_4_46

It needs transformers 4.46 and diffusers 0.31 in the environment; the argument is the folder of the package's source. Each layout is
`{"source": {key: shape}, "target": {key: shape}, "edges": [[[old keys], [new keys]], ...]}`, of a small model.
"""

import ast
import contextlib
import io
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import torch
from diffusers import AutoencoderKL
from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint
from transformers import (
    ResNetConfig,
    ResNetForImageClassification,
    ViTConfig,
    ViTForImageClassification,
    WhisperConfig,
    WhisperForConditionalGeneration,
)


def taken(path, *names):
    """Return functions and tables of a script, without running the rest of it."""
    tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    found = [n for n in tree.body if getattr(n, "name", None) in names or _assigned(n) in names]
    space = {"torch": torch}
    exec(compile(ast.Module(found, []), str(path), "exec"), space)
    return SimpleNamespace(**{name: space[name] for name in names})


def _assigned(node):
    return getattr(node.targets[0], "id", None) if isinstance(node, ast.Assign) else None


def layout(source, target, edges):
    shapes = [{key: list(value.shape) for key, value in side.items()} for side in (source, target)]
    return {"source": shapes[0], "target": shapes[1], "edges": edges}


def vit(models):
    script = taken(f"{models}/vit/convert_vit_timm_to_pytorch.py", "create_rename_keys")
    config = ViTConfig(8, 2, 2, 16, image_size=8, patch_size=4, num_labels=5)
    target = ViTForImageClassification(config).state_dict()
    pairs = script.create_rename_keys(config)
    source = {old: target[new] for old, new in pairs}
    edges = [[[old], [new]] for old, new in pairs]
    for layer in range(2):
        for t in ("weight", "bias"):  # as read_in_q_k_v of the script cuts it
            parts = [f"vit.encoder.layer.{layer}.attention.attention.{x}.{t}" for x in ("query", "key", "value")]
            source[f"blocks.{layer}.attn.qkv.{t}"] = torch.cat([target[part] for part in parts])
            edges.append([[f"blocks.{layer}.attn.qkv.{t}"], parts])
    return layout(source, target, edges)


def whisper(models):
    script = taken(f"{models}/whisper/convert_openai_to_hf.py", "WHISPER_MAPPING", "rename_keys")
    sizes = {
        f"{s}_{x}": n
        for s in ("encoder", "decoder")
        for x, n in (("layers", 2), ("attention_heads", 2), ("ffn_dim", 16))
    }
    tokens = {"vocab_size": 20, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
    places = {"max_source_positions": 6, "max_target_positions": 5, "num_mel_bins": 4}
    target = WhisperForConditionalGeneration(WhisperConfig(d_model=8, **sizes, **tokens, **places)).state_dict()
    source = _openai(8)
    with contextlib.redirect_stdout(io.StringIO()):
        renamed = script.rename_keys({key: key for key in source})
    edges = [[[old], [f"model.{new}"]] for new, old in renamed.items()]
    edges = [[old, [*new, "proj_out.weight"] if "token_embedding" in old[0] else new] for old, new in edges]
    return layout(source, target, edges)


def _openai(width):
    """The state dict of OpenAI's whisper/model.py, with two layers."""
    pair = {"weight": (width,), "bias": (width,)}
    square = {"weight": (width, width), "bias": (width,)}
    layers = {"encoder.ln_post": pair, "decoder.ln": pair}
    layers["encoder.conv1"] = {"weight": (width, 4, 3), "bias": (width,)}
    layers["encoder.conv2"] = {"weight": (width, width, 3), "bias": (width,)}
    for side, attentions in (("encoder", ("attn",)), ("decoder", ("attn", "cross_attn"))):
        for block in (f"{side}.blocks.{number}" for number in range(2)):
            for attention in attentions:
                for part in ("query", "value", "out"):
                    layers[f"{block}.{attention}.{part}"] = square
                layers[f"{block}.{attention}.key"] = {"weight": (width, width)}
                layers[f"{block}.{attention}_ln"] = pair
            layers[f"{block}.mlp.0"] = {"weight": (16, width), "bias": (16,)}
            layers[f"{block}.mlp.2"] = {"weight": (width, 16), "bias": (width,)}
            layers[f"{block}.mlp_ln"] = pair
    found = {f"{layer}.{t}": torch.zeros(shape) for layer, shapes in layers.items() for t, shape in shapes.items()}
    places = {"encoder.positional_embedding": (6, width), "decoder.positional_embedding": (5, width)}
    tables = {**places, "decoder.token_embedding.weight": (20, width)}
    return found | {key: torch.zeros(shape) for key, shape in tables.items()}


def resnet(kind):
    config = ResNetConfig(embedding_size=4, hidden_sizes=[8, 16], depths=[2, 1], layer_type=kind, num_labels=3)
    target = ResNetForImageClassification(config).state_dict()
    names = {key: _torchvision(key) for key in target}
    return layout(
        {old: target[new] for new, old in names.items()}, target, [[[old], [new]] for new, old in names.items()]
    )


def _torchvision(key):
    key = re.sub(r"resnet\.embedder\.embedder\.(conv|norm)\w+", lambda m: {"conv": "conv1", "norm": "bn1"}[m[1]], key)
    key = re.sub(
        r"resnet\.encoder\.stages\.(\d+)\.layers\.(\d+)\.layer\.(\d+)\.(conv|norm)\w+",
        lambda m: f"layer{int(m[1]) + 1}.{m[2]}.{ {'conv': 'conv', 'norm': 'bn'}[m[4]] }{int(m[3]) + 1}",
        key,
    )
    key = re.sub(
        r"resnet\.encoder\.stages\.(\d+)\.layers\.(\d+)\.shortcut\.(conv|norm)\w+",
        lambda m: f"layer{int(m[1]) + 1}.{m[2]}.downsample.{ {'conv': 0, 'norm': 1}[m[3]] }",
        key,
    )
    return key.replace("classifier.1", "fc")


def vae():
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    model = AutoencoderKL(block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, **blocks)
    target = model.state_dict()
    source = {_latent_diffusion(key): value for key, value in target.items()}
    source = {key: value[:, :, None, None] if _is_projection(key) else value for key, value in source.items()}
    marked = {key: torch.full_like(value, float(number)) for number, (key, value) in enumerate(source.items())}
    made = convert_ldm_vae_checkpoint(marked, {"block_out_channels": (8, 16), **blocks})
    names = list(source)
    return layout(source, target, [[[names[int(value.flatten()[0])]], [key]] for key, value in made.items()])


def _is_projection(key):
    return bool(re.search(r"mid\.attn_1\.(q|k|v|proj_out)\.weight", key))


def _latent_diffusion(key):
    key = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", key)
    for new, old in (("group_norm", "norm"), ("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "proj_out")):
        key = key.replace(f"mid_block.attentions.0.{new}", f"mid.attn_1.{old}")
    key = re.sub(r"down_blocks\.(\d)\.resnets\.(\d)", r"down.\1.block.\2", key)
    key = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", key)
    key = re.sub(r"up_blocks\.(\d)\.resnets\.(\d)", lambda m: f"up.{1 - int(m[1])}.block.{m[2]}", key)
    key = re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{1 - int(m[1])}.upsample", key)
    return key.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")


if __name__ == "__main__":
    place = f"{sys.argv[1]}/models"
    layouts = {
        "vit-timm-to-hf": vit(place),
        "whisper-openai-to-hf": whisper(place),
        "resnet-torchvision-to-hf": resnet("bottleneck"),
        "ldm-vae-to-diffusers": vae(),
    }
    text = json.dumps(layouts, separators=(",", ":"))
    (Path(__file__).parent / "layouts.json").write_text(text.replace('},"', '},\n"') + "\n", encoding="utf-8")
