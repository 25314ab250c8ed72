"""GitLab's code quality report: a flat list of issues, each with a file, a line and a fingerprint; accepted ones are left out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from ckptlint.core.issue import Issue
from ckptlint.errors import CkptlintError

_LEVELS = {"error": "major", "warning": "minor", "info": "info"}


def render(issues: Sequence[Issue], errors: Sequence[CkptlintError], summaries: Mapping[str, str]) -> Iterator[str]:
    """Yield the one document."""
    del summaries
    listed: list[dict[str, object]] = [
        {
            "description": f"{each.message}. {each.hint}" if each.hint else each.message,
            "check_name": f"{each.rule} {each.slug}",
            "fingerprint": each.fingerprint,
            "severity": _LEVELS[str(each.severity)],
            "location": {"path": each.place.path, "lines": {"begin": max(each.place.line, 1)}},
        }
        for each in issues
        if each.counts
    ]
    listed += [_error(error) for error in errors]
    yield json.dumps(listed, indent=1)


def _error(error: CkptlintError) -> dict[str, object]:
    from ckptlint.core.issue import fingerprint

    path, _, _ = error.where.partition(":")
    return {
        "description": str(error),
        "check_name": error.rule or "could-not-be-checked",
        "fingerprint": fingerprint(error.rule, error.where, error.message),
        "severity": "critical",
        "location": {"path": path or "ckptlint", "lines": {"begin": 1}},
    }
