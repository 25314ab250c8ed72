"""Decide whether a migration could make a checkpoint fit at all: not where it is another variant, or holds no plain weights.

Names may be paired if the tensors that lack a counterpart are largely of the same shapes on both sides.
"""

from __future__ import annotations

from collections import Counter

from ckptlint.core.finding import Report
from ckptlint.core.schema import Schema
from ckptlint.core.spec import TensorSpec

_HOPELESS = frozenset(
    {"no-weights", "wrong-section", "unmerged-adapter", "quantized", "flat-parameter", "placeholder"}
    | {"other-width", "other-depth"}
)
"""Slugs of the rules of which a finding says that no migration helps."""


def can_be_cured(report: Report) -> bool:
    """Whether it fails for names or forms of tensors, not for being something else altogether."""
    return report.failed() and _HOPELESS.isdisjoint(finding.slug for finding in report.findings)


def renamed(stored: Schema, wanted: Schema) -> bool:
    """Whether at least half of the missing tensors have one of their shape among the unexpected."""
    missing, unexpected = _shapes(wanted, stored), _shapes(stored, wanted)
    return bool(missing) and (missing & unexpected).total() * 2 >= missing.total()


def _shapes(side: Schema, other: Schema) -> Counter[tuple[int, ...]]:
    gone: list[TensorSpec] = [spec for key, spec in side.tensors.items() if key not in other.tensors]
    return Counter(spec.shape for spec in gone)
