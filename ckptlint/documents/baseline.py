"""Baselines: the findings that a project had when it began to look, one a line, each known again by its fingerprint."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from ckptlint.core.issue import Issue
from ckptlint.errors import DocumentError

VERSION = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """A finding that is known; `reason` is only needed for one that was added later."""

    fingerprint: str
    rule: str
    subject: str
    pattern: str = ""
    reason: str = ""


def entry_of(issue: Issue) -> Entry:
    return Entry(issue.fingerprint, issue.rule, issue.subject, issue.pattern)


def write_baseline(entries: Iterable[Entry]) -> str:
    """Return the text: equal entries have equal texts, and a change of one is a change of a line."""
    ordered = sorted(set(entries), key=lambda each: (each.rule, each.subject, each.pattern, each.fingerprint))
    lines = [
        json.dumps({name: value for name in Entry.__slots__ if (value := getattr(each, name))}) for each in ordered
    ]
    body = ",\n".join(f"  {line}" for line in lines)
    return (
        f'{{"version": {VERSION}, "entries": [\n{body}\n]}}\n'
        if lines
        else f'{{"version": {VERSION}, "entries": []}}\n'
    )


def read_baseline(text: str, origin: str) -> tuple[Entry, ...]:
    """Read what `write_baseline` writes; `DocumentError` for anything else."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DocumentError(f"is no JSON: {error}", where=origin) from None
    entries = document.get("entries") if isinstance(document, dict) else None
    if not isinstance(entries, list) or document.get("version") != VERSION:
        raise DocumentError("is no baseline: it has no version 1 and list of entries", where=origin)
    return tuple(_entry(each, f"{origin}: entries[{number}]") for number, each in enumerate(entries))


def _entry(given: object, origin: str) -> Entry:
    known = set(Entry.__slots__)
    if not isinstance(given, dict) or not {"fingerprint", "rule"} <= given.keys() <= known:
        raise DocumentError(
            f"should have fingerprint, rule, subject, and perhaps {', '.join(sorted(known))}", where=origin
        )
    if not all(isinstance(value, str) for value in given.values()):
        raise DocumentError("has a value that is no text", where=origin)
    return Entry(
        given["fingerprint"], given["rule"], *(given.get(name, "") for name in ("subject", "pattern", "reason"))
    )
