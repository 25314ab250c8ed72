"""Carry torch's `_metadata` (the version of each module's state dict) through a migration.

A version says how a module's own entries are to be read, so it follows the module only where all of them went along unchanged in name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ckptlint.core.plan import Plan
from ckptlint.engine.edges import end_to_end


def module_versions(versions: Mapping[str, int], plan: Plan) -> dict[str, int]:
    """Return the versions by the new module paths, in the old order.

    Module m becomes m' where every key below m that still exists went from `m.rest` to `m'.rest`; a module without keys goes with its
    nearest parent that has a new path; others are left out, as are modules whose new path two versions claim. The root stays.
    """
    paths = _moved(versions, plan)
    new: dict[str, int] = {}
    clashing: set[str] = set()
    for path, version in versions.items():
        moved = paths[path]
        if moved is None:
            continue
        if new.setdefault(moved, version) != version:
            clashing.add(moved)
    return {path: version for path, version in new.items() if path not in clashing}


def _moved(versions: Mapping[str, int], plan: Plan) -> dict[str, str | None]:
    """Return where each module went, None for nowhere certain."""
    candidates = _candidates(versions, plan)
    keyed = {path for key in plan.source.tensors for path in _parents(key)}
    paths: dict[str, str | None] = {"": ""}
    for path in sorted(versions, key=len):
        if path in paths:
            continue
        if path in keyed:
            found = candidates.get(path)
            paths[path] = next(iter(found)) if found is not None and len(found) == 1 else None
        else:
            paths[path] = _with_parent(path, paths)
    return paths


def _candidates(versions: Mapping[str, int], plan: Plan) -> dict[str, set[str]]:
    """The paths that would fit every key below a module. A module that lost all its keys has none."""
    found: dict[str, set[str]] = {}
    for key, targets in _became(plan):
        for path in _parents(key):
            if path in versions:
                rest = key[len(path) :]
                fits = {target.removesuffix(rest) for target in targets if target.endswith(rest)}
                found[path] = found[path] & fits if path in found else fits
    return found


def _became(plan: Plan) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every source key that still exists, and what it became."""
    for edge in end_to_end(plan):
        if edge.targets:
            yield from ((key, edge.targets) for key in edge.sources)


def _with_parent(path: str, paths: Mapping[str, str | None]) -> str | None:
    for parent in _parents(path):
        moved = paths.get(parent)
        if moved is not None:
            return moved + path[len(parent) :]
    return path


def _parents(key: str) -> Iterator[str]:
    """The modules above a key, the nearest first; the root is none of them."""
    end = key.rfind(".")
    while end > 0:
        yield key[:end]
        end = key.rfind(".", 0, end)
