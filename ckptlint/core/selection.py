"""Which rules a project runs, how severe they are to it, and which of their findings it has accepted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ckptlint.core.severity import Severity


@dataclass(frozen=True, slots=True)
class Ignore:
    """Findings that a project lives with: those of `rule` (an id, a prefix of ids or a slug) about `keys` (a selector; empty: all).

    The reason is required: without one nobody knows later whether it still holds.
    """

    rule: str
    reason: str
    keys: str = ""


@dataclass(frozen=True, slots=True)
class Selection:
    """Codes are ids (`CKK101`), prefixes of ids (`CKK1`) or slugs (`missing-key`).

    A rule reports if `select` (empty: all) or `extend` names it and `ignore` does not; of two codes the longer decides, so that
    `select: CKK101` wins over `ignore: CKK`. `severity` overrides the rules' own, None is as good as `ignore`. What an ignored rule
    explains is accepted: it does not turn up again under the next best reading.
    """

    select: tuple[str, ...] = ()
    extend: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    severity: Mapping[str, Severity | None] = field(default_factory=dict)
    ignores: tuple[Ignore, ...] = ()
