"""Two plans, one after the other, as one plan: no intermediate state dict is ever written."""

from __future__ import annotations

from dataclasses import replace

from ckptlint.core.plan import Plan, Step


def compose(first: Plan, second: Plan) -> Plan:
    """Return the plan from `first.source` to `second.target`; `second` must have been made for `first.target`.

    Edges of both are kept, in order: the report shows each hop as its file says it.
    """
    if second.source.tensors != first.target.tensors:
        raise ValueError("the second plan is not for what the first one makes")
    number = {value: first.outputs[key] for key, value in second.inputs.items()}
    specs = list(first.specs)
    for value, spec in enumerate(second.specs):
        if value not in number:
            number[value] = len(specs)
            specs.append(spec)
    steps = tuple(_renumbered(step, number) for step in second.steps)
    return replace(
        first,
        target=second.target,
        specs=tuple(specs),
        steps=(*first.steps, *steps),
        outputs={key: number[value] for key, value in second.outputs.items()},
        edges=(*first.edges, *second.edges),
        must_equal=(*first.must_equal, *((number[a], number[b]) for a, b in second.must_equal)),
        notes=(*first.notes, *second.notes),
    )


def _renumbered(step: Step, number: dict[int, int]) -> Step:
    inputs = tuple(number[value] for value in step.inputs)
    outputs = tuple(number[value] for value in step.outputs)
    return replace(step, inputs=inputs, outputs=outputs)
