"""Strip the wrapper prefixes of a state dict, and add one: from all keys or from none."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from ckptlint.core.migration import Prefix
from ckptlint.engine.faults import MIXED_PREFIX, PlanFaults, fault

_EXAMPLES = 2


def strip_and_add(keys: Sequence[str], prefix: Prefix) -> list[str]:
    """Return the keys without the prefixes of `strip`, however they are nested, and with `add` before them.

    `PlanFaults` where some keys have a prefix and others do not, since a part of a model would then be renamed.
    """
    bare = list(keys)
    while bare and (found := _leading(bare, prefix)):
        bare = [key[len(found) :] for key in bare]
    return [prefix.add + key for key in bare] if prefix.add else bare


def _leading(keys: Sequence[str], prefix: Prefix) -> str:
    """Return a prefix that all keys have, empty where none has one."""
    for each in prefix.strip:
        having = [key for key in keys if key.startswith(each) and key != each]
        if len(having) == len(keys):
            return each
        if having:
            others = [key for key in keys if not key.startswith(each) or key == each]
            raise _mixed(each, having[0], others, prefix.where)
    return ""


def _mixed(prefix: str, example: str, others: Sequence[str], where: str) -> PlanFaults:
    shown = ", ".join(islice(others, _EXAMPLES))
    more = f" and {len(others) - _EXAMPLES} more" if len(others) > _EXAMPLES else ""
    hint = "rename them with a rewrite instead, which may treat keys differently"
    return fault(MIXED_PREFIX, f"{example} has the prefix {prefix!r}, but not {shown}{more}", where=where, hint=hint)
