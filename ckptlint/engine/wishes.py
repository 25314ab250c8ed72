"""Which rules a project wants, and how severe they are to it; what they check is no matter here, so that a hook need not know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from ckptlint.core.selection import Selection
from ckptlint.core.severity import Severity
from ckptlint.errors import UsageError

# a slug, or a whole id, beats every prefix
_EXACT = 1000


class Named(Protocol):
    """A rule, as far as codes can mean it."""

    @property
    def id(self) -> str: ...
    @property
    def slug(self) -> str: ...
    @property
    def severity(self) -> Severity: ...


class Wish(NamedTuple):
    """What a project wants of a rule that it runs. One that is `ignored` reports nothing, but what it explains stays explained."""

    severity: Severity
    ignored: bool


def wish(rule: Named, selection: Selection) -> Wish | None:
    """What the selection says of a rule; None where it does not run."""
    wanted = max(closeness(rule, selection.select) if selection.select else 1, closeness(rule, selection.extend))
    if not wanted:
        return None
    codes = [code for code in selection.severity if closeness(rule, (code,))]
    severity: Severity | None = rule.severity
    if codes:
        severity = selection.severity[max(codes, key=lambda code: closeness(rule, (code,)))]
    ignored = severity is None or closeness(rule, selection.ignore) >= wanted
    return Wish(severity or rule.severity, ignored)


def closeness(rule: Named, codes: Sequence[str]) -> int:
    """Return how exactly the codes name the rule: 0 not at all, else the length of the longest that does."""
    return max((_closeness(rule, code) for code in codes), default=0)


def _closeness(rule: Named, code: str) -> int:
    if code in (rule.id, rule.slug):
        return _EXACT
    return len(code) if rule.id.startswith(code) else 0


def check_codes(rules: Sequence[Named], selection: Selection) -> None:
    """`UsageError` for a code that means no rule. What the entries with a reason name is a finding instead (CKX104)."""
    for code in (*selection.select, *selection.extend, *selection.ignore, *selection.severity):
        if not code or not (any(closeness(rule, (code,)) for rule in rules) or names_kind(code)):
            from difflib import get_close_matches  # only a mistake pays for this import

            close = get_close_matches(code, [name for rule in rules for name in (rule.id, rule.slug)], n=1)
            hint = f"did you mean {close[0]}?" if close else "`ckptlint rules` lists them"
            raise UsageError(f"no rule has the code {code!r}", hint=hint)


def names_kind(code: str) -> bool:
    """Whether a code means a kind of fault that is no rule of its own, such as those of the gate."""
    from ckptlint.engine.faults import KINDS  # only a code that no rule has pays for this import

    return any(kind.code.startswith(code) or kind.slug == code for kind in KINDS.values())
