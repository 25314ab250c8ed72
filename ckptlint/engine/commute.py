"""Do the migrations of two branches commute: is what they make the same in both orders, tensor by tensor, and else who clashes where.

A tensor is the same where it is made by the same operations in the same order from the same tensors of the common source. That is more than
equal shapes, and needs no data. What cannot be decided without a checkpoint counts as a clash.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ckptlint.core.migration import Migration
from ckptlint.core.plan import Edge, Plan
from ckptlint.core.schema import Schema
from ckptlint.core.tree_path import TreePattern, TreeTarget
from ckptlint.core.tree_steps import RenameClasses, paths_of
from ckptlint.engine.chain import Link
from ckptlint.engine.compose import compose
from ckptlint.engine.edges import end_to_end
from ckptlint.engine.faults import PlanFaults
from ckptlint.engine.planner import make_plan
from ckptlint.errors import PlanError

_CURE = "decide what is meant, and write the later migration anew on top of the other"


@dataclass(frozen=True, slots=True)
class Clash:
    """Why two branches cannot be exchanged; of which keys, and where in which file."""

    text: str
    keys: tuple[str, ...] = ()
    where: str = ""
    hint: str = _CURE


def clashes(source: Schema, branches: Sequence[Sequence[Link]]) -> tuple[Clash, ...]:
    """Compare all orders in which one branch comes before another; the branches begin at `source`. Empty: they commute."""
    found: list[Clash] = []
    for number, one in enumerate(branches):
        for other in branches[number + 1 :]:
            found += _between(source, one, other)
    return tuple(found)


def clashes_of_any(variants: Mapping[str, Schema], branches: Sequence[Sequence[Link]]) -> tuple[Clash, ...]:
    """The clashes of the first variant of a model that has any, with its name."""
    for name, source in variants.items():
        found = clashes(source, branches)
        if found:
            return tuple(replace(each, text=f"variant {name}: {each.text}") for each in found) if name else found
    return ()


def _between(source: Schema, one: Sequence[Link], other: Sequence[Link]) -> Iterator[Clash]:
    yield from _in_tree(one, other)
    plans: list[Plan] = []
    for first, then in ((one, other), (other, one)):
        alone = _composed(source, first)
        if isinstance(alone, Clash):
            yield alone
            return
        both = _continued(alone, then)
        if isinstance(both, Clash):
            yield _both_take(source, one, other) or both
            return
        plans.append(both)
    apart = differing(*plans)
    if apart:
        names = f"{_names(one)} and {_names(other)}"
        text = f"is made otherwise where {names} change places"
        yield _both_take(source, one, other) or Clash(text, apart, other[0].migration.origin)


def _composed(source: Schema, links: Sequence[Link]) -> Plan | Clash:
    first, *others = links
    try:
        plan = make_plan(source, first.migration)
    except PlanError as error:
        return _unfit(first, error)
    return _continued(plan, others)


def _continued(plan: Plan, links: Sequence[Link]) -> Plan | Clash:
    for link in links:
        try:
            plan = compose(plan, make_plan(plan.target, link.migration))
        except PlanError as error:
            return _unfit(link, error)
    return plan


def _unfit(link: Link, error: PlanError) -> Clash:
    first = error.findings[0] if isinstance(error, PlanFaults) else None
    said, where = (first.message, first.words.get("where", "")) if first else (error.message, error.where)
    return Clash(f"{link.revision} does not fit where the other branch comes first: {said}", where=where)


def _both_take(source: Schema, one: Sequence[Link], other: Sequence[Link]) -> Clash | None:
    """The rewrites of both that take the same keys, where both branches fit the source by themselves."""
    plans = [_composed(source, links) for links in (one, other)]
    if any(isinstance(each, Clash) for each in plans):
        return None
    mine, theirs = (_changes(each) for each in plans if isinstance(each, Plan))
    for key in source.tensors:
        if key in mine and key in theirs:
            keys = tuple(each for each in source.tensors if each in mine and each in theirs)
            text = f"is changed by both {_names(one)} ({_place(mine[key])}) and {_names(other)} ({_place(theirs[key])})"
            return Clash(text, keys, theirs[key].where)
    return None


def _changes(plan: Plan) -> dict[str, Edge]:
    """Each key that does not stay as it is, with the rewrite that takes it."""
    return {
        key: edge
        for edge in end_to_end(plan)
        for key in edge.sources
        if edge.targets != (key,) or plan.inputs[key] != plan.outputs[key]
    }


def _place(edge: Edge) -> str:
    return edge.where.replace("\\", "/").rpartition("/")[2] or "a rewrite"


def differing(one: Plan, other: Plan) -> tuple[str, ...]:
    """The keys that two plans from one source do not make alike."""
    known: dict[object, int] = {}
    mine, theirs = (_meanings(each, known) for each in (one, other))
    keys = dict.fromkeys((*mine, *theirs))
    apart = [key for key in keys if mine.get(key) != theirs.get(key)]
    ties = {*one.target.ties} ^ {*other.target.ties}
    tied = {key for group in ties for key in group}
    return tuple(
        dict.fromkeys((*apart, *(key for key in keys if key in tied and _partners(key, one) != _partners(key, other))))
    )


def _partners(key: str, plan: Plan) -> frozenset[str]:
    return frozenset(each for group in plan.target.ties if key in group for each in group)


def _meanings(plan: Plan, known: dict[object, int]) -> dict[str, int]:
    """For every target key a number that stands for how its tensor is made; `known` gives equal makings one number."""
    made: dict[int, int] = {}
    for key, value in plan.inputs.items():
        made.setdefault(value, known.setdefault(("input", key), len(known)))
    for step in plan.steps:
        inputs = tuple(made[value] for value in step.inputs)
        for place, value in enumerate(step.outputs):
            made[value] = known.setdefault((repr(step.op), inputs, place), len(known))
    return {key: made[value] for key, value in plan.outputs.items()}


def same_meaning(one: Plan, other: Plan) -> bool:
    """Whether two plans from one source make the same keys, in one order, of the same things."""
    return list(one.outputs) == list(other.outputs) and not differing(one, other)


def _in_tree(one: Sequence[Link], other: Sequence[Link]) -> Iterator[Clash]:
    """Steps of both that are about one place of the tree beside the weights."""
    for mine in one:
        for theirs in other:
            for path in _paths(mine.migration):
                meeting = [each for each in _paths(theirs.migration) if _meet(path, each)]
                if meeting:
                    text = f"{mine.revision} is about {path.text or '/'} of the tree, and {theirs.revision} about {meeting[0].text or '/'}"
                    yield Clash(text, where=theirs.migration.origin)
                    break
            if _renames_classes(mine.migration) and _renames_classes(theirs.migration):
                yield Clash(f"{mine.revision} and {theirs.revision} both rename classes", where=theirs.migration.origin)


def _paths(migration: Migration) -> list[TreePattern | TreeTarget]:
    steps = (*migration.tree, *(step for case in migration.cases for step in case.tree))
    return [path for step in steps for path in paths_of(step)]


def _renames_classes(migration: Migration) -> bool:
    return any(isinstance(step.action, RenameClasses) for step in migration.tree)


def _meet(one: TreePattern | TreeTarget, other: TreePattern | TreeTarget) -> bool:
    """Whether one path may be that of the other, or of something it is in: a step with a capture may be any."""
    if one.relative or other.relative:
        return True
    steps = (each.text.rstrip("@").split("/")[1:] for each in (one, other))
    pairs = zip(*steps, strict=False)
    return all(mine.rstrip("@") == theirs.rstrip("@") or "{" in mine or "{" in theirs for mine, theirs in pairs)


def _names(links: Sequence[Link]) -> str:
    return links[0].revision if len(links) == 1 else f"{links[0].revision} to {links[-1].revision}"
