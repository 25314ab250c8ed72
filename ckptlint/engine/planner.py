"""Bind a migration to one schema: a plan without patterns, or every reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ckptlint.core.collection import no_collection
from ckptlint.core.migration import Migration
from ckptlint.core.plan import Edge, Plan
from ckptlint.core.schema import Schema
from ckptlint.engine.board import Board
from ckptlint.engine.edges import composed, in_order
from ckptlint.engine.facts import HeaderFacts
from ckptlint.engine.faults import BAD_VALUE, NO_CASE, NOT_APPLICABLE, Faults, PlanFaults, fault
from ckptlint.engine.guards import Scene
from ckptlint.engine.params import Params, resolve_params
from ckptlint.engine.prefix import strip_and_add
from ckptlint.engine.stage import StageRun
from ckptlint.engine.ties import ties_of
from ckptlint.errors import CkptlintError, PlanError

NO_FACTS = HeaderFacts()


@dataclass(frozen=True, slots=True)
class Draft:
    """A plan, with how each stage came to it."""

    plan: Plan
    stages: tuple[StageRun, ...]
    board: Board
    params: Params
    migration: Migration  # as it is where one of its cases was chosen
    case: int | None
    scene: Scene  # what conditions see before the first stage


def make_plan(schema: Schema, migration: Migration, facts: HeaderFacts = NO_FACTS) -> Plan:
    """Return what a migration does to one state dict.

    `PlanFaults` (a `PlanError`) holds every reason for which it does not fit, each with a code, the place in the file, and its keys.
    """
    return draft(schema, migration, facts).plan


def is_idle(migration: Migration, schema: Schema, facts: HeaderFacts) -> bool:
    """Whether a migration changes nothing in a checkpoint with these keys: no tensor, no order, nothing beside them."""
    if migration.edits_tree or migration.optimizer in ("reset", "refuse"):
        return False
    try:
        plan = make_plan(schema, migration, facts)
    except PlanError:
        return False
    return not plan.steps and not plan.must_equal and [*plan.inputs.items()] == [*plan.outputs.items()]


def draft(schema: Schema, migration: Migration, facts: HeaderFacts = NO_FACTS) -> Draft:
    """Return the plan together with the bindings of every rewrite."""
    with no_collection():
        return _drafted(schema, migration, facts)


def _drafted(schema: Schema, migration: Migration, facts: HeaderFacts) -> Draft:
    board = Board()
    inputs = _numbered(schema, board)
    values = dict(inputs)
    edges: Sequence[Edge] | None = None
    if migration.prefix is not None:
        names = strip_and_add(list(inputs), migration.prefix)
        values = dict(zip(names, inputs.values(), strict=True))
        edges = [Edge((key,), (name,), (), migration.prefix.where) for key, name in zip(inputs, names, strict=True)]
    specs = {key: board.specs[value] for key, value in values.items()}
    params = resolve_params(migration, specs, facts)
    scene = Scene(specs, params, facts)
    _check_applicable(migration, scene)
    case = chosen_case(migration, scene)
    migration = migration if case is None else migration.chosen(migration.cases[case])
    stages: list[StageRun] = []
    for number, stage in enumerate(migration.stages):
        run = StageRun(number, stage, board, values, params, facts, Faults())
        run.run()
        run.faults.check()  # what comes after a fault would only be its consequence
        stages.append(run)
        edges = run.edges if edges is None else composed(edges, run.edges)
        values = run.result
    if edges is None:
        edges = [Edge((key,), (key,)) for key in inputs]
    made = _plan(schema, board, inputs, values, edges)
    return Draft(made, tuple(stages), board, params, migration, case, scene)


def chosen_case(migration: Migration, scene: Scene) -> int | None:
    """Return the number of the case that holds, None where there are no cases; `PlanFaults` where not exactly one does."""
    if not migration.cases:
        return None
    holding = [number for number, case in enumerate(migration.cases) if scene.holds(case.when)]
    if len(holding) != 1:
        places = " and ".join(migration.cases[number].where for number in holding)
        text = f"{len(holding)} of the migration's {len(migration.cases)} cases hold{f', {places}' if places else ''}"
        hint = "their conditions must exclude each other, and one must be about this layout"
        raise fault(NO_CASE, text, where=migration.origin, hint=hint)
    return holding[0]


def _check_applicable(migration: Migration, scene: Scene) -> None:
    if migration.when is None:
        return
    where = migration.when.where or migration.origin
    try:
        holds = scene.holds(migration.when)
    except PlanFaults:
        raise
    except CkptlintError as error:
        raise fault(BAD_VALUE, error.message, where=where, hint=error.hint) from error
    if not holds:
        raise fault(NOT_APPLICABLE, "the migration's condition `when` does not hold", where=where)


def _numbered(schema: Schema, board: Board) -> dict[str, int]:
    """Give every distinct tensor of a schema a number; a tied tensor has one number and several names."""
    ranks = {key: rank for rank, key in enumerate(schema.parameters or ())}
    first = {key: group for group in schema.ties for key in group}
    numbers: dict[tuple[str, ...], int] = {}
    inputs: dict[str, int] = {}
    for key, spec in schema.tensors.items():
        group = first.get(key)
        if group is None:
            inputs[key] = board.value(spec, ranks.get(key))
            continue
        if group not in numbers:
            known = [ranks[name] for name in group if name in ranks]
            numbers[group] = board.value(spec, min(known, default=None))
        inputs[key] = numbers[group]
    return inputs


def _plan(
    schema: Schema, board: Board, inputs: Mapping[str, int], outputs: dict[str, int], edges: Sequence[Edge]
) -> Plan:
    tensors = {key: board.specs[value] for key, value in outputs.items()}
    parameters = None if schema.parameters is None else _parameters(board, outputs)
    target = Schema(tensors, parameters=parameters, ties=ties_of(outputs), origin=schema.origin)
    return Plan(
        source=schema,
        target=target,
        specs=tuple(board.specs),
        steps=tuple(board.steps),
        inputs=inputs,
        outputs=outputs,
        edges=in_order(edges, inputs, outputs),
        must_equal=tuple(board.must_equal),
    )


def _parameters(board: Board, outputs: Mapping[str, int]) -> tuple[str, ...]:
    """The first name of every parameter, in the order of the parameters they were made of."""
    first: dict[int, str] = {}
    for key, value in outputs.items():
        first.setdefault(value, key)
    ranked = [(rank, key) for value, key in first.items() if (rank := board.ranks[value]) is not None]
    return tuple(key for _, key in sorted(ranked, key=lambda pair: pair[0]))
