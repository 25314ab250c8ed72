"""How far a class or function that a pickle names can be trusted: known, harmless, unknown or dangerous, and why."""

from __future__ import annotations

from ckptlint.checks.trust.judge import LONGEST_TOP, Trust, Verdict, is_notable, is_told, judge

__all__ = ["LONGEST_TOP", "Trust", "Verdict", "is_notable", "is_told", "judge"]
