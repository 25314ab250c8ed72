"""Load the migrated checkpoint strictly into this year's model, and compare what both models compute."""

from __future__ import annotations

import sys

import torch

sys.path[:0] = ["docs/demo", "docs/demo/legacy"]

import train  # the old code: only this check needs it
from model import LanguageModel

sys.modules["__main__"].TrainConfig = train.TrainConfig  # type: ignore[attr-defined]  # the name it was pickled under

old_file, new_file = sys.argv[1:]
before = torch.load(old_file, weights_only=False)
after = torch.load(new_file, weights_only=False)

old = torch.nn.DataParallel(train.GPT(before["config"]))
old.load_state_dict(before["model"])
new = LanguageModel(width=64, depth=4)
print("strict load:", new.load_state_dict(after["model"], strict=True))

tokens = torch.arange(32)[None]
old.eval(), new.eval()
with torch.no_grad():
    difference = (old(tokens) - new(tokens)).abs().max().item()
print("largest difference of the outputs:", difference)
optimizer = torch.optim.AdamW(new.parameters())
optimizer.load_state_dict(after["optimizer"])
carried = sum(optimizer.state[each]["exp_avg"].shape == each.shape for each in new.parameters())
print("the optimizer goes on with", carried, "of", len(list(new.parameters())), "parameters")
print("beside the weights:", after["config"], "step", after["step"])
if difference > 1e-5 or after["config"] != before["config"] or carried < len(list(new.parameters())):
    sys.exit("the migrated model is not the same model")
