"""Tell a new tensor whose value is known from one that is trained: the first is made, of the second only an initialiser is proposed.

A count of batches that nobody counted is 0 whatever the model. What a trained tensor would have become nobody knows: a bias of 0 may do, a
class token of 0 does not, and the model's own initialisation is better than either where it is no vector of a norm or a bias.
"""

from __future__ import annotations

from typing import Final, Literal

from ckptlint.engine.suggest.families import Family

Filling = Literal["zeros", "ones", "as the model"]

_KNOWN: Final = frozenset(("num_batches_tracked",))  # what every model has at 0 until it is trained
_ZEROS: Final = frozenset(("bias", "beta", "b", "running_mean", "moving_mean"))
_ONES: Final = frozenset(("gamma", "scale", "g", "running_var", "moving_variance"))


def is_known(family: Family) -> bool:
    """Whether its value follows from what it is."""
    return family.leaf in _KNOWN


def proposed(key: str, rank: int) -> Filling:
    """What a tensor of this name and rank is usually initialised with: `zeros`, `ones`, or whatever the model does."""
    leaf = key.rpartition(".")[2]
    if leaf in _KNOWN or (leaf in _ZEROS and rank <= 1):
        return "zeros"
    return "ones" if rank == 1 and (leaf in _ONES or leaf == "weight") else "as the model"
