"""Do the tree steps of a migration after its rewrites, and undo them on the way back: absolute ones once, `./` ones in each state dict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from ckptlint.core.checkpoint import Section
from ckptlint.core.migration import Migration
from ckptlint.core.tree_path import Route, written
from ckptlint.core.tree_steps import TreeStep
from ckptlint.engine.facts import HeaderFacts
from ckptlint.engine.faults import BAD_PLACE, IRREVERSIBLE, NO_CASE, Faults, fault
from ckptlint.engine.guards import Scene
from ckptlint.engine.params import resolve_params
from ckptlint.engine.passage import Passage
from ckptlint.engine.planner import Draft
from ckptlint.engine.tree_editor import TreeEditor

_CURE = "`default` and `if: absent` can be undone, and `set` where the migration's own `when` says what stood there"
Drafts: TypeAlias = Sequence[tuple[Section, Draft]]
Place: TypeAlias = tuple[Route, Scene]


def do_steps(passage: Passage, migration: Migration, drafts: Drafts, facts: HeaderFacts) -> None:
    """Put the new state dicts into the tree, then do the steps: those of the case that holds, then those of all."""
    editor = passage.editor()
    places = _places(editor, drafts)
    alone = Scene({}, resolve_params(migration, {}, facts), facts)
    for case, members in _by_case(migration, drafts, places).items():
        _run(passage, editor, migration.cases[case].tree, members, alone)
    _run(passage, editor, migration.tree, list(places.values()), alone)
    _settle(passage, editor)


def undo_common(passage: Passage, migration: Migration, facts: HeaderFacts) -> None:
    """Undo the steps that are for all cases, before the state dicts go back."""
    if not migration.tree:
        return
    editor = passage.editor()
    scene = Scene({}, resolve_params(migration, {}, facts), facts)
    places = [
        (editor.route(section.path), scene) for section in passage.checkpoint.sections if section.kind != "optimizer"
    ]
    _run(passage, editor, inverted(migration, migration.tree, scene), _distinct(editor, places), scene)
    _settle(passage, editor)


def undo_steps(passage: Passage, migration: Migration, drafts: Drafts, facts: HeaderFacts) -> None:
    """Put the old state dicts into the tree, and undo the steps of the case that held."""
    editor = passage.editor()
    alone = Scene({}, resolve_params(migration, {}, facts), facts)
    for case, members in _by_case(migration, drafts, _places(editor, drafts)).items():
        steps = inverted(migration, migration.cases[case].tree, alone)
        _run(passage, editor, steps, members, alone)
    _settle(passage, editor)


def inverted(migration: Migration, steps: Sequence[TreeStep], scene: Scene) -> Sequence[TreeStep]:
    """Return the steps of the way back; `PlanFaults` names each that loses something."""
    from ckptlint.engine.tree_inverse import invert_tree

    way = invert_tree(steps, migration.when, scene.params.values, migration.lookups)
    faults = Faults()
    for loss in way.losses:
        faults.add(IRREVERSIBLE, loss.reason, where=loss.where, hint=_CURE)
    faults.check()
    return way.steps


def _settle(passage: Passage, editor: TreeEditor) -> None:
    passage.notes.extend(editor.notes)
    passage.settle(editor)


def _run(
    passage: Passage, editor: TreeEditor, steps: Iterable[TreeStep], places: Sequence[Place], alone: Scene
) -> None:
    for step in steps:
        from ckptlint.engine.tree_plane import TreeRun  # most migrations have no step, and do not pay for it

        meant = list(places) if step.relative else list(places[:1]) or [((), alone)]
        if not meant:
            raise fault(BAD_PLACE, "the file has no state dict that `./` could mean", where=step.where)
        for base, scene in meant:
            if step.relative and not editor.lookup(base):
                text = f"the state dict is not at {written(base)} any more, where `./` began"
                raise fault(BAD_PLACE, text, where=step.where, hint="move state dicts in the last steps")
            run = TreeRun(editor, scene, base if step.relative else (), passage.classes, passage.changes)
            run.run(step)


def _places(editor: TreeEditor, drafts: Drafts) -> dict[int, Place]:
    """Where each state dict lies and what conditions see of it, by its number."""
    found: dict[int, Place] = {}
    for number, (section, made) in enumerate(drafts):
        found[number] = (editor.route(section.path), made.scene)
    return found


def _distinct(editor: TreeEditor, places: Iterable[Place]) -> list[Place]:
    seen: dict[int, Place] = {}
    for place in places:
        seen.setdefault(id(editor.at(place[0])), place)
    return list(seen.values())


def _by_case(migration: Migration, drafts: Drafts, places: Mapping[int, Place]) -> dict[int, list[Place]]:
    """The state dicts of each case; where they differ, only `./` steps have one meaning."""
    groups: dict[int, list[Place]] = {}
    for number, (_, made) in enumerate(drafts):
        if made.case is not None:
            groups.setdefault(made.case, []).append(places[number])
    if len(groups) > 1:
        for step in _absolute(migration, groups):
            text = "its state dicts are of different cases, and this step is for the whole file"
            raise fault(NO_CASE, text, where=step.where, hint="write it below `tree` of the migration, or with ./")
    return groups


def _absolute(migration: Migration, cases: Iterable[int]) -> Iterator[TreeStep]:
    return (step for case in cases for step in migration.cases[case].tree if not step.relative)
