"""Three versions of a schema as one: what either side changed since the base; where both changed one place, a conflict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import TypeVar

from ckptlint.core.digest import s1
from ckptlint.core.schema import Schema

T = TypeVar("T", bound=Hashable)
V = TypeVar("V", bound=Hashable)


@dataclass(frozen=True, slots=True)
class MergedSchemas:
    """The schema of both changes (meaningless where there are conflicts), and the keys at which they contradict each other."""

    schema: Schema
    conflicts: tuple[str, ...]


def merge_schemas(base: Schema, ours: Schema, theirs: Schema) -> MergedSchemas:
    """Merge three schemas; keys, parameters, unsaved buffers and classes of modules each in their order."""
    conflicts: list[str] = []
    tensors = _merged_maps(base.tensors, ours.tensors, theirs.tensors, conflicts)
    unsaved = _merged_maps(base.unsaved, ours.unsaved, theirs.unsaved, conflicts)
    modules = _merged_maps(base.modules, ours.modules, theirs.modules, conflicts)
    parameters: tuple[str, ...] | None = None
    if base.parameters is not None and ours.parameters is not None and theirs.parameters is not None:
        order, clashing = _merged(base.parameters, ours.parameters, theirs.parameters)
        parameters = tuple(order)
        conflicts += clashing
    groups = [[*each.ties] for each in (base, ours, theirs)]
    ties = [each for each in groups[1] if each in groups[2] or each not in groups[0]]
    ties += [each for each in groups[2] if each not in groups[0] and each not in ties]
    conflicts += [key for group in ties for key in group if key not in tensors]
    schema = replace(ours, tensors=tensors, unsaved=unsaved, modules=modules, ties=tuple(ties), parameters=parameters)
    schema = replace(schema, classes=_classes(base.classes, ours.classes, theirs.classes))
    return MergedSchemas(schema, tuple(dict.fromkeys(conflicts)))


def merge_variants(
    base: Mapping[str, Schema], ours: Mapping[str, Schema], theirs: Mapping[str, Schema]
) -> tuple[dict[str, Schema], dict[str, tuple[str, ...]]]:
    """Merge the variants of a model by name; also return the keys at which each is contradicted, by `variant NAME: `.

    A variant that one side took away is gone where the other left it as it was, else it is a conflict of all its keys.
    """
    made: dict[str, Schema] = {}
    conflicts: dict[str, tuple[str, ...]] = {}
    for name in sorted({*ours, *theirs}):
        label = f"variant {name}: " if name else ""
        if name in ours and name in theirs:
            merged = merge_schemas(base.get(name, Schema({}, parameters=())), ours[name], theirs[name])
            made[name] = merged.schema
            conflicts |= {label: merged.conflicts} if merged.conflicts else {}
            continue
        kept = ours.get(name) or theirs[name]
        if name not in base:
            made[name] = kept
        elif s1(kept) != s1(base[name]):
            conflicts[label] = tuple(kept.tensors)
    return made, conflicts


def _classes(base: Mapping[str, str], ours: Mapping[str, str], theirs: Mapping[str, str]) -> dict[str, str]:
    """The fingerprints of classes, attribute by attribute; ours where both changed one, which then counts as changed since."""
    found: dict[str, str] = {}
    for name in sorted({*ours, *theirs}):
        if name in base and (name not in ours or name not in theirs):
            continue
        if name not in base:
            found[name] = ours.get(name, theirs.get(name, ""))
            continue
        texts = [side[name].partition("|") for side in (base, ours, theirs)]
        attributes, clashing = _merged(*(text[0].split(";") for text in texts))
        bases = _chosen_item(*(text[2] for text in texts))
        found[name] = ours[name] if clashing or bases is None else f"{';'.join(attributes)}|{bases}"
    return found


def _merged_maps(
    base: Mapping[str, V], ours: Mapping[str, V], theirs: Mapping[str, V], conflicts: list[str]
) -> dict[str, V]:
    """Merge the order of the keys, and the value of each key by itself: a key whose value changed is still its neighbours' neighbour."""
    order, clashing = _merged([*base], [*ours], [*theirs])
    conflicts += clashing
    conflicts += [key for key, count in Counter(order).items() if count > 1]
    conflicts += [key for key in base.keys() - {*order} if _changed(key, base, ours) or _changed(key, base, theirs)]
    made: dict[str, V] = {}
    for key in order:
        said = [side[key] for side in (ours, theirs) if key in side]
        value = _chosen_item(base.get(key, said[0]), said[0], said[-1]) if key in base else said[0]
        if value is None or (key not in base and said[0] != said[-1]):
            conflicts.append(key)
        made[key] = said[0] if value is None else value
    return made


