"""`init:`, how elements come to be that no source has: of `new`, and of the rows that `pad` and `remap_rows` add."""

from __future__ import annotations

from typing import Literal

from ckptlint.core.initial import Initial
from ckptlint.documents.nodes import Node

INITIAL = {
    "from_model": "true: take them from the model of --model",
    "normal": "draw them from a normal distribution of this standard deviation",
    "uniform": "draw them evenly, within this distance of the mean",
    "mean": "the middle of what is drawn; 0 unless said",
    "seed": "of what is drawn, or what torch.manual_seed is given before the model is built",
}
_EXAMPLE = "init: {normal: 0.02, seed: 0}, or init: {from_model: true, seed: 0}"


def read_initial(node: Node) -> Initial:
    """Read one way to make elements."""
    node.only(*INITIAL)
    seed = node.find("seed")
    number = seed.integer() if seed else 0
    mean = node.find("mean")
    said = [how for how in ("from_model", "normal", "uniform") if node.find(how) is not None]
    if len(said) != 1:
        raise node.fail("needs one of from_model, normal and uniform", hint=_EXAMPLE)
    value = node.get(said[0])
    if said[0] != "from_model":
        how: Literal["normal", "uniform"] = "normal" if said[0] == "normal" else "uniform"
        return value.located(lambda: Initial(how, value.number(), mean.number() if mean else 0.0, number))
    if mean is not None:
        raise mean.fail("the model has means of its own")
    if not value.boolean():
        raise value.fail("should be true; `fill` makes a tensor of one value")
    return Initial(seed=number)
