"""Findings in a project's code as issues, the form that other formats and baselines take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ckptlint.core.issue import Issue, fingerprint, numbered
from ckptlint.core.place import Place as PlaceOf
from ckptlint.report.code import Checked, Place


def issues(checked: Checked) -> tuple[Issue, ...]:
    """The places as issues; one is known again by its code, wherever in the file that is."""
    return numbered(
        Issue(
            each.rule,
            each.slug,
            each.severity,
            each.message,
            each.hint,
            PlaceOf(each.path, each.line, each.column, said=each.code.strip()),
            fingerprint(each.rule, each.path.replace("\\", "/"), " ".join(each.code.split())),
            each.path,
        )
        for each in checked.places
    )


def settled(checked: Checked, settled_issues: Sequence[Issue]) -> Checked:
    """The places whose issues count, and those of issues that are about no place of the code; the others are counted as ignored."""
    own, more = settled_issues[: len(checked.places)], settled_issues[len(checked.places) :]
    kept = [place for place, issue in zip(checked.places, own, strict=True) if issue.counts]
    kept += [
        Place(
            each.place.path,
            each.place.line,
            each.place.column,
            each.rule,
            each.slug,
            each.severity,
            each.message,
            each.hint,
        )
        for each in more
    ]
    return replace(checked, places=tuple(kept), ignored=checked.ignored + sum(not issue.counts for issue in own))
