"""How far a class or function that a pickle names can be trusted: known, harmless, unknown or dangerous, and why."""

from __future__ import annotations

from ckptlint.checks.trust.judge import Trust, Verdict, is_notable, judge

__all__ = ["Trust", "Verdict", "is_notable", "judge"]
