"""The fifty conversions in plain torch, each as its original writes it: from a state dict to the new one."""

import math

import torch
from torch.nn import functional


def rope(w, heads):
    rows = w.shape[0]
    return w.view(heads, rows // heads // 2, 2, -1).transpose(1, 2).reshape(w.shape)


def megatron(x, heads, *, first):
    parts, hidden = 3, x.shape[0] // heads // 3
    if first:
        return x.view(heads, hidden, parts, -1).transpose(0, 2).transpose(1, 2).reshape(x.shape)
    return x.view(heads, parts, hidden, -1).transpose(0, 1).reshape(x.shape)


def gqa(qkv, heads=4, kv=2):
    size = qkv.shape[0] // (heads + 2 * kv)
    rows = qkv.view(heads + 2 * kv, size, -1)
    group = heads // kv
    q = torch.cat([torch.arange((group + 2) * i, (group + 2) * i + group) for i in range(kv)])
    k, v = torch.arange(group, heads + 2 * kv, group + 2), torch.arange(group + 1, heads + 2 * kv, group + 2)
    return {name: rows[index].reshape(-1, qkv.shape[1]) for name, index in (("q", q), ("k", k), ("v", v))}


def experts(w, form):
    parts = w.view(3, -1, w.shape[1])
    return {f"experts.{e}.{form}": parts[e] if form == "w1" else parts[e].T for e in range(3)}


def ernie(s):
    made = {}
    for name, numbers in (("text", (0, 1)), ("vision", (2, 3))):
        stacked = [torch.stack([s[f"e.{e}.{part}"] for e in numbers]) for part in ("gate", "up")]
        made[name] = torch.cat(stacked, 1)
    return made


def unfolded(w):
    rows = w.reshape(w.shape[0], w.shape[1] // 4, 4)
    return rows[:, :, [0, 2, 1, 3]].transpose(1, 2).reshape(w.shape)


def positions(p):
    prefix, grid = p[:, :1], p[:, 1:].reshape(1, 7, 7, -1).permute(0, 3, 1, 2)
    grid = functional.interpolate(grid, size=(10, 10), mode="bicubic", antialias=True)
    return torch.cat([prefix, grid.permute(0, 2, 3, 1).reshape(1, 100, -1)], 1)


def patches(w):
    """FlexiViT: the pseudo-inverse of the resize of all patches, as one matrix."""
    old, new = 16, (6, 6)
    basis = torch.eye(old, dtype=torch.float64).reshape(old, 1, 4, 4)
    resize = functional.interpolate(basis, size=new, mode="bicubic", antialias=True).reshape(old, -1)
    return (w.double().reshape(-1, old) @ torch.linalg.pinv(resize).T).reshape(*w.shape[:2], *new).float()


def table(t):
    """Straight lines between offsets at growing distances, one dimension after the other, by hand."""
    old, new = 13, 23
    low, high = 1.01, 1.5
    while high - low > 1e-6:
        q = (low + high) / 2
        reach = (1 - q ** (old // 2)) / (1 - q)
        low, high = (low, q) if reach > new // 2 else (q, high)
    steps = [sum(q**power for power in range(count + 1)) for count in range(old // 2)]
    places = torch.tensor([*(-step for step in reversed(steps)), 0.0, *steps], dtype=torch.float64)
    grid = t[:-3].double().reshape(old, old, -1)
    for dim in (0, 1):
        rows = []
        for place in range(-(new // 2), new // 2 + 1):
            after = int(torch.searchsorted(places, torch.tensor(float(place), dtype=torch.float64), right=True))
            at = min(max(after, 1), old - 1)
            share = (place - places[at - 1]) / (places[at] - places[at - 1])
            rows.append(grid.select(dim, at - 1) * (1 - share) + grid.select(dim, at) * share)
        grid = torch.stack(rows, dim)
    return torch.cat([grid.reshape(new * new, -1).float(), t[-3:]])


def weight_norm(s):
    named = {f"a.parametrizations.weight.original{n}": s[f"a.weight_{x}"] for n, x in enumerate("gv")}
    return {**named, "b.weight": torch._weight_norm(s["b.weight_v"], s["b.weight_g"], 0)}


def batch_norm(s):
    statistics = (s["bn.running_mean"], s["bn.running_var"])
    weight, bias = torch.nn.utils.fusion.fuse_conv_bn_weights(
        s["conv.weight"], None, *statistics, 1e-5, s["bn.weight"], s["bn.bias"]
    )
    return {"conv.weight": weight.detach(), "conv.bias": bias.detach()}


def mamba(w):
    parts = w.split([8, 8, 4, 4, 2])
    return torch.cat([part.chunk(2)[rank] for rank in range(2) for part in parts])


def tiled(w):
    fixed, rows = w[:8], w[8:]
    return torch.cat([fixed, rows.view(3, 2, 2, -1).transpose(0, 1).reshape(rows.shape)])


def gates(kernel):
    i, g, f, o = kernel.chunk(4, 1)
    return torch.cat([i, f, g, o], 1).T


def blocks(s):
    wide = s["scale"].repeat_interleave(4, 0).repeat_interleave(4, 1)[:6, :8]
    return (s["w"].float() * wide).bfloat16()


def thirds(w, *names):
    return dict(zip(names, w.chunk(3), strict=True))


def only(key, convert):
    return lambda s: {key: convert(next(iter(s.values())))}


def channels(w):
    wide = w.repeat(1, math.ceil(5 / 3), 1, 1)[:, :5].clone()
    wide *= 3 / 5
    return wide


REFERENCES = {
    1: only("w", lambda w: rope(w, 4)),
    2: lambda s: {"wq": rope(torch.cat([s["shard.0.wq"], s["shard.1.wq"]]), 4)},
    3: lambda s: {"wo": torch.cat([s["shard.0.wo"], s["shard.1.wo"]], 1)},
    4: only("q.lora_B", lambda w: rope(w, 4)),
    5: only("q.bias", lambda w: rope(w, 4)),
    6: lambda s: {f"a.{n}.{t}": x for t in ("weight", "bias") for n, x in thirds(s[f"a.in_proj_{t}"], *"qkv").items()},
    7: lambda s: thirds(s["qkv_proj"], "k_proj", "v_proj", "q_proj"),
    8: lambda s: thirds(s["c_attn.weight"].T, *"qkv"),
    9: lambda s: {"qkv.bias": torch.cat([s["q_bias"], torch.zeros(4), s["v_bias"]])},
    10: only("qkv", lambda w: megatron(w, 3, first=False)),
    11: only("qkv", lambda w: megatron(w, 3, first=True)),
    12: lambda s: gqa(s["linear_qkv"]),
    13: lambda s: dict(zip("qkv", s["qkv_proj"].split([12, 6, 6]), strict=True)),
    14: lambda s: experts(s["w1"], "w1"),
    15: lambda s: experts(s["w2"], "w2"),
    16: lambda s: {"gate_up": torch.cat([torch.stack([s[f"e.{e}.{x}"] for e in range(2)]) for x in ("gate", "up")], 1)},
    17: ernie,
    18: lambda s: {"gate": s["gate_up"][0::2], "up": s["gate_up"][1::2]},
    19: only("reduction", unfolded),
    20: only("norm", lambda w: unfolded(w[None])[0]),
    21: only("cls_score", lambda w: torch.cat([w[1:], w[:1]])),
    22: only("bbox_pred", lambda w: w[4:]),
    23: lambda s: {"norm": sum(s.values()) / 4},
    24: only("embed", lambda w: functional.pad(w, (0, 0, 0, 3))),
    25: only("embed", lambda w: w[:5]),
    26: only("embed", lambda w: torch.cat([w, w.mean(0, keepdim=True).expand(3, -1)])),
    27: lambda s: {"head.weight": s["proj"].T, "head.bias": torch.zeros(6)},
    28: only("cls_token", lambda w: w[None, None]),
    29: only("pos_embed", positions),
    30: only("table", table),
    31: only("conv", lambda w: w.sum(1, keepdim=True)),
    32: only("conv", channels),
    33: only("conv", lambda w: w.reshape(6, 3, 2, 2)),
    34: only("conv", lambda w: w.reshape(6, 2, 2, 3).permute(0, 3, 1, 2)),
    35: only("weight", lambda w: w.permute(3, 2, 0, 1)),
    36: only("weight", lambda w: w.permute(2, 3, 0, 1)),
    37: only("proj", patches),
    38: weight_norm,
    39: batch_norm,
    40: lambda s: {"k": s["k3"] + functional.pad(s["k1"], (1, 1, 1, 1))},
    41: only("norm", lambda w: w - 1),
    42: only("A_log", lambda w: torch.log(-w)),
    43: only("in_proj", tiled),
    44: only("in_proj", mamba),
    45: lambda s: {"w": s["w"] + (s["b"] @ s["a"]) * 8},
    46: only("linear", lambda w: w.flatten(1)),
    47: only("weight_ih", gates),
    48: lambda s: {"w": blocks(s)},
    49: only("k", lambda w: w.view(2, 3, 4, 5).mean(1).reshape(8, 5)),
    50: only("k", lambda w: w.view(2, 4, 5).repeat_interleave(3, 0).reshape(24, 5)),
}