def _changed(key: str, base: Mapping[str, V], side: Mapping[str, V]) -> bool:
    """Whether a side kept a key and gave it another value."""
    return key in side and side[key] != base[key]


def _merged(base: Sequence[T], ours: Sequence[T], theirs: Sequence[T]) -> tuple[list[T], list[T]]:
    """Merge three sequences by the items that all of them have in one order; also return what cannot be merged."""
    found: list[T] = []
    clashing: list[T] = []
    here = (0, 0, 0)
    for there in [*_shared(base, ours, theirs), (len(base), len(ours), len(theirs))]:
        parts = [side[start:end] for side, start, end in zip((base, ours, theirs), here, there, strict=True)]
        chosen = _chosen(*parts)
        if chosen is None:
            clashing += [each for each in dict.fromkeys((*parts[0], *parts[1], *parts[2])) if not _kept(each, parts)]
        found += parts[1] if chosen is None else chosen
        found += base[there[0] : there[0] + 1]
        here = (there[0] + 1, there[1] + 1, there[2] + 1)
    return found, clashing


def _kept(item: T, parts: Sequence[Sequence[T]]) -> bool:
    return all(item in part for part in parts)


def _shared(base: Sequence[T], ours: Sequence[T], theirs: Sequence[T]) -> list[tuple[int, int, int]]:
    """The places of the items that both sides kept."""
    mine, its = (_matches(base, side) for side in (ours, theirs))
    return [(at, mine[at], its[at]) for at in sorted(mine.keys() & its.keys())]


def _matches(base: Sequence[T], side: Sequence[T]) -> dict[int, int]:
    blocks = SequenceMatcher(None, base, side, autojunk=False).get_matching_blocks()
    return {block.a + step: block.b + step for block in blocks for step in range(block.size)}


def _chosen(base: Sequence[T], ours: Sequence[T], theirs: Sequence[T]) -> Sequence[T] | None:
    if list(ours) == list(theirs) or list(theirs) == list(base):
        return ours
    return theirs if list(ours) == list(base) else _of_both(base, ours, theirs)


def _of_both(base: Sequence[T], ours: Sequence[T], theirs: Sequence[T]) -> Sequence[T] | None:
    """What two changes of one stretch come to, where each is of its own rows."""
    if _only_shorter(base, ours) and _only_shorter(base, theirs):
        return [each for each in base if each in ours and each in theirs]  # both only took away
    if not len(base) == len(ours) == len(theirs) or not (_in_place(base, ours) and _in_place(base, theirs)):
        return None
    rows = [_chosen_item(*each) for each in zip(base, ours, theirs, strict=True)]
    return None if any(each is None for each in rows) else [each for each in rows if each is not None]


def _only_shorter(base: Sequence[T], side: Sequence[T]) -> bool:
    return [each for each in base if each in side] == list(side)


def _in_place(base: Sequence[T], side: Sequence[T]) -> bool:
    """Whether a side only put new items in the places of others, and moved none."""
    return all(each == old or each not in base for old, each in zip(base, side, strict=True))


def _chosen_item(base: T, ours: T, theirs: T) -> T | None:
    """Of items side by side that which one side alone changed."""
    if base in (ours, theirs):
        return theirs if base == ours else ours
    return ours if ours == theirs else None
