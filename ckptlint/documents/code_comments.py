"""Read `# ckptlint: ignore[CKL101] reason` from the comments of a Python module."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_MARK = re.compile(r"#\s*ckptlint:\s*ignore\[([^\]]*)\]\s*(.*)")


@dataclass(frozen=True, slots=True)
class Accepted:
    """What one comment accepts: rules by id, prefix of ids or slug. Without a reason it accepts nothing."""

    codes: tuple[str, ...]
    reason: str

    def covers(self, rule: str, slug: str) -> bool:
        return any(rule.startswith(code) or slug == code for code in self.codes)


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
            codes = tuple(code.strip() for code in mark[1].split(",") if code.strip())
            found[token.start[0]] = Accepted(codes, mark[2].strip())
    return found
