"""Read `# ckptlint: ignore[CKL101] reason` from the comments of a Python module; `until 2027-01-31: reason` lets it expire."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

_MARK = re.compile(r"#\s*ckptlint:\s*ignore\b(?:\[([^\]]*)\])?\s*(.*)")
_UNTIL = re.compile(r"until\s+([0-9]{4}-[0-9]{2}-[0-9]{2})\b[\s:,;.]*(.*)")


@dataclass(frozen=True, slots=True)
class Accepted:
    """What one comment accepts: rules by id, prefix of ids or slug. Without a reason, or after its last day, it accepts nothing."""

    codes: tuple[str, ...]
    reason: str
    until: str = ""

    def covers(self, rule: str, slug: str) -> bool:
        return any(covers(code, rule, slug) for code in self.codes)

    def expired(self, today: date) -> bool:
        """Whether its last day has passed; a day that is in no calendar has."""
        try:
            return bool(self.until) and date.fromisoformat(self.until) < today
        except ValueError:
            return True

    def holds(self, today: date) -> bool:
        return bool(self.reason) and not self.expired(today)


def covers(code: str, rule: str, slug: str) -> bool:
    """Whether a code of a comment means a rule."""
    return rule.startswith(code) or slug == code


def accepted_lines(text: str) -> Mapping[int, Accepted]:
    """Return the comments by their line, counted from 1; the text is a module that parses, its lines end with LF."""
    if "ckptlint:" not in text:
        return {}
    import io
    import tokenize

    found: dict[int, Accepted] = {}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        mark = _MARK.search(token.string) if token.type == tokenize.COMMENT else None
        if mark is not None:
            codes = tuple(code.strip() for code in (mark[1] or "").split(",") if code.strip())
            dated = _UNTIL.match(mark[2])
            until, reason = dated.groups() if dated else ("", mark[2])
            found[token.start[0]] = Accepted(codes, reason.strip(), until)
    return found
