"""What the rewrites of one stage share while they are carried out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ckptlint.core.spec import TensorSpec
from ckptlint.engine.arrange import Arrangement
from ckptlint.engine.board import Board
from ckptlint.engine.faults import Faults
from ckptlint.engine.params import Params
from ckptlint.engine.ties import Fate, shared


@dataclass(slots=True)
class Work:
    """`values` are the keys that the stage starts with, `made` those it makes; `fates` what names of one tensor became."""

    board: Board
    params: Params
    faults: Faults
    values: Mapping[str, int]
    made: Arrangement
    places: Mapping[str, int] = field(init=False)
    tied: frozenset[str] = field(init=False)
    fates: dict[str, Fate] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.places = {key: place for place, key in enumerate(self.values)}
        self.tied = frozenset(key for keys in shared(self.values).values() for key in keys)

    def spec(self, key: str) -> TensorSpec:
        """Return the spec of a key that the stage starts with."""
        return self.board.specs[self.values[key]]

    def became(self, key: str, fate: Fate) -> None:
        """Note what a key became, where it is one of several names of its tensor."""
        if key in self.tied:
            self.fates[key] = fate
