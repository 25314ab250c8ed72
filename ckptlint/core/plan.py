"""A plan: a migration bound to one schema; no patterns are left in it.

Values are numbered: the source's distinct tensors first (two tied keys are one value), then each step's outputs. A step names its
inputs by number, so a key that several steps reuse is never ambiguous.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ckptlint.core.operation import Operation
from ckptlint.core.schema import Schema
from ckptlint.core.spec import TensorSpec


@dataclass(frozen=True, slots=True)
class Step:
    """An operation bound to values: what runs once. `where` is the place in the migration file it comes from."""

    op: Operation
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    where: str = ""


@dataclass(frozen=True, slots=True)
class Edge:
    """A rewrite bound to keys: which source keys became which target keys, and by which operations, in words."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    ops: tuple[str, ...] = ()
    where: str = ""
    reason: str = ""  # of a drop


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything a migration will do to one state dict.

    `specs` is the spec of every value by its number; `inputs` which value each source key is; `outputs` which value each target key is
    (two keys with one number are tied in the output); `must_equal` pairs of values whose data must be equal before they are tied.
    """

    source: Schema
    target: Schema
    specs: tuple[TensorSpec, ...]
    steps: tuple[Step, ...]
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]
    edges: tuple[Edge, ...]
    must_equal: tuple[tuple[int, int], ...] = ()
    notes: tuple[str, ...] = field(default=())
