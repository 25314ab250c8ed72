"""The first line of a report: the most likely single cause, and what cures it."""

from __future__ import annotations

from collections.abc import Sequence

from ckptlint.core.finding import Coverage, Finding, Severity
from ckptlint.engine.selected import Running

# checks whose facts explain a whole difference, the most far-reaching first
CAUSES = (
    "no-weights",
    "wrong-section",
    "prefix",
    "adapter",
    "quantized",
    "flat-parameter",
    "other-form",
    "fused",
    "other-width",
    "other-depth",
    "case-only",
    "tied-missing",
    "unsaved-buffer",
    "leftover-buffer",
    "missing-buffer",
    "transposed",
    "resized-axis",
)


def headline(judged: Sequence[tuple[Running, list[Finding]]], coverage: Coverage | None) -> str:
    """Name the cause of the errors there are; nothing where there is none."""
    failing = {each.rule.check: found for each, findings in judged if (found := _errors(findings))}
    if not failing:
        return ""
    if coverage and coverage.of_tensors and not coverage.tensors and not failing.keys() & set(CAUSES):
        return "nothing in this checkpoint fits the model: it holds another architecture, or another section is meant"
    for cause in CAUSES:
        if cause in failing:
            finding = max(failing[cause], key=lambda each: len(each.keys))
            return f"{finding.message}; {finding.hint}" if finding.hint else finding.message
    return _summary(coverage)


def _errors(findings: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.severity is Severity.ERROR]


def _summary(coverage: Coverage | None) -> str:
    if coverage is None:
        return ""
    return f"{coverage.tensors} of the model's {coverage.of_tensors} tensors are there and fit"
