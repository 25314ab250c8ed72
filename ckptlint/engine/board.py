"""The values of a plan while it is being made: numbered, with their specs, and the steps that make them.

The same operation on the same values runs once, so that names of one tensor stay names of one tensor; shapes are computed once for
each operation and input specs, since a model repeats its layers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, TypeVar

from ckptlint.core.dtype import DType
from ckptlint.core.operation import Kit, Lowered, Operation
from ckptlint.core.plan import Step
from ckptlint.core.spec import TensorSpec
from ckptlint.errors import ShapeError
from ckptlint.ops.spec_kit import SpecKit

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Clone(Operation):
    """A tensor of its own with the same elements: what tells a copy from a second name."""

    name: ClassVar[str] = "copy"
    example: ClassVar[str] = "copy: {a.weight: b.weight}"

    def apply(self, kit: Kit[T], inputs: tuple[T, ...]) -> tuple[T, ...]:
        del kit
        return inputs

    def inverse(self, inputs: tuple[TensorSpec, ...]) -> Operation:
        del inputs
        return self

    def on_moment(self, order: int, dtype: DType) -> None:
        """The gradient of one tensor with two uses is the sum of those that two tensors have: it tells neither."""
        del order, dtype


CLONE = Clone()


_MOST_PIECES = 100_000  # of one tensor; a header may claim any size, and nothing but its size bounds an unstack


class _BoundedKit(SpecKit):
    """Refuses an operation that would cut a tensor into pieces without end."""

    def __init__(self) -> None:
        self._pieces = 0

    def slice(self, x: TensorSpec, dim: int, start: int, stop: int, step: int = 1) -> TensorSpec:
        self._pieces += 1
        if self._pieces > _MOST_PIECES:
            raise ShapeError(f"would be cut into more than {_MOST_PIECES} pieces")
        return super().slice(x, dim, start, stop, step)


@dataclass(slots=True)
class Board:
    """Value n has `specs[n]`; `ranks[n]` is its place among the parameters, None for what is no parameter.

    `owners[n]` tells which rewrite (stage, index) asked for `steps[n]`.
    """

    specs: list[TensorSpec] = field(default_factory=list)
    ranks: list[int | None] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    owners: list[tuple[int, int]] = field(default_factory=list)
    must_equal: list[tuple[int, int]] = field(default_factory=list)
    owner: tuple[int, int] = (0, 0)
    _made: dict[tuple[int, tuple[int, ...]], tuple[int, ...]] = field(default_factory=dict)
    _shapes: dict[tuple[int, tuple[TensorSpec, ...]], tuple[TensorSpec, ...]] = field(default_factory=dict)
    _alive: dict[int, Operation] = field(default_factory=dict)

    def value(self, spec: TensorSpec, rank: int | None) -> int:
        """Add a value that no step makes, and return its number."""
        self.specs.append(spec)
        self.ranks.append(rank)
        return len(self.specs) - 1

    def run(
        self, op: Operation, inputs: tuple[int, ...], where: str, key: str = "", target: str = ""
    ) -> tuple[int, ...]:
        """Add a step and return the numbers of its outputs; `ShapeError` where the operation does not fit.

        Operations are told apart by identity: who builds them builds equal ones once. `key` and `target` are for what is made new.
        """
        mark = (id(op), inputs)
        known = self._made.get(mark)
        if known is None:
            lowered = op.lowered(tuple([self.specs[number] for number in inputs]), key, target) if key else None
            made = self._lowered(lowered, inputs, where) if lowered else self._step(op, inputs, where)
            known = self._made[mark] = made
        return known

    def _lowered(self, lowered: Lowered, inputs: tuple[int, ...], where: str) -> tuple[int, ...]:
        values = list(inputs)
        made = inputs
        for op, places in lowered.steps:
            made = self._step(op, tuple([values[place] for place in places]), where)
            values.extend(made)
        return made

    def fresh(self, op: Operation, inputs: tuple[int, ...], where: str) -> tuple[int, ...]:
        """Add a step whose outputs are tensors of their own, though the same step may be there already."""
        return self._step(op, inputs, where)

    def _step(self, op: Operation, inputs: tuple[int, ...], where: str) -> tuple[int, ...]:
        specs = self._outputs(op, tuple(self.specs[number] for number in inputs))
        first = len(self.specs)
        outputs = tuple(range(first, first + len(specs)))
        ranks = [self.ranks[number] for number in inputs]
        known = [rank for rank in ranks if rank is not None]
        rank = min(known) if known and len(known) == len(ranks) else None
        self.specs.extend(specs)
        self.ranks.extend([rank] * len(specs))
        self.steps.append(Step(op, inputs, outputs, where))
        self.owners.append(self.owner)
        return outputs

    def _outputs(self, op: Operation, inputs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
        self._alive[id(op)] = op
        key = (id(op), inputs)
        known = self._shapes.get(key)
        if known is None:
            known = self._shapes[key] = op.apply(_BoundedKit(), inputs)
        return known
