"""Last year's training script: the model as it was, trained for a moment, saved the way people save.

The checkpoint holds the weights under `model`, wrapped by DataParallel (`module.`), beside the optimizer and an instance
of a class of this file.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass
class TrainConfig:
    """What the run was started with; pickled into the checkpoint, class and all."""

    width: int = 64
    depth: int = 4
    heads: int = 4
    context: int = 32


class Block(nn.Module):
    """A transformer block with one fused projection."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.ln_1 = nn.LayerNorm(config.width)
        self.c_attn = nn.Linear(config.width, 3 * config.width)
        self.c_proj = nn.Linear(config.width, config.width)
        self.ln_2 = nn.LayerNorm(config.width)
        self.fc = nn.Linear(config.width, 4 * config.width)
        self.out = nn.Linear(4 * config.width, config.width)

    def forward(self, x: Tensor) -> Tensor:
        heads = (*x.shape[:2], self.heads, -1)
        q, k, v = (part.view(heads).transpose(1, 2) for part in self.c_attn(self.ln_1(x)).chunk(3, dim=-1))
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.c_proj(mixed.transpose(1, 2).flatten(2))
        return x + self.out(functional.gelu(self.fc(self.ln_2(x))))


class GPT(nn.Module):
    """A small language model over bytes."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        self.wte = nn.Embedding(256, config.width)
        self.wpe = nn.Embedding(config.context, config.width)
        self.h = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.ln_f = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, 256, bias=False)
        self.head.weight = self.wte.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1], device=tokens.device))
        for block in self.h:
            x = block(x)
        return self.head(self.ln_f(x))


def train(text: bytes, steps: int) -> dict[str, object]:
    """Train on random windows of the text; return what the script saves."""
    torch.manual_seed(0)
    config = TrainConfig()
    model = nn.DataParallel(GPT(config))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    data = torch.frombuffer(bytearray(text), dtype=torch.uint8).long()
    for _ in range(steps):
        starts = torch.randint(len(data) - config.context - 1, (16,))
        windows = torch.stack([data[start : start + config.context + 1] for start in starts])
        logits = model(windows[:, :-1])
        loss = functional.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "config": config,
        "step": steps,
        "loss": loss.item(),
    }


if __name__ == "__main__":
    torch.save(train(Path(__file__).read_bytes(), steps=60), sys.argv[1])
