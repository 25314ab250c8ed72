"""Turn a plan around: the steps backwards, each by its operation's inverse; or say which step loses what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ckptlint.core.operation import Grade, Operation
from ckptlint.core.plan import Edge, Plan, Step
from ckptlint.core.spec import TensorSpec
from ckptlint.engine.board import CLONE, Clone
from ckptlint.engine.edges import end_to_end, in_order
from ckptlint.engine.faults import IRREVERSIBLE, Faults
from ckptlint.engine.words import in_words


class Loss(NamedTuple):
    """A source key that cannot be had back: why, the place in the migration, and the step that loses it (None: it is dropped)."""

    key: str
    reason: str
    where: str
    step: int | None


@dataclass(frozen=True, slots=True)
class Undoing:
    """The way back: `plan` is None where something is lost; `grade` is that of the worst step that had to be undone."""

    plan: Plan | None
    losses: tuple[Loss, ...]
    grade: Grade


def invert(plan: Plan) -> Plan:
    """Return the plan from `plan.target` back to `plan.source`, in its order.

    `PlanFaults` names every source key whose data the migration loses, and the rewrite that does. Tensors that the migration made
    new are left out; copies must still be equal to what they were copied from.
    """
    undone = undo(plan)
    if undone.plan is None:
        faults = Faults()
        for loss in undone.losses:
            hint = "keep the old file: there is no way back from the new one"
            faults.add(IRREVERSIBLE, loss.reason, keys=[loss.key], where=loss.where, hint=hint)
        faults.check()
    return undone.plan or plan


def undo(plan: Plan) -> Undoing:
    """Return the way back as far as there is one."""
    backwards = _Backwards(plan)
    backwards.walk()
    lost = [key for key, value in plan.inputs.items() if not backwards.has(value)]
    if lost:
        losses = tuple(map(_Losses(backwards).of, lost))
        return Undoing(None, losses, Grade.ONE_WAY)
    return Undoing(backwards.plan(), (), backwards.grade)


def approximation(op: Operation, inputs: tuple[TensorSpec, ...]) -> str:
    """Say how near an operation that is undone approximately is undone."""
    bound = op.bound(inputs)
    return f"{in_words(op)} is undone approximately" + (f", {bound}" if bound is not None else "")


def approximations(plan: Plan) -> Iterator[str]:
    """Say of each step that is undone approximately how near, alike steps once."""
    said: dict[str, None] = {}
    for step in plan.steps:
        specs = tuple(plan.specs[value] for value in step.inputs)
        if specs and step.op.grade(specs) is Grade.APPROXIMATE:
            said[approximation(step.op, specs)] = None
    yield from said


@dataclass(slots=True)
class _Backwards:
    """`numbers` gives the values of the plan, as far as they can be had back, their numbers in the new one."""

    forward: Plan
    numbers: dict[int, int] = field(default_factory=dict)
    specs: list[TensorSpec] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    must_equal: list[tuple[int, int]] = field(default_factory=list)
    grade: Grade = Grade.EXACT
    _tied: dict[int, int] = field(default_factory=dict)
    _inverses: dict[tuple[int, tuple[TensorSpec, ...]], Operation | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for value in self.forward.outputs.values():
            if value not in self.numbers:
                self.numbers[value] = self._new(value)
        self._tied = {other: first for first, other in self.forward.must_equal}

    def walk(self) -> None:
        for step in reversed(self.forward.steps):
            if isinstance(step.op, Clone):
                self._uncopy(*step.inputs, *step.outputs)
            elif not all(map(self.has, step.inputs)) and all(map(self.has, step.outputs)):
                self._undo(step)

    def has(self, value: int) -> bool:
        """Tell whether a value can be had back; one that was tied to another is a copy of that."""
        if value not in self.numbers and value in self._tied and self.has(self._tied[value]):
            number = self._new(value)
            self.steps.append(Step(CLONE, (self.numbers[self._tied[value]],), (number,)))
            self.numbers[value] = number
        return value in self.numbers

    def inverse(self, step: Step) -> Operation | None:
        """Return the operation that undoes a step, None where it loses data."""
        specs = tuple(self.forward.specs[value] for value in step.inputs)
        key = (id(step.op), specs)
        if key not in self._inverses:
            grade = step.op.grade(specs)
            self._inverses[key] = None if grade is Grade.ONE_WAY else step.op.inverse(specs)
        return self._inverses[key]

    def plan(self) -> Plan:
        forward = self.forward
        inputs = {key: self.numbers[value] for key, value in forward.outputs.items()}
        outputs = {key: self.numbers[forward.inputs[key]] for key in forward.source.tensors}
        return Plan(
            source=forward.target,
            target=forward.source,
            specs=tuple(self.specs),
            steps=tuple(self.steps),
            inputs=inputs,
            outputs=outputs,
            edges=in_order(_turned(end_to_end(forward), inputs, self.steps), inputs, outputs),
            must_equal=tuple(self.must_equal),
            notes=_notes(forward),
        )

    def _new(self, value: int) -> int:
        self.specs.append(self.forward.specs[value])
        return len(self.specs) - 1

    def _uncopy(self, source: int, copy: int) -> None:
        if not self.has(copy):
            return
        if self.has(source):
            self.must_equal.append((self.numbers[source], self.numbers[copy]))
        else:
            self.numbers[source] = self.numbers[copy]

    def _undo(self, step: Step) -> None:
        op = self.inverse(step)
        if op is None:
            return
        specs = tuple(self.forward.specs[value] for value in step.inputs)
        if step.op.grade(specs) is not Grade.EXACT:
            self.grade = Grade.APPROXIMATE
        inputs = tuple(self.numbers[value] for value in step.outputs)
        outputs = tuple(self._new(value) for value in step.inputs)
        for value, number in zip(step.inputs, outputs, strict=True):
            if value in self.numbers:
                self.must_equal.append((self.numbers[value], number))
            else:
                self.numbers[value] = number
        self.steps.append(Step(op, inputs, outputs, step.where))


class _Losses:
    """Follows lost values to where they get lost."""

    def __init__(self, backwards: _Backwards) -> None:
        self._backwards = backwards
        self._plan = backwards.forward
        self._consumers = {value: n for n, step in enumerate(self._plan.steps) for value in step.inputs}
        self._edges = {key: edge for edge in end_to_end(self._plan) for key in edge.sources}

    def of(self, key: str) -> Loss:
        """Say how the tensor of a source key is lost."""
        plan, edge = self._plan, self._edges[key]
        first = value = plan.inputs[key]
        while value in self._consumers:
            number = self._consumers[value]
            step = plan.steps[number]
            if self._backwards.inverse(step) is None:
                return Loss(key, f"{in_words(step.op)} loses data of {plan.specs[value]}", step.where, number)
            value = next(each for each in step.outputs if not self._backwards.has(each))
        part = "" if value == first else "a part of it "
        return Loss(key, f"{part}is dropped" + (f": {edge.reason}" if edge.reason else ""), edge.where, None)


def _turned(edges: Sequence[Edge], inputs: dict[str, int], steps: list[Step]) -> Iterator[Edge]:
    """The edges from targets to sources, with the words of the new steps."""
    owner = {inputs[key]: place for place, edge in enumerate(edges) for key in edge.targets}
    words: dict[int, list[str]] = {}
    for step in steps:
        place = owner.get(step.inputs[0], -1)
        owner.update(dict.fromkeys(step.outputs, place))
        spoken = words.setdefault(place, [])
        word = in_words(step.op)
        if not spoken or spoken[-1] != word:
            spoken.append(word)
    for place, edge in enumerate(edges):
        if edge.sources:
            yield Edge(edge.targets, edge.sources, tuple(words.get(place, ())), edge.where)
        else:
            yield Edge(edge.targets, (), ("drop",), edge.where, "the migration made it new")


def _notes(plan: Plan) -> tuple[str, ...]:
    made = sum(len(edge.targets) for edge in plan.edges if not edge.sources)
    if made == 1:
        return ("1 tensor that the migration made new is left out, whatever it holds now",)
    return (f"{made} tensors that the migration made new are left out, whatever they hold now",) if made else ()
