"""Let the entries of a state dict that are no tensors go with their modules: `bn._extra_state` is renamed as `bn.weight` is.

Only entries in a module (or `_extra_state` of the root) do so. No rewrite need claim them, and `drop` does not mean them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ckptlint.core.checkpoint import Section
from ckptlint.core.migration import Migration, Move
from ckptlint.core.reversal import Reversal, invert_pair
from ckptlint.engine.params import filled
from ckptlint.engine.planner import Draft
from ckptlint.engine.prefix import strip_and_add
from ckptlint.engine.stage import StageRun
from ckptlint.errors import CkptlintError

_EXTRA = "_extra_state"


def renamed_entries(section: Section, migration: Migration, made: Draft) -> Mapping[str, str]:
    """The new names of those entries that get one."""
    names: dict[str, str] = {}
    for key in section.others:
        if "." not in key and key != _EXTRA:
            continue
        new = strip_and_add([key], migration.prefix)[0] if migration.prefix else key
        for run in made.stages:
            new = _renamed(new, run)
        if new != key:
            names[key] = new
    return names


def restored_entries(section: Section, migration: Migration, made: Draft) -> Mapping[str, str]:
    """The old names of those entries that got one, `made` being the way there."""
    added = migration.prefix.add if migration.prefix else ""
    names: dict[str, str] = {}
    for key in section.others:
        if "." not in key and key != _EXTRA:
            continue
        old = key
        for run in reversed(made.stages):
            old = _restored(old, run)
        old = old.removeprefix(added)
        if old != key:
            names[key] = old
    return names


def _restored(key: str, run: StageRun) -> str:
    for rewrite in _renames(run):
        back = invert_pair(rewrite.sources, rewrite.targets, run.params.values, run.params.lookups)
        captures = back.sources[0].match(key) if isinstance(back, Reversal) else None
        if captures is not None and isinstance(back, Reversal):
            try:
                old = filled(run.params, back.targets[0], captures)
            except CkptlintError:  # no key that the rewrite made
                continue
            if _renamed(old, run) == key:
                return old
    return key


def _renames(run: StageRun) -> Iterator[Move]:
    for bound in run.bound:
        rewrite = bound.rewrite
        if bound.active and isinstance(rewrite, Move) and not rewrite.ops and len(rewrite.sources) == 1:
            yield rewrite


def _renamed(key: str, run: StageRun) -> str:
    for rewrite in _renames(run):
        captures = rewrite.sources[0].match(key)
        if captures is not None:
            try:
                return filled(run.params.over(run.values), rewrite.targets[0], captures)
            except CkptlintError:  # what its tensors count in, it is not in
                return key
    return key
