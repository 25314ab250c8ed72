"""How elements come to be that no source has: as the model initialises them, or drawn with a seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ckptlint.errors import DocumentError


@dataclass(frozen=True, slots=True)
class Initial:
    """As the `model` of `--model` begins; drawn `normal` with the deviation `spread` about `mean`, or `uniform` within `spread` of it.

    What is drawn depends on `seed` and on the key it is for alone, not on what else is drawn, nor on the machine.
    """

    how: Literal["model", "normal", "uniform"] = "model"
    spread: float = 0.0
    mean: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.spread < float("inf"):
            raise DocumentError(f"{self.how} is a deviation, and cannot be {self.spread!r}")

    def __str__(self) -> str:
        seed = f" seed {self.seed}"
        if self.how == "model":
            return f"of the model,{seed}"
        return f"{self.how} {self.spread:g}" + (f" about {self.mean:g}" if self.mean else "") + f",{seed}"


OF_THE_MODEL = Initial()
