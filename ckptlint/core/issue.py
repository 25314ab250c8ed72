"""A finding of any command in the form that machines take: one rule, one place, one fingerprint, and whether it is accepted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ckptlint.core.finding import Finding, Severity
from ckptlint.core.place import Place

_VERSION = "v1"
_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Issue:
    """What is wrong, and where. `place.line` is 0 where a whole file is meant; `subject` names the checkpoint, model or file it is about.

    `fingerprint` is the same as long as the fault is: no line number, no wording and no path of the source goes into it. `accepted` is the
    reason for which the project lives with it, '' where it does not; `known` says that a baseline lists it.
    """

    rule: str
    slug: str
    severity: Severity
    message: str
    hint: str
    place: Place
    fingerprint: str
    subject: str = ""
    pattern: str = ""
    keys: tuple[str, ...] = ()
    flow: tuple[Place, ...] = ()
    related: tuple[Place, ...] = ()
    sure: bool = True
    accepted: str = ""
    known: bool = False

    @property
    def counts(self) -> bool:
        """Whether it is a fault: not one that is accepted."""
        return not self.accepted and not self.known


def issue_of(finding: Finding, place: Place, subject: str) -> Issue:
    """A finding about keys; `place` is where it is, if the source does not say."""
    found = finding.definition
    return Issue(
        finding.rule,
        finding.slug,
        finding.severity,
        finding.message,
        finding.hint,
        found.place if found else place,
        fingerprint(finding.rule, subject, finding.pattern, _said(finding.words)),
        subject,
        finding.pattern,
        finding.keys,
        found.flow if found else (),
        found.related if found else (),
        found.sure if found else True,
    )


def fingerprint(rule: str, subject: str, *about: str) -> str:
    """16 hex digits that stay the same while a fault does; `about` is what tells it from others of the rule in the same subject."""
    text = "\0".join((_VERSION, rule, subject, *about))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]


def numbered(issues: Iterable[Issue]) -> tuple[Issue, ...]:
    """The same issues, those with equal fingerprints told apart by their order."""
    seen: dict[str, int] = {}
    told: list[Issue] = []
    for issue in issues:
        number = seen[issue.fingerprint] = seen.get(issue.fingerprint, 0) + 1
        own = fingerprint(issue.rule, issue.fingerprint, str(number)) if number > 1 else issue.fingerprint
        told.append(replace(issue, fingerprint=own))
    return tuple(told)


def worst(issues: Sequence[Issue]) -> list[Issue]:
    """Those that count, the gravest first."""
    return sorted((each for each in issues if each.counts), key=lambda each: -each.severity.rank)


def stale(issues: Iterable[Issue]) -> bool:
    """Whether one is about the project's own acceptances (CKX), not about what was looked at."""
    return any(each.counts and each.rule.startswith("CKX") for each in issues)


def _said(words: Mapping[str, str]) -> str:
    """What is expected and what is there, in the words of the check."""
    return "|".join(words.get(name, "") for name in ("expected", "actual"))
