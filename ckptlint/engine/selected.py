"""Which rules run, and how severe they are: a project's selection applied to the rules there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ckptlint.checks import CHECKS
from ckptlint.checks.base import Check
from ckptlint.core.fields import fill
from ckptlint.core.finding import Severity
from ckptlint.core.selection import Selection
from ckptlint.errors import DocumentError, UsageError

# a slug, or a whole id, beats every prefix
_EXACT = 1000


class LintRule(Protocol):
    """What lint needs of a rule. `core.rule.Rule` is one; so is an entry of an index that reads its words when they are asked for."""

    @property
    def id(self) -> str: ...
    @property
    def slug(self) -> str: ...
    @property
    def check(self) -> str: ...
    @property
    def severity(self) -> Severity: ...
    @property
    def options(self) -> Mapping[str, object]: ...
    @property
    def message(self) -> str: ...
    @property
    def hint(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Running:
    """A rule that runs: its check with typed options, and the severity that the project gives it.

    One that is `ignored` reports nothing, but what it explains stays explained: no other rule may read it in another way.
    """

    rule: LintRule
    check: Check
    options: object
    severity: Severity
    ignored: bool = False


def running(rules: Iterable[LintRule], selection: Selection) -> list[Running]:
    """Return the selected rules in the order of precedence of their checks.

    `UsageError` for a code that means no rule, `DocumentError` for a rule with an unknown check or wrong options.
    """
    known = list(rules)
    _check_codes(known, selection)
    chosen = [each for rule in known if (each := _running(rule, selection)) is not None]
    order = {name: place for place, name in enumerate(CHECKS)}
    return sorted(chosen, key=lambda each: (order[each.rule.check], each.rule.id))


def _running(rule: LintRule, selection: Selection) -> Running | None:
    wanted = max(closeness(rule, selection.select) if selection.select else 1, closeness(rule, selection.extend))
    if not wanted:
        return None
    codes = [code for code in selection.severity if closeness(rule, (code,))]
    severity: Severity | None = rule.severity
    if codes:
        severity = selection.severity[max(codes, key=lambda code: closeness(rule, (code,)))]
    ignored = severity is None or closeness(rule, selection.ignore) >= wanted
    if rule.check not in CHECKS:
        raise DocumentError(f"there is no check {rule.check!r}", where=rule.id, hint=f"there are {', '.join(CHECKS)}")
    return Running(rule, CHECKS[rule.check], _options(rule), severity or rule.severity, ignored)


def _options(rule: LintRule) -> object:
    try:
        return fill(CHECKS[rule.check].options, rule.options)
    except DocumentError as error:
        raise error.at(f"{rule.id}: with") from None


def closeness(rule: LintRule, codes: Sequence[str]) -> int:
    """Return how exactly the codes name the rule: 0 not at all, else the length of the longest that does."""
    return max((_closeness(rule, code) for code in codes), default=0)


def _closeness(rule: LintRule, code: str) -> int:
    if code in (rule.id, rule.slug):
        return _EXACT
    return len(code) if rule.id.startswith(code) else 0


def _check_codes(rules: Sequence[LintRule], selection: Selection) -> None:
    ignores = [ignore.rule for ignore in selection.ignores]
    for code in (*selection.select, *selection.extend, *selection.ignore, *selection.severity, *ignores):
        if not code or not any(closeness(rule, (code,)) for rule in rules):
            from difflib import get_close_matches  # only a mistake pays for this import

            close = get_close_matches(code, [name for rule in rules for name in (rule.id, rule.slug)], n=1)
            hint = f"did you mean {close[0]}?" if close else "`ckptlint rules` lists them"
            raise UsageError(f"no rule has the code {code!r}", hint=hint)
