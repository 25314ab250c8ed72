"""`ckptlint explain`: what a rule, a planning fault or an operation is about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ckptlint.errors import UsageError


def run(code: str, folders: Sequence[str]) -> tuple[list[str], int]:
    from ckptlint.commands import rules

    loaded = rules.known(folders)
    for rule in loaded:
        if code.upper() == rule.id or code.lower() == rule.slug:
            return rules.describe(rule), 0
    return _elsewhere(code, [name for rule in loaded for name in (rule.id, rule.slug)]), 0


def _elsewhere(code: str, known: Iterable[str]) -> list[str]:
    from ckptlint.commands import faults, ops
    from ckptlint.engine.faults import KINDS

    for entry in ops.entries():
        if code.lower() == entry.name:
            return ops.describe(entry)
    for kind in KINDS.values():
        if code.upper() == kind.code or code.lower() == kind.slug:
            return faults.describe(kind)
    from difflib import get_close_matches

    names = [*known, *(entry.name for entry in ops.entries()), *KINDS]
    close = get_close_matches(code.upper() if code[:2].upper() == "CK" else code.lower(), names, n=1)
    hint = f"did you mean {close[0]}?" if close else "`ckptlint rules` and `ckptlint ops` list what there is"
    raise UsageError(f"there is no rule or operation {code!r}", hint=hint)
