"""Which classes of the source are otherwise than a lock knows them: what the hook says of staged files, for all files of one lock."""

from __future__ import annotations

import os
from dataclasses import replace

from ckptlint.commands.locks import Locks
from ckptlint.commands.projects import settings
from ckptlint.core.finding import Finding


def changed_classes(lock: str) -> tuple[Finding, ...]:
    """The findings of the rules about classes (CKS), by syntax; nothing where the source is not there."""
    from ckptlint.commands import hook

    config = settings(None)
    locks = replace(Locks.of(config), paths=(os.path.abspath(lock),))
    rules = hook.rules_of(None, ("CKS",), ())
    found = hook.check([os.path.relpath(path) for path in locks.files()], rules, locks).places
    return tuple(
        Finding(
            each.rule,
            each.slug,
            each.severity,
            each.message,
            words={"where": f"{each.path}:{each.line}:{each.column}", "expected": each.code},
            hint=each.hint,
        )
        for each in found
        if each.rule.startswith("CKS")
    )
