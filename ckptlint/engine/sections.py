"""Choose which state dict of a checkpoint is meant."""

from __future__ import annotations

from ckptlint.checks.alignment import matches
from ckptlint.core.checkpoint import Checkpoint, Section, SectionKind
from ckptlint.core.schema import Schema
from ckptlint.errors import UsageError

_PREFERRED = (SectionKind.WEIGHTS, SectionKind.EMA, SectionKind.OTHER)


def choose_section(checkpoint: Checkpoint, model: Schema | None, named: str = "") -> Section | None:
    """Return the section with the tree path `named`; without one the weights that cover the model best, the first of equals.

    None where the file has no state dict at all; `UsageError` where it has none at that path.
    """
    if named:
        return _named(checkpoint, named)
    candidates = [each for each in checkpoint.sections if each.kind is not SectionKind.OPTIMIZER]
    candidates.sort(key=lambda each: _PREFERRED.index(each.kind))  # stable: the file's order within a kind
    if model is None or len(candidates) < 2:
        return candidates[0] if candidates else None
    return max(candidates, key=lambda each: matches(each.schema(), model))


def _named(checkpoint: Checkpoint, named: str) -> Section:
    path = "/" + named.strip("/")
    for section in checkpoint.sections:
        if section.path == path:
            return section
    there = ", ".join(section.path for section in checkpoint.sections) or "none"
    raise UsageError(f"there is no section {path}", where=checkpoint.origin, hint=f"the file has {there}")
