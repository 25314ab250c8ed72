"""What the points of a match are worth: the share of such matches that were right on known conversions (benchmarks/suggest.py)."""

from __future__ import annotations

from ckptlint.engine.suggest.fusing import Fusion
from ckptlint.engine.suggest.pairing import Reasons


def calibrated(reasons: Reasons) -> float:
    """The confidence of a pair."""
    return 0.99 if reasons.points >= 3.0 else 0.97 if reasons.points >= 2.25 else 0.95


def of_fusion(fusion: Fusion) -> float:
    return 0.99 if fusion.sure >= 1.8 else 0.95
