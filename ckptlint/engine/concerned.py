"""Tell which of a checkpoint's state dicts a migration is about.

Beside the weights a checkpoint may hold other mappings of names to tensors: statistics of the data, weights of a loss. A migration that
matches nothing in them does not mean them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ckptlint.core.checkpoint import Section, SectionKind
from ckptlint.core.migration import Copy, Drop, Migration, Move
from ckptlint.engine.claims import patterns_of
from ckptlint.engine.matcher import Matcher
from ckptlint.engine.prefix import strip_and_add
from ckptlint.errors import PlanError


def concerned(sections: Sequence[Section], migration: Migration) -> tuple[Section, ...]:
    """Return the sections that a rewrite of the first stage moves, copies or drops keys of, and all copies of those.

    Where there is none, it is the one with the most tensors, and its copies. A moving average is always meant: what is called so and
    has at least half as many tensors.
    """
    if len(sections) == 1:
        return tuple(sections)
    matching = [each for each in sections if _matches(each.tensors, migration)]
    meant = matching or [max(sections, key=lambda each: len(each.tensors))]
    return tuple(
        each for each in sections if is_average(each, sections) or any(is_copy(each, other) for other in meant)
    )


def is_average(section: Section, sections: Sequence[Section]) -> bool:
    """Whether it is a moving average of the weights, by its name and its size; `{"ema": tensor}` of a callback is none."""
    weights = [len(each.tensors) for each in sections if each.kind is SectionKind.WEIGHTS]
    return section.kind is SectionKind.EMA and 2 * len(section.tensors) >= max(weights, default=0)


def is_copy(one: Section, other: Section) -> bool:
    """Whether at least half of the keys of one are keys of the other."""
    return one is other or 2 * len(one.tensors.keys() & other.tensors.keys()) >= len(one.tensors)


def _matches(keys: Collection[str], migration: Migration) -> bool:
    ways = [case.stages for case in migration.cases] or [migration.stages]
    rewrites = [rewrite for stages in ways for rewrite in (stages[0].rewrites if stages else ())]
    patterns = [p for each in rewrites if isinstance(each, Move | Copy | Drop) for p in patterns_of(each)]
    return next(iter(Matcher(patterns).matches(_unwrapped(keys, migration))), None) is not None


def _unwrapped(keys: Collection[str], migration: Migration) -> Collection[str]:
    """The keys as rewrites see them."""
    if migration.prefix is None:
        return keys
    try:
        return strip_and_add(list(keys), migration.prefix)
    except PlanError:
        return keys  # only some have the prefix, which planning will say if the section is meant
