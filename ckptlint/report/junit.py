"""JUnit XML: a test case an issue, failed from warnings on; what could not be checked is an error, what is accepted is skipped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ckptlint.core.finding import Severity
from ckptlint.core.issue import Issue
from ckptlint.errors import CkptlintError


def render(issues: Sequence[Issue], errors: Sequence[CkptlintError], summaries: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines of one document."""
    del summaries
    failed = sum(each.counts and each.severity is not Severity.INFO for each in issues)
    skipped = sum(not each.counts for each in issues)
    total = len(issues) + len(errors) or 1
    counts = f'tests="{total}" failures="{failed}" errors="{len(errors)}"'
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    yield f'<testsuites name="ckptlint" {counts}>'
    yield f' <testsuite name="ckptlint" {counts} skipped="{skipped}">'
    for each in issues:
        yield from _case(each)
    for error in errors:
        yield f"  <testcase classname={_quoted(error.where or 'ckptlint')} name={_quoted(error.rule or 'could be checked')}>"
        yield f"   <error message={_quoted(error.message)}>{_text(str(error))}</error>"
        yield "  </testcase>"
    if not issues and not errors:
        yield '  <testcase classname="ckptlint" name="no findings"/>'
    yield " </testsuite>"
    yield "</testsuites>"


def _case(issue: Issue) -> Iterator[str]:
    name = f"{issue.rule} {issue.slug}" + (f": {issue.pattern}" if issue.pattern else "")
    place = f' file={_quoted(issue.place.path)} line="{max(issue.place.line, 1)}"'
    yield f"  <testcase classname={_quoted(issue.subject or issue.place.path)} name={_quoted(name)}{place}>"
    said = f"{issue.place}: {issue.message}" + (f"\n{issue.hint}" if issue.hint else "")
    if not issue.counts:
        yield f"   <skipped message={_quoted(issue.accepted or 'it is in the baseline')}/>"
    elif issue.severity is Severity.INFO:
        yield f"   <system-out>{_text(said)}</system-out>"
    else:
        yield f"   <failure type={_quoted(str(issue.severity))} message={_quoted(issue.message)}>{_text(said)}</failure>"
    yield "  </testcase>"


def _quoted(text: str) -> str:
    return f'"{_text(text).replace(chr(34), "&quot;").replace(chr(10), "&#10;")}"'


def _text(text: str) -> str:
    """XML holds no control characters, surrogates or non-characters, however they are written: they are spelled out."""
    safe = "".join(c if _allowed(c) else c.encode("unicode_escape", "surrogatepass").decode() for c in text)
    return safe.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _allowed(char: str) -> bool:
    return char in "\t\n" or " " <= char <= "\ud7ff" or "\ue000" <= char <= "\ufffd" or char >= "\U00010000"
