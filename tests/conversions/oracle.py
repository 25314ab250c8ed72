"""Run the original conversion functions, read out of their authors' source, and write what they give to golden.json.

python tests/conversions/oracle.py TRANSFORMERS_4_46 TRANSFORMERS_5_23 TIMM_1_0_31

Each argument is the folder of an unpacked wheel's package (`pip download --no-deps transformers==4.46.3`, ...); nothing of them is
imported but the functions named here, which need torch and numpy alone.
"""

import ast
import itertools
import json
import math
import sys
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import torch
import yaml
from inputs import array

from ckptlint.kits.torch_kit import as_tensor

HERE = Path(__file__).parent
BARE = {
    "product": itertools.product,
    "torch": torch,
    "F": torch.nn.functional,
    "math": math,
    "defaultdict": defaultdict,
    "ABC": object,
}


def taken(path, *names):
    """Return functions and classes of a source file, without running the rest of it; annotations and decorators are left out."""
    tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    found = [node for node in ast.walk(tree) if getattr(node, "name", None) in names]
    for node in found:
        for each in ast.walk(node):
            if isinstance(each, ast.FunctionDef):
                each.returns = None
                each.decorator_list = [
                    d for d in each.decorator_list if getattr(d, "id", "") in ("staticmethod", "property")
                ]
                arguments = [
                    *each.args.posonlyargs,
                    *each.args.args,
                    *each.args.kwonlyargs,
                    each.args.kwarg,
                    each.args.vararg,
                ]
                for argument in arguments:
                    if argument:
                        argument.annotation = None
            elif isinstance(each, ast.ClassDef):
                each.bases = []
    space = {**BARE, "is_exporting": lambda: False, "dim": 0}
    code = compile(ast.Module(found, []), str(path), "exec")
    exec(code, space)
    return SimpleNamespace(**{name: space[name] for name in names})


def originals(old, new, timm):
    """The conversions whose original can be run, by number."""
    llama = taken(f"{old}/models/llama/convert_llama_weights_to_hf.py", "permute")
    megatron = taken(f"{old}/models/megatron_gpt2/convert_megatron_gpt2_checkpoint.py", "fix_query_key_value_ordering")
    swin = taken(
        f"{old}/models/upernet/convert_swin_upernet_to_pytorch.py",
        "reverse_correct_unfold_reduction_order",
        "reverse_correct_unfold_norm_order",
    )
    v5 = taken(
        f"{new}/core_model_loading.py",
        *("Interleave", "Conv3dToLinear", "PermuteForRope", "ErnieFuseAndSplitTextVisionExperts", "Concatenate"),
    )
    position = taken(f"{timm}/layers/pos_embed.py", "resample_abs_pos_embed")
    kernels = taken(f"{timm}/models/_manipulate.py", "adapt_input_conv")
    grid = {
        **vars(taken(f"{timm}/layers/interpolate.py", "RegularGridInterpolator")),
        **vars(taken(f"{timm}/layers/grid.py", "ndgrid")),
        "DTYPE_INTERMEDIATE": torch.float32,
        "_USE_SCIPY": False,
        "product": itertools.product,
    }
    BARE.update(grid)
    tables = taken(f"{timm}/layers/pos_embed_rel.py", "resize_rel_pos_bias_table")
    patches = taken(
        f"{timm}/layers/patch_embed.py", *("resample_patch_embed", "_compute_resize_matrix", "_apply_resampling")
    )
    four_heads = SimpleNamespace(num_attention_heads=4)

    def ernie(s):
        lists = {part: [s[f"e.{e}.{part}"] for e in range(4)] for part in ("gate", "up")}
        return v5.ErnieFuseAndSplitTextVisionExperts().convert(lists, ["gate", "up"], ["text", "vision"], None)

    def interleave(s):
        made = v5.Interleave(0).convert({"gate_up": s["gate_up"]}, ["gate_up"], ["x"])["x"]
        return dict(zip(("gate", "up"), made.chunk(2), strict=True))

    def qkv(version):
        return lambda s: {"qkv": megatron.fix_query_key_value_ordering(s["qkv"], version, 3, 3, 2)}

    return {
        1: lambda s: {"w": llama.permute(s["w"], 4, *s["w"].shape)},
        5: lambda s: v5.PermuteForRope().convert(dict(s), ["q.bias"], ["q.bias"], four_heads),
        10: qkv(2.0),
        11: qkv(1.0),
        17: ernie,
        18: interleave,
        19: lambda s: {"reduction": swin.reverse_correct_unfold_reduction_order(s["reduction"])},
        20: lambda s: {"norm": swin.reverse_correct_unfold_norm_order(s["norm"])},
        29: lambda s: {"pos_embed": position.resample_abs_pos_embed(s["pos_embed"], [10, 10])},
        31: lambda s: {"conv": kernels.adapt_input_conv(1, s["conv"])},
        32: lambda s: {"conv": kernels.adapt_input_conv(5, s["conv"].clone())},
        46: lambda s: v5.Conv3dToLinear(3, (2, 2, 2)).convert(dict(s), ["conv"], ["linear"]),
        30: lambda s: {"table": tables.resize_rel_pos_bias_table(s["table"], (12, 12), (532, 3))},
        37: lambda s: {"proj": patches.resample_patch_embed(s["proj"], [6, 6])},
    }


def main(old, new, timm):
    golden = {}
    for number, convert in sorted(originals(old, new, timm).items()):
        (path,) = (HERE / "cases").glob(f"{number:02d}-*.yaml")
        case = yaml.safe_load(path.read_text(encoding="utf-8"))
        state = {key: as_tensor(array(key, spec)) for key, spec in case["source"].items()}
        made = convert(state)
        golden[str(number)] = {key: made[key].contiguous().numpy().tobytes().hex() for key in sorted(made)}
    text = json.dumps(golden, indent=0, sort_keys=True)
    (HERE / "golden.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
