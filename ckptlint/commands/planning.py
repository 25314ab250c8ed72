"""Bind migrations to the sections of a checkpoint and do their tree steps: the part that `migrate` and its dry run share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial, reduce
from pathlib import Path
from typing import TypeVar

from ckptlint.commands.config_files import config_files
from ckptlint.commands.sources import migrated_sections
from ckptlint.commands.talk import talk
from ckptlint.core.checkpoint import Checkpoint, Section, SectionKind
from ckptlint.core.dtype import ANY
from ckptlint.core.migration import Migration
from ckptlint.core.paths import find, holds
from ckptlint.core.plan import Plan
from ckptlint.core.schema import Schema
from ckptlint.core.tree import Node, Scalar, Value
from ckptlint.core.tree_path import TreePattern
from ckptlint.engine.concerned import concerned, is_average, is_copy
from ckptlint.engine.entries import renamed_entries, restored_entries
from ckptlint.engine.facts import HeaderFacts
from ckptlint.engine.passage import Outcome, Passage
from ckptlint.engine.planner import Draft, draft, make_plan
from ckptlint.engine.spelling import spelling
from ckptlint.engine.tree_editor import TreeEditor
from ckptlint.engine.tree_runs import do_steps, undo_common, undo_steps
from ckptlint.errors import PlanError, UsageError

Work = Sequence[tuple[Section, Plan]]
OldSchema = Callable[[str], Schema]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Going:
    """Migrations in the order of the way there, what `--param` says, and the section that `--section` names."""

    migrations: Sequence[Migration]
    params: Mapping[str, int | str] = field(default_factory=dict)
    section: str | None = None

    @property
    def named(self) -> bool:
        """Whether somebody said which sections are meant."""
        return self.section is not None or any(each.sections != ("weights",) for each in self.migrations)


def facts_of(checkpoint: Checkpoint, params: Mapping[str, int | str], section: str = "/") -> HeaderFacts:
    """What migrations may ask of this checkpoint; `./` in a path is the section."""
    editor = TreeEditor(checkpoint.root)

    def scalar(path: str) -> Scalar:
        found = find(checkpoint.root, path) if holds(checkpoint.root, path) else None
        return None if isinstance(found, Node) else found

    def places(path: str) -> Sequence[Value]:
        base = editor.route(section)
        return [found.value for found in editor.find(TreePattern.parse(path), base)]

    folder = Path(checkpoint.origin)
    return HeaderFacts(scalar, params, config_files(folder if folder.is_dir() else folder.parent), places)


def plan_up(checkpoint: Checkpoint, going: Going) -> Outcome:
    """Plan the migrations, one after the other, for every section they are for, and edit the tree after each."""
    passage = Passage(checkpoint)
    for migration in going.migrations:
        step_up(passage, migration, going)
    return _finished(passage)


def step_up(passage: Passage, migration: Migration, going: Going) -> None:
    """Plan one of the migrations."""
    current = passage.checkpoint
    sections = _sections(current, going, migration)
    meant = sections if going.named else concerned(sections, migration)
    kept = {each.path for each in meant}
    for each in sections:
        if each.path not in kept:
            _leave_alone(each)
    drafts = [(each, _drafted(current, each, meant, migration, going)) for each in _distinct(meant)]
    for section, made in drafts:
        passage.rewrite(section, made.plan, renamed_entries(section, migration, made))
    do_steps(passage, migration, drafts, facts_of(current, going.params))


def plan_down(checkpoint: Checkpoint, going: Going, source: OldSchema | None) -> Outcome:
    """Plan the way back, the last migration first.

    `source` gives the old schema of the section at a path, where the new one alone does not decide it.
    """
    from ckptlint.engine.invert import approximations

    passage = Passage(checkpoint)
    for number, migration in reversed(list(enumerate(going.migrations))):
        undo_common(passage, migration, facts_of(passage.checkpoint, going.params))
        current = passage.checkpoint
        sections = _sections(current, going, migration)
        drafts: list[tuple[Section, Draft]] = []
        main = max(sections, key=lambda each: len(each.tensors), default=None)
        for each in _distinct(sections):
            own = main is None or is_average(each, sections) or is_copy(each, main) or going.named
            try:
                back, way = _placed(
                    each, sections, partial(_spelt_back, current, number=number, going=going, source=source)
                )
            except PlanError:
                if own:
                    raise
                _leave_alone(each)  # the way here did so too, since it matched nothing there
                continue
            passage.notes.extend(f"{text}; an undo file would make it exact" for text in approximations(way.plan))
            passage.notes.extend(back.notes)
            passage.rewrite(each, back, restored_entries(each, migration, way))
            drafts.append((each, way))
        undo_steps(passage, migration, drafts, facts_of(current, going.params))
    return _finished(passage)


def _finished(passage: Passage) -> Outcome:
    for note in dict.fromkeys(passage.notes):
        talk(f"note: {note}")
    return passage.outcome()


def _drafted(
    checkpoint: Checkpoint, section: Section, meant: Sequence[Section], migration: Migration, going: Going
) -> Draft:
    facts = facts_of(checkpoint, going.params, section.path)
    spelt = spelling(section, checkpoint.sections, _stripped(migration, going))
    if spelt is None:
        return _placed(section, meant, lambda each: draft(each.schema(checkpoint.origin), migration, facts))
    made = _placed(spelt.read(section), meant, lambda each: draft(each.schema(checkpoint.origin), migration, facts))
    return replace(made, plan=spelt.respell(made.plan, section))


def _stripped(migration: Migration, going: Going) -> Sequence[str] | None:
    """The prefixes that a copy of the weights loses; None where somebody names the sections, whose keys then are as they are."""
    if going.named:
        return None
    return migration.prefix.strip if migration.prefix is not None else ()


def _distinct(sections: Sequence[Section]) -> list[Section]:
    """The sections, each object once, however many places it has."""
    first: dict[int, Section] = {}
    for section in sections:
        known = first.setdefault(id(section.node), section)
        if known is not section:
            talk(f"note: {section.path} is the same object as {known.path}, and changes with it")
    return list(first.values())


def _sections(checkpoint: Checkpoint, going: Going, migration: Migration) -> tuple[Section, ...]:
    """Return the sections that may be meant; `UsageError` where the migrations name different ones, or one cannot be migrated."""
    migrations, section = going.migrations, going.section
    if not (checkpoint.sections or migration.stages or migration.cases or migration.prefix or going.named):
        return ()  # it is about the tree alone
    named = dict.fromkeys(each.sections for each in migrations if each.sections != ("weights",))
    if section is None and len(named) > 1:
        texts = " and ".join(", ".join(paths) for paths in named)
        raise UsageError(f"the migrations are for different sections: {texts}", hint="run one after the other")
    sections = migrated_sections(checkpoint, migrations, section)
    _check_meant(checkpoint, sections)
    return sections


def _check_meant(checkpoint: Checkpoint, sections: Sequence[Section]) -> None:
    """Refuse optimizers, and say which other places change too."""
    paths = {each.path for each in sections}
    for each in sections:
        if each.kind is SectionKind.OPTIMIZER:
            hint = "it goes with the weights: `optimizer` in the migration says how"
            raise UsageError(f"{each.path} is the state of an optimizer, which has no keys to migrate", hint=hint)
        also = [other.path for other in checkpoint.sections if other.node is each.node and other.path not in paths]
        if also:
            talk(f"note: {', '.join(also)} is the same object as {each.path}, and changes with it")


def _leave_alone(section: Section) -> None:
    talk(
        f"note: {section.path} stays as it is: it is no copy of the weights, and no rewrite is about its keys; "
        f"--section {section.path} migrates it"
    )


def _placed(section: Section, sections: Sequence[Section], plan: Callable[[Section], T]) -> T:
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
    from ckptlint.engine.compose import compose

    first, *others = migrations
    return reduce(
        lambda plan, each: compose(plan, make_plan(plan.target, each, facts)), others, make_plan(schema, first, facts)
    )


def _spelt_back(
    checkpoint: Checkpoint, section: Section, *, number: int, going: Going, source: OldSchema | None
) -> tuple[Plan, Draft]:
    spelt = spelling(section, checkpoint.sections, _stripped(going.migrations[number], going))
    if spelt is None:
        return _back(checkpoint, section, number=number, going=going, source=source)
    back, way = _back(checkpoint, spelt.read(section), number=number, going=going, source=source)
    return spelt.respell(back, section), way


def _back(
    checkpoint: Checkpoint, section: Section, *, number: int, going: Going, source: OldSchema | None
) -> tuple[Plan, Draft]:
    """The plan back through one migration, and the way there that it turns around."""
    from ckptlint.engine.invert import invert

    facts = facts_of(checkpoint, going.params, section.path)
    migration = going.migrations[number]
    schema = section.schema(checkpoint.origin)
    if source is not None:
        old = source(section.path)
        if number:
            old = chain(old, going.migrations[:number], facts).target
        way = _forth(old, migration, facts, schema)
    else:
        from ckptlint.engine.infer_source import infer_source

        way = draft(infer_source(schema, migration, facts), migration, facts)
    return invert(way.plan), way


def _forth(source: Schema, migration: Migration, facts: HeaderFacts, found: Schema) -> Draft:
    """Return the way that made the schema that was found, of this source."""
    way = draft(source, migration, facts)
    _same(way.plan.target, found)
    if any(spec.dtype is ANY for spec in source.tensors.values()):
        from ckptlint.engine.fill_dtypes import fill_dtypes

        source = fill_dtypes(way.plan, found)
        way = draft(source, migration, facts)
    if all(any({*group} <= {*other} for other in found.ties) for group in way.plan.target.ties):
        return way
    apart = draft(replace(source, ties=()), migration, facts)  # what is no longer one tensor must not become one unseen
    _same(apart.plan.target, found)
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
