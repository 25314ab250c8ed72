"""What every tensor is made of, over several migrations: one numbering of values, the steps between them, and plans cut out of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from ckptlint.core.checkpoint import Section
from ckptlint.core.plan import Edge, Plan, Step
from ckptlint.core.schema import Schema
from ckptlint.core.spec import TensorSpec, contiguous
from ckptlint.core.tree import Composite, Storage, Tensor

Identity: TypeAlias = tuple[object, ...]
AnyTensor: TypeAlias = Tensor | Composite


@dataclass(slots=True)
class Ledger:
    """Values are numbered as they are met. A tensor that is computed stands in trees as one without bytes, known by its identity."""

    _specs: list[TensorSpec] = field(default_factory=list)
    _steps: list[Step] = field(default_factory=list)
    _values: dict[Identity, int] = field(default_factory=dict)
    _maker: dict[int, int] = field(default_factory=dict)  # the step that makes a value
    _sources: dict[int, AnyTensor] = field(default_factory=dict)  # the source's tensor that a value is
    _computed: set[Identity] = field(default_factory=set)

    @property
    def computed(self) -> frozenset[Identity]:
        return frozenset(self._computed)

    def is_computed(self, tensor: AnyTensor) -> bool:
        return tensor.identity in self._computed

    def record(
        self, section: Section, plan: Plan, kept: Mapping[str, AnyTensor]
    ) -> tuple[dict[str, AnyTensor], list[tuple[int, int]]]:
        """Take in the steps of a plan; return the tensors of its targets (those of `kept`, and others without bytes) and the pairs of
        values that must be equal.
        """
        number = self._numbered(section, plan)
        stored = ((value, section.tensors[key]) for key, value in plan.inputs.items())
        places = {value: tensor.storage.location for value, tensor in stored if isinstance(tensor, Tensor)}
        for step in plan.steps:
            location = places.get(step.inputs[0], "cpu") if step.inputs else "cpu"
            for value in step.outputs:
                number[value] = self._new(plan.specs[value])
                places[value] = location
            inputs = tuple(number[value] for value in step.inputs)
            outputs = tuple(number[value] for value in step.outputs)
            self._maker.update(dict.fromkeys(outputs, len(self._steps)))
            self._steps.append(replace(step, inputs=inputs, outputs=outputs))
        made: dict[int, Tensor] = {}
        for key, value in plan.outputs.items():
            if key not in kept and value not in made:
                made[value] = self._stand_in(number[value], places[value])
        tensors = {key: kept[key] if key in kept else made[value] for key, value in plan.outputs.items()}
        return tensors, [(number[one], number[other]) for one, other in plan.must_equal]

    def work(
        self,
        source: Section,
        now: Section,
        edges: Sequence[Edge],
        must_equal: Sequence[tuple[int, int]],
        origin: str,
    ) -> tuple[Section, Plan]:
        """Cut out the plan for one state dict: from the tensors of its source, and others that it needs, to what it is now."""
        wanted = [self._value(tensor) for tensor in now.tensors.values()]
        steps, values = self._behind([*wanted, *(value for pair in must_equal for value in pair)])
        tensors = {} if not now.path else dict(source.tensors)
        known = {self._value(tensor) for tensor in tensors.values()}
        foreign = [value for value in values if value in self._sources and value not in known]
        tensors.update((f"/{value}", self._sources[value]) for value in foreign)
        local: dict[int, int] = {}
        for tensor in tensors.values():
            local.setdefault(self._value(tensor), len(local))
        for step in steps:
            for value in step.outputs:
                local[value] = len(local)
        specs = [self._specs[value] for value in local]
        start = replace(source, path=now.path, tensors=tensors, others=now.others, module=source.module)
        plan = Plan(
            source=start.schema(origin),
            target=_target(now, origin),
            specs=tuple(specs),
            steps=tuple(_local(step, local) for step in steps),
            inputs={key: local[self._value(tensor)] for key, tensor in tensors.items()},
            outputs={key: local[value] for key, value in zip(now.tensors, wanted, strict=True)},
            edges=tuple(edges),
            must_equal=tuple((local[one], local[other]) for one, other in must_equal),
        )
        return start, plan

    def _numbered(self, section: Section, plan: Plan) -> dict[int, int]:
        number: dict[int, int] = {}
        for key, value in plan.inputs.items():
            number.setdefault(value, self._value(section.tensors[key]))
        return number

    def _value(self, tensor: AnyTensor) -> int:
        identity = tensor.identity
        value = self._values.get(identity)
        if value is None:
            value = self._values[identity] = self._new(tensor.spec)
            self._sources[value] = tensor
        return value

    def _new(self, spec: TensorSpec) -> int:
        self._specs.append(spec)
        return len(self._specs) - 1

    def _stand_in(self, value: int, location: str) -> Tensor:
        spec = self._specs[value]
        tensor = Tensor(Storage("", spec.dtype, spec.numel, location), spec.dtype, spec.shape, contiguous(spec.shape))
        self._values[tensor.identity] = value
        self._computed.add(tensor.identity)
        return tensor

    def _behind(self, values: Sequence[int]) -> tuple[list[Step], dict[int, None]]:
        """The steps that lead to values, in order, and every value on the way."""
        seen: dict[int, None] = {}
        numbers: set[int] = set()
        pending = list(values)
        while pending:
            value = pending.pop()
            if value in seen:
                continue
            seen[value] = None
            if value in self._maker and self._maker[value] not in numbers:
                numbers.add(self._maker[value])
                pending.extend(self._steps[self._maker[value]].inputs)
        return [self._steps[number] for number in sorted(numbers)], seen


def _target(now: Section, origin: str) -> Schema:
    return replace(now.schema(origin), unsaved={}, modules={})


def _local(step: Step, local: Mapping[int, int]) -> Step:
    return replace(
        step, inputs=tuple(local[value] for value in step.inputs), outputs=tuple(local[value] for value in step.outputs)
    )
