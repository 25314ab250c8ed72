"""Say whether two migrations may be applied in the other order: to the same result, not at all, or, unseen, to another one."""

from __future__ import annotations

from enum import StrEnum

from ckptlint.core.migration import Migration
from ckptlint.core.plan import Plan
from ckptlint.core.schema import Schema
from ckptlint.engine.commute import differing
from ckptlint.engine.compose import compose
from ckptlint.engine.facts import HeaderFacts
from ckptlint.engine.faults import PlanFaults
from ckptlint.engine.planner import make_plan


class Order(StrEnum):
    """What becomes of two migrations in the other order."""

    EITHER = "the same"
    REFUSED = "refused"
    MATTERS = "something else"


def other_order(first: Migration, second: Migration, schema: Schema, facts: HeaderFacts) -> Order:
    """Try the second migration before the first; the tree of a checkpoint is not looked at."""
    there = _both(first, second, schema, facts)
    try:
        back = _both(second, first, schema, facts)
    except PlanFaults:
        return Order.REFUSED
    return Order.MATTERS if differing(there, back) else Order.EITHER


def _both(first: Migration, second: Migration, schema: Schema, facts: HeaderFacts) -> Plan:
    plan = make_plan(schema, first, facts)
    return compose(plan, make_plan(plan.target, second, facts))
