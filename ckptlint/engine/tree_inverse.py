"""Turn the steps of `tree:` around, the last first; what loses something is named.

What a `set` stood over is known only if the condition of the whole migration says what stood there. Conditions of single steps and
ranges count only where the migration leaves alone what they look at, since on the way back they see the new tree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from ckptlint.core.expression import NO_TABLES, Tables, Value
from ckptlint.core.guard import Guard
from ckptlint.core.reversal import OneWay, Reversal, invert_pair
from ckptlint.core.template import Target, Template
from ckptlint.core.tree_path import PatternStep, TreePattern, TreeTarget
from ckptlint.core.tree_steps import (
    Action,
    ComputeValue,
    CopyPlace,
    DeletePlaces,
    Plain,
    Refuse,
    RenameClasses,
    RenamePlaces,
    SetValue,
    TreeStep,
    Unmake,
    paths_of,
)

_OF_KEYS = ("has", "lacks", "shape", "dtype")


class TreeLoss(NamedTuple):
    """A step that cannot be undone: its place in the file, and why."""

    where: str
    reason: str


class TreeWay(NamedTuple):
    """The steps of the way back, in their order, and what is lost on the way there."""

    steps: tuple[TreeStep, ...]
    losses: tuple[TreeLoss, ...]


def invert_tree(
    steps: Sequence[TreeStep], when: Guard | None, params: Mapping[str, Value], lookups: Tables = NO_TABLES
) -> TreeWay:
    """Return the way back from steps of a migration whose own condition is `when`."""
    known = dict(_pinned(when))
    touched = [path for step in steps for path in _changed(step)]
    back: list[TreeStep] = []
    losses: list[TreeLoss] = []
    for step in reversed(steps):
        found = _inverse(step, known, touched, params, lookups)
        if isinstance(found, str):
            losses.append(TreeLoss(step.where, found))
        elif found is not None:
            back.append(replace(step, action=found))
    return TreeWay(tuple(back), tuple(reversed(losses)))


def _inverse(
    step: TreeStep,
    known: Mapping[str, Guard],
    touched: Sequence[TreePattern | TreeTarget],
    params: Mapping[str, Value],
    lookups: Tables,
) -> Action | str | None:
    """The action of the way back, None where nothing is to be done, or why there is none."""
    action = step.action
    if isinstance(action, Refuse):
        return None
    if not _stays(step, touched):
        return "its condition or range looks at what the migration changes, so the new file does not decide it"
    match action:
        case SetValue(target) | ComputeValue(target) | CopyPlace(_, target):
            return _unset(action, known.get(target.text) if step.when is None else None)
        case DeletePlaces():
            return _undelete(step, action, known)
        case RenamePlaces():
            return _rename(action, params, lookups)
        case RenameClasses(names):
            return _classes(names, params, lookups)
        case _:
            return "is itself a way back"


def _undelete(step: TreeStep, action: DeletePlaces, known: Mapping[str, Guard]) -> Action | str:
    pin = known.get(action.paths[0].text) if len(action.paths) == 1 and step.when is None else None
    if pin is not None and pin.test == "tree":
        return SetValue(TreeTarget.parse(action.paths[0].text), _scalar(pin))
    return f"deletes {', '.join(map(str, action.paths))}"


def _rename(action: RenamePlaces, params: Mapping[str, Value], lookups: Tables) -> Action | str:
    turned = [_turned(source, target, params, lookups) for source, target in action.pairs]
    reason = next((each for each in turned if isinstance(each, str)), None)
    return reason or RenamePlaces(tuple(each for each in turned if not isinstance(each, str)), prune=True)


def _unset(action: SetValue | ComputeValue | CopyPlace, pin: Guard | None) -> Action | str:
    if action.if_absent or (pin is not None and pin.test == "absent"):
        return Unmake(action)
    if pin is not None:
        return SetValue(action.target, _scalar(pin))
    return f"sets {action.target}, whatever stood there"


def _scalar(pin: Guard) -> Plain:
    value = pin.arguments[1]
    return value if isinstance(value, str | int | float | bool) else None


def _pinned(when: Guard | None) -> Iterator[tuple[str, Guard]]:
    """What the migration's condition says of places: what stands there, or that nothing does."""
    if when is None:
        return
    if when.test == "all":
        for part in when.arguments:
            yield from _pinned(part if isinstance(part, Guard) else None)
    elif when.test == "absent" or (when.test == "tree" and when.arguments[1] is not None):
        yield str(when.arguments[0]), when


