"""Work out the dtypes that an old schema does not say, from the tensors that were made of its own."""

from __future__ import annotations

from dataclasses import replace

from ckptlint.core.dtype import ANY, DType
from ckptlint.core.plan import Plan
from ckptlint.core.schema import Schema
from ckptlint.core.spec import TensorSpec
from ckptlint.engine.ingredients import made_of
from ckptlint.errors import PlanError


def fill_dtypes(plan: Plan, found: Schema) -> Schema:
    """Return `plan.source` with every dtype, where `found` is what the plan made of it; `PlanError` where one is lost.

    What only moves elements keeps their type, so it is that of the result.
    """
    known: dict[int, DType] = {}
    behind = made_of(plan)
    decoded: set[int] = set()
    for step in plan.steps:
        if not step.op.layout or not decoded.isdisjoint(step.inputs):
            decoded.update(step.outputs)
    for key, value in plan.outputs.items():
        if value not in decoded:
            known.update(dict.fromkeys(behind[value], found.tensors[key].dtype))
    tensors: dict[str, TensorSpec] = {}
    for key, spec in plan.source.tensors.items():
        dtype = spec.dtype if spec.dtype is not ANY else known.get(plan.inputs[key])
        if dtype is None:
            raise PlanError(
                f"the old schema does not say what dtype {key} had, and the new file does not show it",
                hint="a checkpoint, a lock or a model as --source says it",
            )
        tensors[key] = TensorSpec(dtype, spec.shape)
    return replace(plan.source, tensors=tensors)
