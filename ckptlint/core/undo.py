"""What an undo file says: how an old checkpoint is put together again of the new one and of what was kept.

The old tree is stored whole, as a pickle of its own whose storages are numbered. For each of them `storages` says where its bytes are: in
the new checkpoint, in the undo file, or to be made of both by the steps of a recipe.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from ckptlint.core.operation import Operation
from ckptlint.core.spec import TensorSpec

Digests: TypeAlias = Mapping[str, tuple[str, str]]  # by tree path: `float32[2,3]`, and the SHA-256 of the elements


class InOutput(NamedTuple):
    """`nbytes` of the new checkpoint: the tensor (or bare storage) at `path` begins `shift` bytes behind their first."""

    path: str
    shift: int
    nbytes: int


class Kept(NamedTuple):
    """A tensor of the undo file."""

    name: str


class Computed(NamedTuple):
    """Value number `value` of recipe number `recipe`."""

    recipe: int
    value: int


Whereabouts: TypeAlias = InOutput | Kept | Computed


class Ingredient(NamedTuple):
    """A value that a recipe begins with: the tensor at a path of the new checkpoint, or one of the undo file."""

    value: int
    spec: TensorSpec
    path: str = ""
    kept: str = ""


class Making(NamedTuple):
    """One step of a recipe."""

    op: Operation
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


class Recipe(NamedTuple):
    """Steps over numbered values."""

    ingredients: tuple[Ingredient, ...]
    steps: tuple[Making, ...]


@dataclass(frozen=True, slots=True)
class UndoRecord:
    """`migrations` are the SHA-256 of the migrations' bodies in the order they ran, `start` and `end` the revisions of a chain.

    `source` and `output` are the digests of the old and of the new checkpoint's tensors, `notes` what the old container said of itself.
    """

    migrations: tuple[str, ...]
    start: str
    end: str
    source: Digests
    output: Digests
    notes: Mapping[str, str]
    storages: tuple[Whereabouts, ...]
    recipes: tuple[Recipe, ...]
