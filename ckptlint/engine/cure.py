"""Decide whether a migration could make a checkpoint fit at all: not where it is another variant, or holds no plain weights.

A migration can be drafted if every error is of a kind that names and shapes decide, or if the tensors that lack a counterpart are largely
of the same shapes on both sides.
"""

from __future__ import annotations

from collections import Counter

from ckptlint.core.finding import Report, Severity
from ckptlint.core.schema import Schema
from ckptlint.core.spec import TensorSpec

_HOPELESS = frozenset(
    {"no-weights", "wrong-section", "unmerged-adapter", "quantized", "flat-parameter", "placeholder"}
    | {"other-width", "other-depth", "parallel-part"}
)
"""Slugs of the rules of which a finding says that no migration helps."""

_DECIDED = frozenset(
    {
        "prefix-in-checkpoint",
        "prefix-in-model",
        "case-only",
        "renumbered",
        "transposed",
        "tied-missing",
        "unexpected-key",
    }
    | {"weight-norm-new", "weight-norm-kept", "weight-norm-removed", "spectral-norm-new", "spectral-norm-old"}
    | {"fused-in-model", "fused-in-checkpoint", "leftover-buffer", "unsaved-buffer"}
)
"""Slugs of the rules whose findings a suggested migration decides: nothing is missing that it would have to invent."""


def can_be_cured(report: Report) -> bool:
    """Whether it fails for names or forms of tensors, not for being something else altogether."""
    return report.failed() and _HOPELESS.isdisjoint(finding.slug for finding in report.findings)


def can_be_drafted(report: Report, stored: Schema, wanted: Schema) -> bool:
    """Whether a suggested migration would decide most of it: each error is of such a kind, or the tensors were renamed."""
    if any(finding.words.get("also") for finding in report.findings):
        return False  # two copies would do equally well, and it is for a person to say which
    failing = {finding.slug for finding in report.findings if finding.severity is Severity.ERROR}
    return failing <= _DECIDED or _renamed(stored, wanted)


def _renamed(stored: Schema, wanted: Schema) -> bool:
    """Whether at least half of the missing tensors have one of their shape among the unexpected."""
    missing, unexpected = _shapes(wanted, stored), _shapes(stored, wanted)
    return bool(missing) and (missing & unexpected).total() * 2 >= missing.total()


def _shapes(side: Schema, other: Schema) -> Counter[tuple[int, ...]]:
    gone: list[TensorSpec] = [spec for key, spec in side.tensors.items() if key not in other.tensors]
    return Counter(spec.shape for spec in gone)
