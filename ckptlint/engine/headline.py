"""The first line of a report: the most likely single cause, and what cures it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from ckptlint.checks.base import Comparison
from ckptlint.core.families import fold
from ckptlint.core.finding import Coverage, Finding, Severity
from ckptlint.engine.selected import Running

# checks whose facts explain a whole difference, the most far-reaching first: these whatever else there is
CERTAIN = ("no-weights", "wrong-section", "adapter", "quantized", "flat-parameter", "placeholder")
# and these where they explain more keys than they leave
CAUSES = (
    "parallel-part",
    "other-width",  # of another variant nothing fits, whatever the prefix
    "other-depth",
    "cut-keys",
    "doubled-keys",
    "prefix",
    "other-form",
    "fused",
    "renumbered",
    "case-only",
    "tied-missing",
    "unsaved-buffer",
    "leftover-buffer",
    "copies",
    "missing-statistics",
    "missing-buffer",
    "transposed",
    "inner-size",
    "key-value-heads",
    "resized-axis",
)

_FEW = 200  # keys from which on none is named
_PATTERNS = 2  # patterns that are


class Headline(NamedTuple):
    """The likely cause, and what to do about it; empty where there is nothing to say."""

    cause: str = ""
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.cause}; {self.advice}" if self.advice else self.cause


def headline(judged: Sequence[tuple[Running, list[Finding]]], coverage: Coverage | None, seen: Comparison) -> Headline:
    """Name the cause of the errors there are, given what no check has explained; nothing where there is no error."""
    failing = {each.rule.check: found for each, findings in judged if (found := _errors(findings))}
    if not failing:
        return Headline()
    finding = _cause(failing, missing=len(seen.missing), unexpected=len(seen.unexpected))
    if finding is None and failing.keys().isdisjoint(("missing-key", "unexpected-key")):
        finding = max((each for found in failing.values() for each in found), key=lambda each: len(each.keys))
    if finding is not None:
        return _said(finding, alike=sum(each.rule == finding.rule for found in failing.values() for each in found) - 1)
    if _renamed(seen):
        return Headline(
            "the missing and the unexpected tensors have the same shapes: they were renamed",
            "say how in a migration, `rename: {OLD: NEW}`",
        )
    if coverage is not None and seen.wanted and not seen.pairs:
        return _strange(seen)
    return Headline() if coverage is None else _restructured(coverage, seen, failing)


def _said(finding: Finding, alike: int) -> Headline:
    more = f" (and {alike} more like it)" if alike else ""
    return Headline(f"{finding.message}{more}", finding.hint)


def _restructured(coverage: Coverage, seen: Comparison, failing: Collection[str]) -> Headline:
    every = coverage.tensors == coverage.of_tensors
    fitting = f"{'all' if every else coverage.tensors} of the model's {coverage.of_tensors} tensors are there and fit"
    missing = f"{len(seen.missing)} {'is' if len(seen.missing) == 1 else 'are'} missing{_named(seen.missing)}"
    unexpected = (
        f"{len(seen.unexpected)} of the file's {'has' if len(seen.unexpected) == 1 else 'have'} no place"
        f"{_named(seen.unexpected)}"
    )
    if "unexpected-key" not in failing:
        return Headline(f"{fitting}, and {missing}: the model has grown since, or the file holds a part of it")
    if "missing-key" not in failing:
        lost = f"{fitting}, and {unexpected}: the model has lost a part since"
        return Headline(lost, "`drop` what it no longer needs in a migration")
    rebuilt = f"the model was renamed or rebuilt since: {fitting}, {missing}, and {unexpected}"
    return Headline(rebuilt, "write a migration, and `ckptlint prove` it")


def _named(keys: Collection[str]) -> str:
    """Name a few keys by their patterns, in brackets; nothing where there are many."""
    patterns = [family.pattern for family in fold(tuple(keys))] if len(keys) <= _FEW else []
    return f" ({', '.join(patterns)})" if 0 < len(patterns) <= _PATTERNS else ""


def _cause(failing: Mapping[str, Sequence[Finding]], missing: int, unexpected: int) -> Finding | None:
    """Return the largest finding of the most far-reaching cause that is certain, or explains more keys than are left.

    What else a file holds (a loss, a second copy) says nothing against a prefix with which the model's keys are all there.
    """
    for check in (*CERTAIN, *CAUSES):
        findings = failing.get(check, ())
        unexplained = missing if check == "prefix" else missing + unexpected
        if findings and (check in CERTAIN or sum(len(each.keys) for each in findings) >= unexplained):
            return max(findings, key=lambda each: len(each.keys))
    return None


def _errors(findings: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.severity is Severity.ERROR]


def _strange(seen: Comparison) -> Headline:
    """Say what it means that no key is common; equal shapes under other names speak for the same weights."""
    missing, unexpected = _shapes(seen)
    alike = (missing & unexpected).total()
    if alike * 2 < len(seen.wanted):
        return Headline(
            "no key of the model is in this checkpoint: it holds another architecture, or another section is meant"
        )
    return Headline(
        f"no key of the model is in this checkpoint, but {alike} of its {len(seen.wanted)} tensors have one of the same shape there: "
        "the model was renamed or rebuilt since",
        "write a migration, and `ckptlint prove` it",
    )


def _renamed(seen: Comparison) -> bool:
    missing, unexpected = _shapes(seen)
    return missing == unexpected


def _shapes(seen: Comparison) -> tuple[Counter[tuple[int, ...]], Counter[tuple[int, ...]]]:
    """Count the shapes of what is missing, and of what is unexpected."""
    missing, unexpected = (Counter(each.shape for each in side.values()) for side in (seen.missing, seen.unexpected))
    return missing, unexpected
