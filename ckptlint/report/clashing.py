"""Why two branches of a chain cannot be exchanged, as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ckptlint.core.families import fold
from ckptlint.engine.commute import Clash
from ckptlint.report.escape import escape

_SHOWN = 20


def text(headline: str, clashes: Sequence[Clash]) -> Iterator[str]:
    """One block for each clash: which keys, what about them, where."""
    yield escape(headline)
    for clash in clashes:
        place = f" ({clash.where})" if clash.where else ""
        patterns = [each.pattern for each in fold(list(clash.keys))] if clash.keys else [""]
        for pattern in patterns[:_SHOWN]:
            yield escape(f"  {pattern + ' ' if pattern else ''}{clash.text}{place}")
        if len(patterns) > _SHOWN:
            yield f"  and {len(patterns) - _SHOWN} more"
    for hint in dict.fromkeys(clash.hint for clash in clashes):
        yield escape(f"  hint: {hint}")
