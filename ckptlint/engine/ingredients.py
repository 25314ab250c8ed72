"""Which source values each value of a plan is made of."""

from __future__ import annotations

from collections.abc import Mapping

from ckptlint.core.plan import Plan


def made_of(plan: Plan) -> Mapping[int, frozenset[int]]:
    """Return the source values behind every value; a source value is behind itself, nothing behind what is new."""
    found: dict[int, frozenset[int]] = {value: frozenset((value,)) for value in plan.inputs.values()}
    for step in plan.steps:
        behind = [found[value] for value in step.inputs]
        joined = behind[0] if len(behind) == 1 else frozenset[int]().union(*behind)
        found.update(dict.fromkeys(step.outputs, joined))
    return found
