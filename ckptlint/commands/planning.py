"""Bind migrations to the sections of a checkpoint: the part that `migrate` and its dry run share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce

from ckptlint.commands.sources import migrated_sections
from ckptlint.commands.talk import talk
from ckptlint.core.checkpoint import Checkpoint, Section, SectionKind
from ckptlint.core.migration import Migration
from ckptlint.core.paths import find, holds
from ckptlint.core.plan import Plan
from ckptlint.core.schema import Schema
from ckptlint.core.tree import Dict, Node, Scalar
from ckptlint.engine.compose import compose
from ckptlint.engine.concerned import concerned, is_copy
from ckptlint.engine.facts import HeaderFacts
from ckptlint.engine.invert import invert
from ckptlint.engine.planner import make_plan
from ckptlint.errors import PlanError

Work = list[tuple[Section, Plan]]


def facts_of(checkpoint: Checkpoint, params: Mapping[str, int | str]) -> HeaderFacts:
    """What migrations may ask of this checkpoint."""

    def scalar(path: str) -> Scalar:
        found = find(checkpoint.root, path) if holds(checkpoint.root, path) else None
        return None if isinstance(found, Node) else found

    return HeaderFacts(scalar, params)


def plan_up(checkpoint: Checkpoint, migrations: Sequence[Migration], section: str | None, facts: HeaderFacts) -> Work:
    """Plan the migrations, one after the other, for every section they are for."""
    sections = migrated_sections(checkpoint, migrations, section)
    meant = sections if _named(migrations, section) else concerned(sections, migrations[0])
    kept = {each.path for each in meant}
    for each in sections:
        if each.path not in kept:
            _leave_alone(each)
    return [
        (each, _placed(each, meant, lambda each: chain(each.schema(checkpoint.origin), migrations, facts)))
        for each in meant
    ]


def plan_down(
    checkpoint: Checkpoint,
    migrations: Sequence[Migration],
    section: str | None,
    facts: HeaderFacts,
    source: Schema | None,
) -> Work:
    """Plan the way back, the last migration first. `source` is the old schema, where the new one alone does not decide it."""
    sections = migrated_sections(checkpoint, migrations, section)
    main = max(sections, key=lambda each: len(each.tensors))
    work: Work = []
    for each in sections:
        own = each.kind is SectionKind.EMA or is_copy(each, main) or _named(migrations, section)
        try:
            back = _placed(
                each, sections, lambda each: _back(each.schema(checkpoint.origin), migrations, facts, source)
            )
        except PlanError:
            if own:
                raise
            _leave_alone(each)  # the way here did so too, since it matched nothing there
        else:
            work.append((each, back))
    return work


def _named(migrations: Sequence[Migration], section: str | None) -> bool:
    """Whether somebody said which sections are meant."""
    return section is not None or any(migration.sections != ("weights",) for migration in migrations)


def _leave_alone(section: Section) -> None:
    talk(
        f"note: {section.path} stays as it is: it is no copy of the weights, and no rewrite is about its keys; "
        f"--section {section.path} migrates it"
    )


def _placed(section: Section, sections: Sequence[Section], plan: Callable[[Section], Plan]) -> Plan:
    """Make a plan; where it fails, and there are other sections, say which one is meant."""
    try:
        return plan(section)
    except PlanError as error:
        if len(sections) > 1:
            about = f"this is about {section.path}; --section, or `sections` in the file, says which are meant"
            error.hint = f"{error.hint}; {about}" if error.hint else about
        raise


def chain(schema: Schema, migrations: Sequence[Migration], facts: HeaderFacts) -> Plan:
    """Compose the plans of migrations that follow each other."""
    first, *others = migrations
    return reduce(
        lambda plan, each: compose(plan, make_plan(plan.target, each, facts)), others, make_plan(schema, first, facts)
    )


def _back(schema: Schema, migrations: Sequence[Migration], facts: HeaderFacts, source: Schema | None) -> Plan:
    if source is not None:
        plan = chain(source, migrations, facts)
        _same(plan.target, schema)
        return invert(plan)
    from ckptlint.engine.infer_source import infer_source

    plans: list[Plan] = []
    for migration in reversed(migrations):
        old = infer_source(schema, migration, facts)
        plans.append(invert(make_plan(old, migration, facts)))
        schema = plans[-1].target
    return reduce(compose, plans)


def _same(made: Schema, found: Schema) -> None:
    """Refuse a file that is not what the migrations make of the old schema."""
    for key in {**made.tensors, **found.tensors}:
        one, other = made.tensors.get(key), found.tensors.get(key)
        if one is None or other is None or not one.agrees(other):
            raise PlanError(
                f"{key} is {other or 'absent'} in the file, and {one or 'absent'} in what the migrations make of the source",
                hint="--source should be the schema that this file was migrated from",
            )


def optimizer_resets(
    checkpoint: Checkpoint, migrations: Sequence[Migration], work: Work
) -> tuple[dict[int, Node], list[str]]:
    """Decide what becomes of optimizer state: the nodes to put in place of its moments, and what to say about it.

    Index-keyed state belongs to parameters by their order alone. It stays right where every tensor kept its place and its shape;
    elsewhere it would silently belong to other parameters, so it is reset, or refused where a migration says so.
    """
    optimizers = [section for section in checkpoint.sections if section.kind is SectionKind.OPTIMIZER]
    wishes = {migration.optimizer for migration in migrations}
    if optimizers and "refuse" in wishes:
        raise PlanError(f"the checkpoint holds optimizer state at {optimizers[0].path}, and the migration refuses it")
    if "reset" not in wishes and all(_in_order(plan) for _, plan in work):
        return {}, []
    replaced: dict[int, Node] = {}
    said: list[str] = []
    for section in optimizers:
        state = section.node.get("state") if isinstance(section.node, Dict) else None
        if isinstance(state, Dict) and state.items:
            replaced[id(state)] = Dict([], state.made_by, state.state)
            why = (
                "as the migration says"
                if "reset" in wishes
                else "since tensors changed their order or shape, and its entries go by position"
            )
            said.append(f"{section.path}: the optimizer's state is reset, {why}")
    return replaced, said


def _in_order(plan: Plan) -> bool:
    """Whether every tensor has kept its place and its shape."""
    return not plan.steps and list(plan.inputs.values()) == list(plan.outputs.values())
