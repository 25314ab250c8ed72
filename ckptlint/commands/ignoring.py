"""What a project ignores: which findings an entry of the settings accepts, and what is wrong with entries and comments."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ckptlint.core.finding import Finding, Severity
from ckptlint.core.selection import Selection
from ckptlint.documents.config import Accepted, Config
from ckptlint.engine.wishes import Named, closeness, wish

if TYPE_CHECKING:
    from ckptlint.documents import code_comments

UNUSED = ("CKX101", "unused-ignore", Severity.WARNING)
EXPIRED = ("CKX102", "expired-ignore", Severity.ERROR)
UNREASONED = ("CKX103", "ignore-without-reason", Severity.ERROR)
UNKNOWN = ("CKX104", "unknown-ignore", Severity.ERROR)


class Rule(NamedTuple):
    """A rule or a kind of fault, as far as codes can mean it."""

    id: str
    slug: str
    severity: Severity


Kind = tuple[str, str, Severity]


def today() -> date:
    return date.today()  # noqa: DTZ011  an expiry date is meant in the reader's own calendar


def known_rules(rules: Iterable[Named]) -> list[Named]:
    """The rules, and the kinds of faults that are no rules: all that a code can mean."""
    from ckptlint.engine.faults import KINDS

    return [*rules, *(Rule(kind.code, kind.slug, Severity.ERROR) for kind in KINDS.values())]


class Judging(NamedTuple):
    """A run, as far as ignores are judged by it.

    `families` are those of its rules, `selection` what the user wants to hear of, `ran` the rules that were asked, `used` the entries that
    accepted something. `unused` says how grave it is that an entry did not, None where the run cannot tell.
    """

    rules: Sequence[Named]
    families: tuple[str, ...]
    selection: Selection
    ran: Collection[str] = ()
    used: Collection[Accepted] = ()
    unused: Callable[[Accepted], Severity | None] = lambda _: UNUSED[2]


def about_entries(config: Config, judging: Judging) -> tuple[Finding, ...]:
    """What is wrong with the entries of the settings' `ignore` that concern a run."""
    if not config.accepted:
        return ()
    known = known_rules(judging.rules)
    found = (_entry(each, config, judging, known) for each in config.accepted)
    return tuple(wanted(filter(None, found), judging.selection))


def _entry(entry: Accepted, config: Config, judging: Judging, known: Sequence[Named]) -> Finding | None:
    code = entry.finding.rule
    meant = [rule.id for rule in known if closeness(rule, (code,))]
    if not meant:
        return _of_entry(UNKNOWN, entry, config, "no rule has the code", "`ckptlint rules` lists them")
    if not any(each.startswith(judging.families) for each in meant):
        return None
    if config.expired(entry, today()):
        hint = "mend what it accepted, or give it a later `until`, and say why"
        return _of_entry(EXPIRED, entry, config, f"held until {entry.until}, and no longer does", hint)
    level = judging.unused(entry) if any(each in judging.ran for each in meant) and entry not in judging.used else None
    if level is None:
        return None
    return _of_entry((*UNUSED[:2], level), entry, config, "accepts nothing of what is found", "take it out")


def _of_entry(kind: Kind, entry: Accepted, config: Config, said: str, hint: str) -> Finding:
    rule, slug, severity = kind
    about = [entry.finding.keys, f"the model {entry.model}" if entry.model else "", ", ".join(entry.paths)]
    what = " of ".join(filter(None, [entry.finding.rule, *about]))
    path = os.path.relpath(config.origin)
    where = f"{path}:{entry.line}" if entry.line else path
    words = {"where": where, "expected": what}
    return Finding(rule, slug, severity, f"the ignore of {what} {said}", words=words, hint=hint, checkpoint=where)


def wanted(findings: Iterable[Finding], selection: Selection) -> Iterator[Finding]:
    """The findings that the selection of the user lets through, as grave as that says."""
    for each in findings:
        said = wish(Rule(each.rule, each.slug, each.severity), selection)
        if said is not None and not said.ignored:
            yield each._replace(severity=said.severity)


def about_comments(
    comments: Mapping[int, code_comments.Accepted],
    used: Collection[tuple[int, str]],
    ran: Collection[str],
    known: Sequence[Named],
    day: date,
) -> Iterator[tuple[int, Finding]]:
    """What is wrong with the comments of a module, each with its line.

    `used` are the codes that accepted something, by line; a code is unused only where all rules that it means were asked (`ran`).
    """
    for line, comment in comments.items():
        if not comment.codes:
            yield line, _of_comment(UNKNOWN, "", "names no rule", "write ignore[CKL102] and the reason")
        elif not comment.reason:
            text = f"of {', '.join(comment.codes)} gives no reason, and accepts nothing"
            yield line, _of_comment(UNREASONED, ",".join(comment.codes), text, "say why behind the bracket")
        for code in comment.codes if comment.reason else ():
            meant = [rule.id for rule in known if closeness(rule, (code,))]
            if not meant:
                text, hint = f"of {code} names no rule", "`ckptlint rules` lists them"
                yield line, _of_comment(UNKNOWN, code, text, hint)
            elif comment.expired(day):
                text, hint = f"of {code} held until {comment.until}", "mend what it accepted, or give it a later day"
                yield line, _of_comment(EXPIRED, code, text, hint)
            elif (line, code) not in used and all(each in ran for each in meant):
                yield (
                    line,
                    _of_comment(UNUSED, code, f"of {code} accepts nothing: nothing is found here", "take it out"),
                )


def _of_comment(kind: Kind, code: str, said: str, hint: str) -> Finding:
    rule, slug, severity = kind
    return Finding(rule, slug, severity, f"the ignore comment {said}", words={"expected": code}, hint=hint)


def relevant(config: Config, model: str, path: str = "") -> list[Accepted]:
    """The entries that hold for a model, and for a file where one is named."""
    holding = config.holding(model)
    return [each for each in holding if not each.paths or (path and _matches(config.folder, each.paths, path))]


def _matches(folder: Path, patterns: Sequence[str], path: str) -> bool:
    relative = os.path.relpath(path, folder).replace(os.sep, "/")
    return any(fnmatch(relative, pattern) for pattern in patterns)
