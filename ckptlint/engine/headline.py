"""The first line of a report: the most likely single cause, and what cures it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from ckptlint.checks.base import Comparison
from ckptlint.core.finding import Coverage, Finding, Severity
from ckptlint.engine.selected import Running

# checks whose facts explain a whole difference, the most far-reaching first: these whatever else there is
CERTAIN = ("no-weights", "wrong-section", "adapter", "quantized", "flat-parameter")
# and these where they explain more keys than they leave
CAUSES = (
    "prefix",
    "other-form",
    "fused",
    "renumbered",
    "other-width",
    "other-depth",
    "case-only",
    "tied-missing",
    "unsaved-buffer",
    "leftover-buffer",
    "missing-statistics",
    "missing-buffer",
    "transposed",
    "resized-axis",
)


def headline(judged: Sequence[tuple[Running, list[Finding]]], coverage: Coverage | None, seen: Comparison) -> str:
    """Name the cause of the errors there are, given what no check has explained; nothing where there is no error."""
    failing = {each.rule.check: found for each, findings in judged if (found := _errors(findings))}
    if not failing:
        return ""
    finding = _cause(failing, unexplained=len(seen.missing) + len(seen.unexpected))
    if finding is None and failing.keys().isdisjoint(("missing-key", "unexpected-key")):
        finding = max((each for found in failing.values() for each in found), key=lambda each: len(each.keys))
    if finding is not None:
        return _said(finding, alike=sum(each.rule == finding.rule for found in failing.values() for each in found) - 1)
    if _renamed(seen):
        return (
            "the missing and the unexpected tensors have the same shapes: they were renamed; say how in a migration, "
            "`rename: {OLD: NEW}`"
        )
    if coverage is not None and seen.wanted and not seen.pairs:
        return _strange(seen)
    return "" if coverage is None else _restructured(coverage, seen, failing)


def _said(finding: Finding, alike: int) -> str:
    more = f" (and {alike} more like it)" if alike else ""
    return f"{finding.message}{more}; {finding.hint}" if finding.hint else f"{finding.message}{more}"


def _restructured(coverage: Coverage, seen: Comparison, failing: Collection[str]) -> str:
    every = coverage.tensors == coverage.of_tensors
    fitting = f"{'all' if every else coverage.tensors} of the model's {coverage.of_tensors} tensors are there and fit"
    missing = f"{len(seen.missing)} {'is' if len(seen.missing) == 1 else 'are'} missing"
    unexpected = f"{len(seen.unexpected)} of the file's {'has' if len(seen.unexpected) == 1 else 'have'} no place"
    if "unexpected-key" not in failing:
        return f"{fitting}, and {missing}: the model has grown since, or the file holds a part of it"
    if "missing-key" not in failing:
        return f"{fitting}, and {unexpected}: the model has lost a part since; `drop` what it no longer needs in a migration"
    return f"the model was renamed or rebuilt since: {fitting}, {missing}, and {unexpected}; write a migration, and `ckptlint prove` it"


def _cause(failing: Mapping[str, Sequence[Finding]], unexplained: int) -> Finding | None:
    """Return the largest finding of the most far-reaching cause that is certain, or explains more keys than are left."""
    for check in (*CERTAIN, *CAUSES):
        findings = failing.get(check, ())
        if findings and (check in CERTAIN or sum(len(each.keys) for each in findings) >= unexplained):
            return max(findings, key=lambda each: len(each.keys))
    return None


def _errors(findings: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.severity is Severity.ERROR]


def _strange(seen: Comparison) -> str:
    """Say what it means that no key is common; equal shapes under other names speak for the same weights."""
    missing, unexpected = _shapes(seen)
    alike = (missing & unexpected).total()
    if alike * 2 < len(seen.wanted):
        return "no key of the model is in this checkpoint: it holds another architecture, or another section is meant"
    return (
        f"no key of the model is in this checkpoint, but {alike} of its {len(seen.wanted)} tensors have one of the same shape there: "
        "the model was renamed or rebuilt since; write a migration, and `ckptlint prove` it"
    )


def _renamed(seen: Comparison) -> bool:
    missing, unexpected = _shapes(seen)
    return missing == unexpected


def _shapes(seen: Comparison) -> tuple[Counter[tuple[int, ...]], Counter[tuple[int, ...]]]:
    """Count the shapes of what is missing, and of what is unexpected."""
    missing, unexpected = (Counter(each.shape for each in side.values()) for side in (seen.missing, seen.unexpected))
    return missing, unexpected
