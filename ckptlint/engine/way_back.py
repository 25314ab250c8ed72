"""Find, for one plan, the least to keep so that source values can be had back bit for bit from the values that its output holds.

What an exact operation made is made again by its inverse; where only a part of its outputs is left, the other part is kept. An operation
that drops rows has them kept. Only what no such way leads to is kept as a whole.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from ckptlint.core.operation import Grade, Operation, Remainder
from ckptlint.core.plan import Plan, Step
from ckptlint.core.spec import TensorSpec
from ckptlint.engine.board import Clone
from ckptlint.ops.spec_kit import SpecKit


class WayBack(NamedTuple):
    """`plan` is the plan with the steps that make what is kept; `kept` values of it are to be kept, `used` of the output are needed.

    `steps` lead from these to the values in `made`. Values are numbered as in `plan`, those made on the way back beyond its own.
    """

    plan: Plan
    kept: tuple[int, ...]
    used: tuple[int, ...]
    steps: tuple[Step, ...]
    made: dict[int, int]  # a wanted source value, and the number of the value that it is


def way_back(plan: Plan, wanted: Collection[int], at_hand: Collection[int]) -> WayBack:
    """Return how to make those of the `wanted` source values that can be made, from the values `at_hand` and what is kept."""
    walk = _Walk(plan, at_hand)
    for step in reversed(plan.steps):
        walk.undo(step)
    found = {value: walk.number(value) for value in wanted}
    made = {value: number for value, number in found.items() if number is not None}
    return walk.pruned(made)


@dataclass(slots=True)
class _Walk:
    plan: Plan
    at_hand: Collection[int]
    _have: dict[int, int] = field(default_factory=dict)  # values of the plan, and the numbers they are had back as
    _specs: list[TensorSpec] = field(default_factory=list)
    _keeping: list[Step] = field(default_factory=list)
    _kept: set[int] = field(default_factory=set)
    _back: list[Step] = field(default_factory=list)
    _tied: dict[int, int] = field(default_factory=dict)
    _known: dict[tuple[int, tuple[TensorSpec, ...]], Operation | Remainder | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._specs = list(self.plan.specs)
        self._have = {value: value for value in self.at_hand}
        self._tied = dict([*self.plan.must_equal, *((other, one) for one, other in self.plan.must_equal)])

    def number(self, value: int) -> int | None:
        """The number of the value that this one can be had back as."""
        if value not in self._have and self._tied.get(value) in self._have:
            self._have[value] = self._have[self._tied[value]]
        return self._have.get(value)

    def undo(self, step: Step) -> None:
        """Take one step back, where that gives anything that is not there yet."""
        if all(self.number(value) is not None for value in step.inputs):
            return
        had = [value for value in step.outputs if self.number(value) is not None]
        if not had:
            return
        if isinstance(step.op, Clone):
            self._have[step.inputs[0]] = self._have[step.outputs[0]]
            return
        way = self._way(step)
        if isinstance(way, Operation):
            self._inverted(step, way)
        elif way is not None and len(had) == len(step.outputs):
            self._completed(step, way)

    def pruned(self, made: dict[int, int]) -> WayBack:
        """Leave out what leads to nothing that is wanted."""
        needed = set(made.values())
        steps: list[Step] = []
        for step in reversed(self._back):
            if not needed.isdisjoint(step.outputs):
                needed.update(step.inputs)
                steps.append(step)
        steps.reverse()
        kept = tuple(sorted(self._kept & needed))
        keeping = [step for step in self._keeping if not set(step.outputs).isdisjoint(kept)]
        plan = replace(self.plan, steps=(*self.plan.steps, *keeping), specs=tuple(self._specs))
        used = tuple(sorted(needed & set(self.at_hand)))
        return WayBack(plan, kept, used, tuple(steps), made)

    def _way(self, step: Step) -> Operation | Remainder | None:
        """The exact inverse of a step, else what to keep so that it can be undone."""
        specs = self._specs_of(step.inputs)
        key = (id(step.op), specs)
        if key not in self._known:
            exact = not step.op.opaque and step.op.grade(specs) is Grade.EXACT
            self._known[key] = (step.op.inverse(specs) if exact else None) or step.op.remainder(specs)
        return self._known[key]

    def _inverted(self, step: Step, op: Operation) -> None:
        missing = [value for value in step.outputs if value not in self._have]
        lost = sum(self._specs[value].nbytes for value in step.inputs if value not in self._have)
        if sum(self._specs[value].nbytes for value in missing) > lost:
            return  # the inputs themselves take less room
        for value in missing:
            self._kept.add(value)
            self._have[value] = value
        self._give(step, self._run([op], [self._have[value] for value in step.outputs]))

    def _completed(self, step: Step, way: Remainder) -> None:
        specs = self._specs_of(step.inputs)
        places = self._new(way.keep.apply(SpecKit(), specs))
        self._keeping.append(Step(way.keep, step.inputs, places, step.where))
        kept = [places[place] for place in way.kept]
        self._kept.update(kept)
        slots = [self._have[step.outputs[place]] if place >= 0 else kept[~place] for place in way.order]
        self._give(step, self._run(way.back, slots))

    def _run(self, ops: Sequence[Operation], slots: Sequence[int]) -> tuple[int, ...]:
        values = tuple(slots)
        for op in ops:
            outputs = self._new(op.apply(SpecKit(), self._specs_of(values)))
            self._back.append(Step(op, values, outputs))
            values = outputs
        return values

    def _give(self, step: Step, made: tuple[int, ...]) -> None:
        for value, number in zip(step.inputs, made, strict=True):
            self._have.setdefault(value, number)

    def _new(self, specs: tuple[TensorSpec, ...]) -> tuple[int, ...]:
        first = len(self._specs)
        self._specs.extend(specs)
        return tuple(range(first, len(self._specs)))

    def _specs_of(self, values: tuple[int, ...]) -> tuple[TensorSpec, ...]:
        return tuple(self._specs[value] for value in values)
