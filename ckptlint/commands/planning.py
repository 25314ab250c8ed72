"""Bind migrations to the sections of a checkpoint: the part that `migrate` and its dry run share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path

from ckptlint.commands.config_files import config_files
from ckptlint.commands.sources import migrated_sections
from ckptlint.commands.talk import talk
from ckptlint.core.checkpoint import Checkpoint, Section, SectionKind
from ckptlint.core.dtype import ANY
from ckptlint.core.migration import Migration
from ckptlint.core.paths import find, holds
from ckptlint.core.plan import Plan
from ckptlint.core.schema import Schema
from ckptlint.core.tree import Node, Scalar
from ckptlint.engine.compose import compose
from ckptlint.engine.concerned import concerned, is_copy
from ckptlint.engine.facts import HeaderFacts
from ckptlint.engine.fill_dtypes import fill_dtypes
from ckptlint.engine.invert import invert
from ckptlint.engine.planner import make_plan
from ckptlint.errors import PlanError, UsageError

Work = list[tuple[Section, Plan]]


def facts_of(checkpoint: Checkpoint, params: Mapping[str, int | str]) -> HeaderFacts:
    """What migrations may ask of this checkpoint."""

    def scalar(path: str) -> Scalar:
        found = find(checkpoint.root, path) if holds(checkpoint.root, path) else None
        return None if isinstance(found, Node) else found

    folder = Path(checkpoint.origin)
    return HeaderFacts(scalar, params, config_files(folder if folder.is_dir() else folder.parent))


def plan_up(checkpoint: Checkpoint, migrations: Sequence[Migration], section: str | None, facts: HeaderFacts) -> Work:
    """Plan the migrations, one after the other, for every section they are for."""
    sections = _sections(checkpoint, migrations, section)
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
    source: Callable[[str], Schema] | None,
) -> Work:
    """Plan the way back, the last migration first.

    `source` gives the old schema of the section at a path, where the new one alone does not decide it.
    """
    sections = _sections(checkpoint, migrations, section)
    main = max(sections, key=lambda each: len(each.tensors))
    work: Work = []
    for each in sections:
        own = each.kind is SectionKind.EMA or is_copy(each, main) or _named(migrations, section)
        try:
            back = _placed(each, sections, lambda each: _back(checkpoint, each, migrations, facts, source))
        except PlanError:
            if own:
                raise
            _leave_alone(each)  # the way here did so too, since it matched nothing there
        else:
            work.append((each, back))
    return work


def _sections(checkpoint: Checkpoint, migrations: Sequence[Migration], section: str | None) -> tuple[Section, ...]:
    """Return the sections that may be meant; `UsageError` where the migrations name different ones, or one cannot be migrated."""
    named = dict.fromkeys(migration.sections for migration in migrations if migration.sections != ("weights",))
    if section is None and len(named) > 1:
        texts = " and ".join(", ".join(paths) for paths in named)
        raise UsageError(f"the migrations are for different sections: {texts}", hint="run one after the other")
    sections = migrated_sections(checkpoint, migrations, section)
    paths = {each.path for each in sections}
    for each in sections:
        if each.kind is SectionKind.OPTIMIZER:
            hint = "it goes with the weights: `optimizer` in the migration says how"
            raise UsageError(f"{each.path} is the state of an optimizer, which has no keys to migrate", hint=hint)
        also = [other.path for other in checkpoint.sections if other.node is each.node and other.path not in paths]
        if also:
            talk(f"note: {', '.join(also)} is the same object as {each.path}, and changes with it")
    return sections


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


def _back(
    checkpoint: Checkpoint,
    section: Section,
    migrations: Sequence[Migration],
    facts: HeaderFacts,
    source: Callable[[str], Schema] | None,
) -> Plan:
    schema = section.schema(checkpoint.origin)
    if source is not None:
        return invert(_forth(source(section.path), migrations, facts, schema))
    from ckptlint.engine.infer_source import infer_source

    plans: list[Plan] = []
    for migration in reversed(migrations):
        old = infer_source(schema, migration, facts)
        plans.append(invert(make_plan(old, migration, facts)))
        schema = plans[-1].target
    return reduce(compose, plans)


def _forth(source: Schema, migrations: Sequence[Migration], facts: HeaderFacts, found: Schema) -> Plan:
    """Return the plan that made the schema that was found, of this source."""
    plan = chain(source, migrations, facts)
    _same(plan.target, found)
    if any(spec.dtype is ANY for spec in source.tensors.values()):
        source = fill_dtypes(plan, found)
        plan = chain(source, migrations, facts)
    if all(any({*group} <= {*other} for other in found.ties) for group in plan.target.ties):
        return plan
    apart = chain(
        replace(source, ties=()), migrations, facts
    )  # what is no longer one tensor must not become one unseen
    _same(apart.target, found)
    return apart


def _same(made: Schema, found: Schema) -> None:
    """Refuse a file that is not what the migrations make of the old schema."""
    for key in {**made.tensors, **found.tensors}:
        one, other = made.tensors.get(key), found.tensors.get(key)
        if one is None or other is None or not one.agrees(other):
            raise PlanError(
                f"{key} is {other or 'absent'} in the file, and {one or 'absent'} in what the migrations make of the source",
                hint="--source should be the schema that this file was migrated from",
            )
