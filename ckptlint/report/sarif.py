"""SARIF 2.1.0, for code scanning: a result an issue, at the line that defines its keys, with the way there as a code flow.

Accepted issues are results with `suppressions`, those of a baseline are `unchanged`, so that a platform neither opens nor closes them anew.
The fingerprint of a result is that of its issue, which no moved line changes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from ckptlint.core.issue import Issue
from ckptlint.core.place import Place
from ckptlint.errors import CkptlintError

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_HOME = "https://github.com/ckptlint/ckptlint"
_LEVELS = {"error": "error", "warning": "warning", "info": "note"}
_MOST_PLACES = 100  # related places and keys of one result


def render(issues: Sequence[Issue], errors: Sequence[CkptlintError], summaries: Mapping[str, str]) -> Iterator[str]:
    """Yield the one document; `summaries` says what each rule is about, by its id."""
    rules = {issue.rule: issue for issue in issues}
    order = {rule: number for number, rule in enumerate(sorted(rules))}
    run: dict[str, object] = {
        "tool": {
            "driver": {
                "name": "ckptlint",
                "informationUri": _HOME,
                "rules": [_rule(rules[rule], summaries.get(rule, rules[rule].slug)) for rule in order],
            }
        },
        "columnKind": "unicodeCodePoints",
        "invocations": [
            {
                "executionSuccessful": not errors,
                "toolExecutionNotifications": [{"level": "error", "message": {"text": str(error)}} for error in errors],
            }
        ],
        "results": [_result(issue, order[issue.rule]) for issue in issues],
    }
    yield json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1)


def _rule(issue: Issue, summary: str) -> dict[str, object]:
    return {
        "id": issue.rule,
        "name": "".join(word.capitalize() for word in issue.slug.split("-")),
        "shortDescription": {"text": summary},
        "helpUri": f"{_HOME}/blob/main/docs/rules.md#{issue.rule.lower()}-{issue.slug}",
        "properties": {"tags": ["checkpoint"]},
    }


def _result(issue: Issue, index: int) -> dict[str, object]:
    text = f"{issue.message}. {issue.hint}" if issue.hint else issue.message
    result: dict[str, object] = {
        "ruleId": issue.rule,
        "ruleIndex": index,
        "level": _LEVELS[str(issue.severity)],
        "message": {"text": text},
        "locations": [_location(issue.place, issue.pattern)],
        "partialFingerprints": {"ckptlintKey/v1": issue.fingerprint, "primaryLocationLineHash": issue.fingerprint},
        "rank": 90.0 if issue.sure else 50.0,
    }
    if issue.related:
        result["relatedLocations"] = [
            {"id": n, **_location(place)} for n, place in enumerate(issue.related[:_MOST_PLACES])
        ]
    if issue.flow:
        steps = [{"location": _location(place)} for place in issue.flow]
        result["codeFlows"] = [{"threadFlows": [{"locations": steps}]}]
    if issue.keys:
        result["properties"] = {"keys": list(issue.keys[:_MOST_PLACES]), "count": len(issue.keys)}
    if issue.accepted:
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": issue.accepted}]
    if issue.known:
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": "it is in the baseline"}]
        result["baselineState"] = "unchanged"
    return result


def _location(place: Place, pattern: str = "") -> dict[str, object]:
    physical: dict[str, object] = {"artifactLocation": {"uri": uri(place.path)}}
    if place.line:
        region: dict[str, object] = {"startLine": place.line, "startColumn": place.column}
        if place.end_line:
            region |= {"endLine": place.end_line, "endColumn": place.end_column}
        if place.revision:
            physical["properties"] = {"revision": place.revision}
        physical["region"] = region
    location: dict[str, object] = {"physicalLocation": physical}
    if place.said:
        before = f"{place.revision}: " if place.revision else ""
        location["message"] = {"text": before + place.said}
    if pattern:
        location["logicalLocations"] = [{"fullyQualifiedName": pattern, "kind": "member"}]
    return location


def uri(path: str) -> str:
    """A path as a reference relative to the repository: percent-encoded, with slashes, never absolute where it need not be."""
    from urllib.parse import quote

    return quote(path.replace("\\", "/").removeprefix("./"), safe="/~+@=,;!$&'()*-._")
