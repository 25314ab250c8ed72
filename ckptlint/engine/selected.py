"""Which rules run, and how severe they are: a project's selection applied to the rules there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from ckptlint.checks import CHECKS
from ckptlint.checks.base import Check
from ckptlint.core.fields import fill
from ckptlint.core.finding import Severity
from ckptlint.core.selection import Selection
from ckptlint.engine.wishes import check_codes, wish
from ckptlint.errors import DocumentError


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
    check_codes(known, selection)
    chosen = [each for rule in known if (each := _running(rule, selection)) is not None]
    order = {name: place for place, name in enumerate(CHECKS)}
    return sorted(chosen, key=lambda each: (order[each.rule.check], each.rule.id))


def _running(rule: LintRule, selection: Selection) -> Running | None:
    wanted = wish(rule, selection)
    if wanted is None:
        return None
    if rule.check not in CHECKS:
        raise DocumentError(f"there is no check {rule.check!r}", where=rule.id, hint=f"there are {', '.join(CHECKS)}")
    return Running(rule, CHECKS[rule.check], _options(rule), wanted.severity, wanted.ignored)


def _options(rule: LintRule) -> object:
    try:
        return fill(CHECKS[rule.check].options, rule.options)
    except DocumentError as error:
        raise error.at(f"{rule.id}: with") from None
