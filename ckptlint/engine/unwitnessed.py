"""Find what shapes cannot witness: elements permuted within one shape, and tensors of one spec that could be exchanged.

A strict load accepts all of these whether or not the migration did the right thing; only someone who knows the model, or a numeric
check, can tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from ckptlint.core.finding import Severity
from ckptlint.core.migration import Move
from ckptlint.core.plan import Edge, Plan, Step
from ckptlint.core.spec import TensorSpec
from ckptlint.engine.board import Clone
from ckptlint.engine.edges import end_to_end
from ckptlint.engine.faults import SQUARE, SWAP_RISK, Faults
from ckptlint.engine.planner import Draft
from ckptlint.engine.stage import StageRun
from ckptlint.ops.layout_kit import LayoutKit
from ckptlint.ops.layout_values import Value, whole

_HINT: Final = "guard it with a `when` on something else than shapes, and compare the model's outputs"
_WITNESS: Final = "the model's outputs witness it: ckptlint verify NEW --model NEW_MODEL --plan-from OLD --old-model OLD_MODEL -m FILE"


def note_square(made: Draft, faults: Faults) -> None:
    """Note tensors whose elements are moved, and that look as before; also on their way into something else."""
    plan = made.plan
    permutes = _Permutes(plan)
    for edge in end_to_end(plan):
        if len(edge.sources) == len(edge.targets) == 1:
            before, after = plan.inputs[edge.sources[0]], plan.outputs[edge.targets[0]]
            spec = plan.specs[before]
            if spec == plan.specs[after]:
                if before != after and permutes(before, after):
                    text = f"elements are permuted, and it is {spec} before and after: no shape tells whether that has been done"
                    faults.add(SQUARE, text, keys=edge.targets, where=edge.where, hint=_HINT, severity=Severity.WARNING)
                continue
        inner = permutes.within([plan.outputs[key] for key in edge.targets])
        if inner is not None:
            text = f"elements of {inner} are permuted on the way, and it is {inner} after: no shape tells whether that was to be done"
            faults.add(SQUARE, text, keys=edge.targets, where=edge.where, hint=_HINT, severity=Severity.WARNING)


class _Permutes:
    """Tells whether a value made of one other has its elements in another order; layers that are alike are worked out once."""

    def __init__(self, plan: Plan) -> None:
        self._makers = {value: step for step in plan.steps for value in step.outputs}
        self._specs = plan.specs
        self._known: dict[tuple[object, ...], bool] = {}
        self._turns: dict[tuple[object, ...], TensorSpec | None] = {}

    def __call__(self, before: int, after: int) -> bool:
        steps = self._steps(before, after)
        shift = {before: 0}
        for step in steps:
            for value in step.outputs:
                shift[value] = len(shift)
        mark = (
            self._specs[before],
            shift[after],
            tuple((id(step.op), tuple(shift[value] for value in step.inputs)) for step in steps),
        )
        if mark not in self._known:
            self._known[mark] = self._moves(steps, before, after)
        return self._known[mark]

    def within(self, results: Sequence[int]) -> TensorSpec | None:
        """Return the spec of what is permuted within itself on the way to these values, None where nothing is."""
        found: dict[int, Step] = {}
        waiting = list(results)
        while waiting:
            step = self._makers.get(waiting.pop())
            if step is not None and step.outputs[0] not in found:
                found[step.outputs[0]] = step
                waiting.extend(step.inputs)
        ends = {value for step in found.values() if not _is_turn(step) for value in step.inputs} | set(results)
        runs = (self._run(value, found) for value in sorted(ends))
        return next((spec for run in runs if (spec := self._turned(run)) is not None), None)

    def _run(self, value: int, found: Mapping[int, Step]) -> list[Step]:
        """The operations of one tensor that end in a value, one after the other."""
        run: list[Step] = []
        while value in found and _is_turn(found[value]):
            run.append(found[value])
            (value,) = found[value].inputs
        return run[::-1]

    def _turned(self, run: Sequence[Step]) -> TensorSpec | None:
        """The spec that some of these operations leave as it is, where all of them together move elements."""
        specs = (
            [self._specs[value] for step in run for value in step.inputs] + [self._specs[run[-1].outputs[0]]]
            if run
            else []
        )
        mark = (tuple(id(step.op) for step in run), tuple(specs))
        if mark not in self._turns:
            self._turns[mark] = _turned(run, specs)
        return self._turns[mark]

    def _steps(self, before: int, after: int) -> list[Step]:
        """The steps between, in order."""
        found: dict[tuple[int, ...], Step] = {}
        waiting = [after]
        while waiting:
            value = waiting.pop()
            if value != before and value in self._makers:
                step = self._makers[value]
                if step.outputs not in found:
                    found[step.outputs] = step
                    waiting.extend(step.inputs)
        return [found[outputs] for outputs in sorted(found)]

    def _moves(self, steps: Sequence[Step], before: int, after: int) -> bool:
        kit = LayoutKit()
        start = whole(0, self._specs[before])
        values: dict[int, Value] = {before: start}
        for step in steps:
            if not step.op.layout or not step.inputs:
                return False
            made = step.op.apply(kit, tuple(values[value] for value in step.inputs))
            values.update(zip(step.outputs, made, strict=True))
        return values[after] != start


def _is_turn(step: Step) -> bool:
    """Whether a step does nothing but move elements of one tensor, without making more or fewer of them."""
    return step.op.layout and step.op.arity == "each" and len(step.inputs) == 1 and not isinstance(step.op, Clone)


def _turned(run: Sequence[Step], specs: Sequence[TensorSpec]) -> TensorSpec | None:
    kit = LayoutKit()
    if not any(spec in specs[:place] for place, spec in enumerate(specs)):
        return None
    for first, spec in enumerate(specs):
        start: Value = whole(0, spec)
        value = start
        for last, step in enumerate(run[first:], first + 1):
            (value,) = step.op.apply(kit, (value,))
            if specs[last] == spec and value != start:
                return None if _comes_back(run, specs) else spec
    return None


def _comes_back(run: Sequence[Step], specs: Sequence[TensorSpec]) -> bool:
    """Whether the last operation leaves the elements in the order that they had at first."""
    kit = LayoutKit()
    start: Value = whole(0, specs[0])
    value = start
    for step in run:
        (value,) = step.op.apply(kit, (value,))
    return specs[0].numel == specs[-1].numel and kit.reshape(value, specs[0].shape) == start


def note_swaps(run: StageRun, faults: Faults) -> None:
    """Note tensors of one spec that a rewrite makes or takes together, and names that are given to another tensor of the same spec."""
    for bound in run.bound:
        if isinstance(bound.rewrite, Move):
            for edge in bound.edges:
                for spec, keys in _exchangeable(run, bound.rewrite, edge):
                    text = f"are {spec} each: no shape tells whether they are in the right order"
                    where = bound.rewrite.where
                    faults.add(SWAP_RISK, text, keys=keys, where=where, hint=_WITNESS, severity=Severity.INFO)
    _note_reused(run, faults)


def _exchangeable(run: StageRun, move: Move, edge: Edge) -> Iterator[tuple[TensorSpec, list[str]]]:
    """Group the keys of different slots that have one spec: those that are made, else those that are joined."""
    made = len(move.targets) > 1
    keys, slots, values = (
        (edge.targets, len(move.targets), run.result) if made else (edge.sources, len(move.sources), run.values)
    )
    if slots < 2 or len(keys) % slots:
        return
    groups: dict[TensorSpec, list[str]] = {}
    for key in keys[:: len(keys) // slots]:  # the first of each slot speaks for its list
        groups.setdefault(run.board.specs[values[key]], []).append(key)
    yield from ((spec, group) for spec, group in groups.items() if len(group) > 1)


def _note_reused(run: StageRun, faults: Faults) -> None:
    renamed = {
        key for bound in run.bound if isinstance(bound.rewrite, Move) for edge in bound.edges for key in edge.targets
    }
    specs = run.board.specs
    origin = {step.outputs[0]: step.inputs[0] for step in run.board.steps if isinstance(step.op, Clone)}
    for key, value in run.result.items():
        old = run.values.get(key)
        if key in renamed and old is not None and origin.get(value, value) != old and specs[old] == specs[value]:
            text = f"is the name of another {specs[old]} before: no shape tells whether the migration has been applied"
            faults.add(SWAP_RISK, text, keys=[key], severity=Severity.INFO)
