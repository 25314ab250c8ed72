"""Carry out a plan on tensors that are in memory already, each value let go of after its last use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from ckptlint.core.operation import Kit
from ckptlint.core.plan import Plan, Step
from ckptlint.errors import PlanError, ShapeError

T = TypeVar("T")


def carry_out(plan: Plan, kit: Kit[T], tensors: Mapping[str, T]) -> dict[str, T]:
    """Return the target's tensors by key. What no step computes is the very object that came in.

    Raises:
        ShapeError: an operation refuses elements, such as a cast that they do not fit.
        PlanError: what is to become one tensor is not equal.
    """
    values = {number: tensors[key] for key, number in plan.inputs.items()}
    wanted = {*plan.outputs.values(), *(number for pair in plan.must_equal for number in pair)}
    last = {number: at for at, step in enumerate(plan.steps) for number in step.inputs}
    for at, step in enumerate(plan.steps):
        made = _applied(step, kit, tuple(values[number] for number in step.inputs))
        values.update(zip(step.outputs, made, strict=True))
        for number in {*step.inputs} - wanted:
            if last[number] == at:
                del values[number]
    _check_equal(plan, kit, values)
    return {key: values[number] for key, number in plan.outputs.items()}


def _applied(step: Step, kit: Kit[T], inputs: tuple[T, ...]) -> tuple[T, ...]:
    try:
        return step.op.apply(kit, inputs)
    except ShapeError as error:
        raise ShapeError(error.message, where=step.where or error.where, hint=error.hint) from error


def _check_equal(plan: Plan, kit: Kit[T], values: Mapping[int, T]) -> None:
    for one, other in plan.must_equal:
        try:
            kit.combine("same", values[one], values[other])
        except ShapeError as error:
            names = " and ".join(key for key, number in plan.outputs.items() if number in (one, other))
            hint = "tie only what is equal, or drop one of them with a reason"
            raise PlanError(f"{names} are to be one tensor, but differ: {error.message}", hint=hint) from error
