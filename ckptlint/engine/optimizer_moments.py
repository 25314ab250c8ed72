"""What a migration of weights does to the moments that an optimizer keeps of their gradients: plans of their own, one for each kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from ckptlint.core.checkpoint import Section, SectionKind
from ckptlint.core.dtype import DType
from ckptlint.core.operation import Operation
from ckptlint.core.plan import Plan, Step
from ckptlint.core.schema import Schema
from ckptlint.core.spec import TensorSpec, contiguous
from ckptlint.core.tree import Dict, Storage, Tensor
from ckptlint.engine.board import CLONE
from ckptlint.engine.moments import ORDERS
from ckptlint.errors import CkptlintError
from ckptlint.ops.spec_kit import SpecKit

_KIT: Final = SpecKit()


class Beside(NamedTuple):
    """A plan for tensors beside the weights; `tensors` are the nodes that stand for its results, without bytes."""

    section: Section
    plan: Plan
    tensors: Mapping[str, Tensor]


def awaited(spec: TensorSpec) -> Tensor:
    """Return a tensor without bytes, which stands in the tree for one that is computed."""
    return Tensor(Storage("", spec.dtype, spec.numel), spec.dtype, spec.shape, contiguous(spec.shape))


def copies(pairs: Sequence[tuple[Tensor, Tensor]]) -> Beside:
    """Return the plan that gives each first tensor a copy of the second that is nobody else's."""
    olds = {f"{place}": old for place, (_, old) in enumerate(pairs)}
    news = {f"{place}": new for place, (new, _) in enumerate(pairs)}
    specs = (*(old.spec for old in olds.values()), *(new.spec for new in news.values()))
    count = len(pairs)
    source = Schema({key: old.spec for key, old in olds.items()})
    target = Schema({key: new.spec for key, new in news.items()})
    steps = tuple(Step(CLONE, (place,), (count + place,)) for place in range(count))
    inputs = {key: place for place, key in enumerate(olds)}
    outputs = {key: count + place for place, key in enumerate(news)}
    return Beside(
        Section("", SectionKind.OTHER, Dict([]), olds), Plan(source, target, specs, steps, inputs, outputs, ()), news
    )


class Moments:
    """The moments of one kind: `tensors` are the old ones, by the key of their weight."""

    def __init__(self, plan: Plan, kind: str, tensors: Mapping[str, Tensor]) -> None:
        self._plan = plan
        self._kind = kind
        self._tensors = tensors
        self._specs = {plan.inputs[key]: tensor.spec for key, tensor in tensors.items()}
        self._steps: dict[int, Step] = {}  # by output
        self._places: dict[str, Tensor] = {}
        self._follow()

    def place(self, key: str) -> Tensor | None:
        """Return the tensor that stands for the moment of a new weight, None where no law makes it."""
        value = self._plan.outputs[key]
        if value not in self._specs or self._specs[value].shape != self._plan.specs[value].shape:
            return None
        if key not in self._places:
            self._places[key] = awaited(self._specs[value])
        return self._places[key]

    def beside(self, wanted: Iterable[str]) -> Beside:
        """Return the plan that makes the moments of these new weights."""
        plan = self._plan
        outputs = {key: plan.outputs[key] for key in wanted}
        steps = self._needed(outputs.values())
        inputs = {key: plan.inputs[key] for key in self._tensors}
        specs = tuple(self._specs.get(value, spec) for value, spec in enumerate(plan.specs))
        derived = Plan(
            Schema({key: specs[value] for key, value in inputs.items()}),
            Schema({key: specs[value] for key, value in outputs.items()}),
            specs,
            steps,
            inputs,
            outputs,
            (),
        )
        section = Section("", SectionKind.OTHER, Dict([]), self._tensors)
        return Beside(section, derived, {key: self._places[key] for key in outputs})

    def _follow(self) -> None:
        order = ORDERS.get(self._kind)
        usual = next(iter(self._tensors.values())).dtype
        for step in self._plan.steps:
            inputs = [self._specs[value] for value in step.inputs if value in self._specs]
            if len(inputs) < len(step.inputs):
                continue
            op = self._on(step.op, order, inputs[0].dtype if inputs else usual)
            if op is None:
                continue
            moved = replace(step, op=op)
            made = self._made(moved, inputs)
            if made is not None:
                self._specs.update(zip(step.outputs, made, strict=True))
                self._steps.update(dict.fromkeys(step.outputs, moved))

    @staticmethod
    def _on(op: Operation, order: int | None, dtype: DType) -> Operation | None:
        """What an operation does to moments of an order; to a length (None) only what does nothing but move elements does something."""
        if order is not None:
            return op.on_moment(order, dtype)
        return op if op.layout and op.on_moment(1, dtype) is op else None

    @staticmethod
    def _made(step: Step, inputs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...] | None:
        """The specs of what a step makes of moments; None where they are of several types, say."""
        try:
            return step.op.apply(_KIT, tuple(inputs))
        except CkptlintError:
            return None

    def _needed(self, values: Iterable[int]) -> tuple[Step, ...]:
        needed: set[int] = set()
        todo = list(values)
        while todo:
            step = self._steps.get(todo.pop())
            if step is not None and not needed.issuperset(step.outputs):
                needed.update(step.outputs)
                todo += step.inputs
        steps = dict.fromkeys(id(step) for value, step in self._steps.items() if value in needed)
        by_identity = {id(step): step for step in self._steps.values()}
        return tuple(by_identity[each] for each in steps)
