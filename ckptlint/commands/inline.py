"""Ignore comments at the lines of a model's source that define keys: what they accept of findings about these keys.

A finding is about many keys, each with its own line. A comment takes the keys of its line out of it, and leaves the others: a comment on
the first line must not hide what is wrong at the second.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ckptlint.commands import locating
from ckptlint.commands.accepted_keys import NO_WAY, OTHER_RESULT, Looked, of_keys, unused_level, without_empty_way
from ckptlint.commands.ignoring import UNUSED, about_comments, known_rules, today, wanted
from ckptlint.commands.locating import Side
from ckptlint.commands.locks import Locks, own_classes
from ckptlint.core.finding import Finding, Report, Severity
from ckptlint.core.place import Place
from ckptlint.core.selection import Selection
from ckptlint.documents.code_comments import Accepted, accepted_lines, covers
from ckptlint.documents.config import Config
from ckptlint.engine.wishes import Named, closeness

_MARK = "ckptlint:"

Used = tuple[str, int, str]  # a file, a line, and the code of its comment


@dataclass(slots=True)
class Lines:
    """The comments of a model's own modules by file and line, where its keys are defined, and the codes that accepted something."""

    head: Side
    base: Side | None
    comments: Mapping[str, Mapping[int, Accepted]]
    used: set[Used] = field(default_factory=set)
    _places: dict[str, Place | None] = field(default_factory=dict)

    @classmethod
    def of(cls, head: Side | None, base: Side | None = None) -> Lines | None:
        """The comments that the modules of a model's own classes have; None where there are none."""
        if head is None:
            return None
        found = {}
        for module in head.keys.library.own(own_classes(head.schema)):
            if _MARK in module.text and (comments := accepted_lines(module.text)):
                found[module.path] = comments
        return cls(head, base, found) if found else None

    def accepted(self, finding: Finding) -> set[str]:
        """The keys of a finding that a comment at their line accepts."""
        codes = (finding.rule, finding.slug)
        return {key for key in finding.keys if self._accepts(key, *codes) or self._accepts_way(key, finding)}

    def _accepts_way(self, key: str, finding: Finding) -> bool:
        return finding.rule == OTHER_RESULT and self._accepts(key, NO_WAY, "")

    def _accepts(self, key: str, rule: str, slug: str) -> bool:
        place = self._place(key)
        if place is None or place.revision or place.path not in self.comments:
            return False
        here = self.comments[place.path]
        lines = (line for line in range(place.line, max(place.line, place.end_line) + 1) if line in here)
        meant = [(line, code) for line in lines for code in here[line].codes if covers(code, rule, slug)]
        self.used.update((place.path, *each) for each in meant)
        return any(here[line].holds(today()) for line, _ in meant)

    def _place(self, key: str) -> Place | None:
        if key not in self._places:
            found = locating.definition(key, self.head, self.base)
            self._places[key] = found.place if found is not None else None
        return self._places[key]

    def wrong(
        self, families: tuple[str, ...], ran: Collection[str], unused: Callable[[str], Severity | None]
    ) -> Iterator[Finding]:
        """What is wrong with the comments whose codes mean rules of `families`, each with its place.

        `ran` are the rules that were asked; `unused` says how grave it is that a comment in a file accepts nothing, None where the run
        cannot tell. Comments that name no rule are the hook's to find.
        """
        from ckptlint.documents.rules import load_rules

        known = known_rules(load_rules())
        mine = [each for each in known if each.id.startswith(families)]
        asked = {each.id for each in mine if each.id in ran}
        for path, comments in self.comments.items():
            ours = {line: narrowed for line, each in comments.items() if (narrowed := _about(each, mine)).codes}
            used = {(line, code) for file, line, code in self.used if file == path}
            for line, finding in about_comments(ours, used, asked, mine, today()):
                level = unused(path) if finding.rule == UNUSED[0] else finding.severity
                if level is not None:
                    yield finding._replace(severity=level, words={**finding.words, "where": f"{path}:{line}"})


def left_of_gate(
    lines: Lines, findings: Sequence[Finding], ran: Collection[str], config: Config
) -> tuple[tuple[Finding, ...], int]:
    """The gate's findings without the keys that comments accept, with what is wrong with the comments; and how many findings are gone.

    Of a file with classes of several locks nobody can tell by one lock that a comment accepts nothing.
    """
    left: list[Finding] = []
    for each in findings:
        gone = lines.accepted(each)
        kept = [key for key in each.keys if key not in gone]
        left += of_keys(each, kept) if gone else [each]
    if len(left) < len(findings):
        left = without_empty_way(left)
    locks = Locks.of(config)
    wrong = lines.wrong(("CKB", "CKF", "CKG", "CKM"), ran, lambda path: None if locks.knowing(path) > 1 else UNUSED[2])
    selection = Selection(config.select, config.extend, config.ignore, config.severity)
    return (*left, *wanted(wrong, selection)), len(findings) - len(left)


def about_lines(lines: Sequence[Lines], run: Looked, config: Config, reports: Sequence[Report]) -> list[Report]:
    """What is wrong with the comments about checkpoints in the sources of the models of a lint, each as a report of its own."""
    used = {each for one in lines for each in one.used}
    ran = {code for report in reports for code in report.ran}
    level = unused_level("", run, config)
    selection = Selection(
        tuple(run.select) or config.select, config.extend, (*config.ignore, *run.ignore), config.severity
    )
    found: dict[tuple[str, str], Finding] = {}
    for one in lines:
        one.used |= used
        for finding in wanted(one.wrong(("CKC", "CKK"), ran, lambda _: level), selection):
            found.setdefault((finding.words["where"], finding.message), finding)
    return [Report(each.words["where"], "", (each,), of_settings=True) for each in found.values()]


def _about(comment: Accepted, rules: Sequence[Named]) -> Accepted:
    """The comment with those of its codes alone that mean one of some rules."""
    return replace(
        comment, codes=tuple(code for code in comment.codes if any(closeness(rule, (code,)) for rule in rules))
    )