def _stays(step: TreeStep, touched: Sequence[TreePattern | TreeTarget]) -> bool:
    looked = [(each.path, False) for each in step.each if each.path is not None]
    looked += [(TreePattern.parse(text), there) for text, there in _looked_at(step.when)]
    return not _asks_keys(step.when) and not any(
        _meet(path, other, there) for path, there in looked for other in touched
    )


def _asks_keys(guard: Guard | None) -> bool:
    if guard is None:
        return False
    parts = [part for part in guard.arguments if isinstance(part, Guard)]
    return guard.test in _OF_KEYS or any(map(_asks_keys, parts))


def _looked_at(guard: Guard | None) -> Iterator[tuple[str, bool]]:
    """The paths of a condition, and whether it only asks if something is there."""
    if guard is None:
        return
    if guard.test in ("tree", "in", "type", "present", "absent", "falsy"):
        yield str(guard.arguments[0]), guard.test in ("type", "present", "absent")
    for part in guard.arguments:
        if isinstance(part, Guard):
            yield from _looked_at(part)


def _changed(step: TreeStep) -> Iterator[TreePattern | TreeTarget]:
    ranges = {id(each.path) for each in step.each}
    read = set(map(id, step.action.read.values())) if isinstance(step.action, ComputeValue) else set()
    read |= {id(step.action.source)} if isinstance(step.action, CopyPlace) else set()
    yield from (path for path in paths_of(step) if id(path) not in ranges | read)


def _meet(one: TreePattern, other: TreePattern | TreeTarget, there: bool) -> bool:  # noqa: FBT001  how one looks
    """Whether what is looked at may change with the other place: it is the same or in it, or the other is in it.

    What only asks if something is `there` does not mind what changes inside. Captures may be anything.
    """
    if one.relative != other.relative:
        return one.relative and not one.steps
    if there and len(other.steps) > len(one.steps):
        return False
    return all(map(_alike, _texts(one), _texts(other)))


def _texts(path: TreePattern | TreeTarget) -> list[str | None]:
    if isinstance(path, TreePattern):
        return [None if step.template else step.text + "@" * step.states for step in path.steps]
    return [step.literal for step in path.steps]


def _alike(one: str | None, other: str | None) -> bool:
    return one is None or other is None or one == other


def _turned(
    source: TreePattern, target: TreeTarget, params: Mapping[str, Value], lookups: Tables
) -> tuple[TreePattern, TreeTarget] | str:
    if any(step.states for step in source.steps):
        return f"{source} is in the state of an object"
    templates = [step.template for step in source.steps if step.template is not None]
    filled = [step for step in target.steps if step.fills]
    back = invert_pair(templates, filled, params, lookups) if templates or filled else Reversal((), ())
    if isinstance(back, OneWay):
        return f"{source} -> {target}: {back.reason}"
    sources, targets = iter(back.sources), iter(back.targets)
    pattern = [_pattern_step(step, sources) for step in target.steps]
    steps = [Target((step.text,)) if step.template is None else next(targets) for step in source.steps]
    return TreePattern(target.text, target.relative, tuple(pattern)), TreeTarget(
        source.text, source.relative, tuple(steps)
    )


def _pattern_step(step: Target, templates: Iterator[Template]) -> PatternStep:
    if step.fills:
        template = next(templates)
        return PatternStep(str(template), template, 0)
    return PatternStep((step.literal or "").replace("~", "~0").replace("/", "~1") or "~", None, 0)


def _classes(
    names: Sequence[tuple[Template, Target]], params: Mapping[str, Value], lookups: Tables
) -> RenameClasses | str:
    pairs: list[tuple[Template, Target]] = []
    for template, target in names:
        back = invert_pair([template], [target], params, lookups)
        if isinstance(back, OneWay):
            return f"{template} -> {target}: {back.reason}"
        pairs.append((back.sources[0], back.targets[0]))
    return RenameClasses(tuple(pairs))
