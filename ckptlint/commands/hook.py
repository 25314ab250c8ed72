"""`ckptlint hook`: what changed in the classes of a locked model, and what loading code does carelessly, by syntax and without torch."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ckptlint.commands.locks import Locks
from ckptlint.commands.projects import settings
from ckptlint.core.selection import Selection
from ckptlint.core.severity import Severity
from ckptlint.errors import CkptlintError, DocumentError
from ckptlint.report import code as report
from ckptlint.report.code import Checked, Place

if TYPE_CHECKING:
    import ast

    from ckptlint.commands.accepting import Baselining
    from ckptlint.commands.locked_classes import Locked
    from ckptlint.core.issue import Issue
    from ckptlint.core.rule import Rule
    from ckptlint.documents.code_comments import Accepted as Comment
    from ckptlint.documents.config import Accepted, Config
    from ckptlint.engine.syntax import Spot

_FAMILIES = ("CKL", "CKS")
_WORDS = (b"torch", b"state_dict", b"ckpt", b"checkpoint")  # a module with none of them loads no checkpoint
_LONGEST = 80  # characters of code in a message
_SKIPPED = ("node_modules", "__pycache__", "site-packages")


class Running(NamedTuple):
    """A rule about code that runs, and how severe it is to the project."""

    rule: Rule
    severity: Severity
    ignored: bool


@dataclass
class Ignoring:
    """What the settings accept of the findings in code, and how much of it a run has used."""

    config: Config
    selection: Selection
    paths: Sequence[str] = ()
    used: set[Accepted] = field(default_factory=set)

    @classmethod
    def of(cls, config: str | None, select: Sequence[str], ignore: Sequence[str]) -> Ignoring:
        known = settings(config)
        ignored = (*known.ignore, *_codes(ignore))
        return cls(known, Selection(_codes(select) or known.select, known.extend, ignored, known.severity))

    def accepts(self, rule: Rule, path: str) -> bool:
        """Whether an entry accepts a rule's findings in a file; those about keys are not about code."""
        if not self.config.accepted:
            return False
        from ckptlint.commands.ignoring import relevant
        from ckptlint.engine.wishes import closeness

        entries = [each for each in relevant(self.config, "", path) if not each.finding.keys]
        found = [each for each in entries if closeness(rule, (each.finding.rule,))]
        self.used.update(found)
        return bool(found)

    def entries(self, ran: Collection[str], files: Sequence[str]) -> Iterator[Place]:
        """What is wrong with the entries: one is unused where all files that its paths name were looked at."""
        if not self.config.accepted:
            return
        from ckptlint.commands import ignoring
        from ckptlint.documents.rules import load_rules

        looked = {os.path.realpath(file) for file in files}

        def unused(entry: Accepted) -> Severity | None:
            named = [each for pattern in entry.paths for each in self.config.folder.glob(pattern)]
            whole = bool(entry.paths) and all(os.path.realpath(each) in looked for each in named)
            return Severity.WARNING if whole and not entry.model and not entry.finding.keys else None

        judging = ignoring.Judging(load_rules(), _FAMILIES, self.selection, ran, self.used, unused)
        for each in ignoring.about_entries(self.config, judging):
            path, _, line = each.words["where"].rpartition(":")
            yield Place(
                path, int(line), 1, each.rule, each.slug, each.severity, each.message, each.hint, each.words["expected"]
            )

    def comments(
        self,
        comments: Mapping[int, Comment],
        used: Collection[tuple[int, str]],
        ran: Collection[str],
        lines: Sequence[str],
        path: str,
    ) -> Iterator[Place]:
        """What is wrong with the ignore comments of a file."""
        if not comments:
            return
        from ckptlint.commands import ignoring
        from ckptlint.documents.rules import load_rules

        known = ignoring.known_rules(load_rules())
        found = ignoring.about_comments(comments, used, ran, known, ignoring.today())
        for line, each in found:
            for one in ignoring.wanted([each], self.selection):
                text = lines[line - 1]
                column = text.rfind("#", 0, text.rfind("ckptlint:")) + 1
                yield Place(
                    path, line, column, one.rule, one.slug, one.severity, one.message, one.hint, text[column - 1 :]
                )


def run(
    *,
    paths: Sequence[str],
    form: str,
    fail_on: str,
    baseline: Baselining | None = None,
    mending: str = "",
    **chosen: Any,
) -> tuple[Iterable[str], int]:
    if mending:
        lines = list(mend(paths, rules_of(**chosen), write=mending == "fix"))
        if mending == "diff":
            return lines, int(bool(lines))
        _say(lines)
    checked = check(paths, rules_of(**chosen), Locks.of(settings(chosen["config"])), Ignoring.of(**chosen))
    issues = None
    if baseline is not None and baseline.path is not None:
        from ckptlint.commands.accepting import settled
        from ckptlint.report import code_issues

        issues = settled(code_issues.issues(checked), baseline, _FAMILIES, list(python_files(paths)))
        checked = code_issues.settled(checked, issues)
    level = None if fail_on == "never" else Severity(fail_on)
    failed = level is not None and any(place.severity.rank >= level.rank for place in checked.places)
    code = max((error.exit_code for error in checked.errors), default=int(failed))
    if form in report.FORMATS:
        return report.FORMATS[form](checked), code
    return _for_machines(checked, issues, form), code


def _for_machines(checked: Checked, issues: Sequence[Issue] | None, form: str) -> Iterable[str]:
    from ckptlint.documents.rules import load_rules
    from ckptlint.report import code_issues
    from ckptlint.report.issues import FORMATS

    found = code_issues.issues(checked) if issues is None else issues
    return FORMATS[form](found, checked.errors, {each.id: each.summary for each in load_rules()})


def _say(lines: Sequence[str]) -> None:
    from ckptlint.commands.talk import talk

    if lines:
        talk("\n".join(lines))


def mend(paths: Sequence[str], rules: Mapping[str, Running], *, write: bool) -> Iterator[str]:
    """Yield the difference that mending what can be mended makes to each file, and write it where that is asked for."""
    import difflib

    from ckptlint.engine.code_fixes import fixed
    from ckptlint.formats.atomic import AtomicFile

    for path in python_files(paths):
        content = _content(path)
        if not any(word in content for word in _WORDS):
            continue
        text, tree = _parsed(content, path)
        comments = _comments(text)
        spots = [each for each in _spots(text, tree, path, None, loads=True) if each.check in rules]
        mended, number = fixed(text, [each for each in spots if not _comments_about(each, rules[each.check], comments)])
        if not number or text.encode() != content:  # other encodings and line ends are left to the user
            continue
        yield from difflib.unified_diff(text.splitlines(), mended.splitlines(), f"a/{path}", f"b/{path}", lineterm="")
        if write:
            with AtomicFile(path) as out:
                out.file.write(mended.encode())
                out.commit()


def check(
    paths: Sequence[str], rules: Mapping[str, Running], locks: Locks | None = None, ignoring: Ignoring | None = None
) -> Checked:
    """Look at files and at the modules in folders; one that does not parse hides no finding in the others."""
    places: list[Place] = []
    errors: list[CkptlintError] = []
    files = list(python_files(paths))
    ignored = 0
    for path in files:
        try:
            found, accepted = judge(_content(path), path, rules, locks.about(path) if locks else None, ignoring)
        except CkptlintError as error:
            errors.append(error)
        else:
            places += found
            ignored += accepted
    if ignoring is not None:
        places += ignoring.entries([each.rule.id for each in rules.values() if not each.ignored], files)
    return Checked(tuple(places), tuple(errors), len(files), ignored)


def judge(
    content: bytes,
    path: str,
    rules: Mapping[str, Running],
    locked: Locked | None = None,
    ignoring: Ignoring | None = None,
) -> tuple[list[Place], int]:
    """Return the findings in one module, and how many are accepted; `DocumentError` where it is no Python.

    `locked` are the fingerprints of its classes, `ignoring` what the settings accept.
    """
    loads = any(word in content for word in _WORDS)
    if not loads and locked is None and b"ckptlint:" not in content:
        return [], 0
    text, tree = _parsed(content, path)
    comments = _comments(text)
    lines = text.split("\n")
    places: list[Place] = []
    used: set[tuple[int, str]] = set()
    ignored = 0
    for spot in _spots(text, tree, path, locked, loads=loads):
        each = rules.get(spot.check)
        if each is None or each.ignored:
            continue
        meant = _comments_about(spot, each, comments)
        used.update(meant)
        if _holding(meant, comments) or (ignoring and ignoring.accepts(each.rule, path)):
            ignored += 1
            continue
        places.append(_place(path, lines, spot, each, unreasoned=any(not comments[line].reason for line, _ in meant)))
    if ignoring is not None:
        ran = _asked(rules, locked=locked is not None)
        places += ignoring.comments(comments, used, ran, lines, path)
    return sorted(places, key=lambda place: place.line), ignored


def _comments(text: str) -> Mapping[int, Comment]:
    if "ckptlint:" not in text:
        return {}
    from ckptlint.documents.code_comments import accepted_lines

    return accepted_lines(text)


def _asked(rules: Mapping[str, Running], *, locked: bool) -> set[str]:
    """The ids of the rules that a file was judged by."""
    asked = {each.rule.id for each in rules.values() if not each.ignored}
    return asked if locked else {each for each in asked if not each.startswith("CKS")}


def _holding(meant: Iterable[tuple[int, str]], comments: Mapping[int, Comment]) -> bool:
    """Whether one of the comments has a reason, and has not expired."""
    found = [comments[line] for line, _ in meant]
    if not any(each.until for each in found):
        return any(each.reason for each in found)
    from ckptlint.commands.ignoring import today

    return any(each.holds(today()) for each in found)


def _spots(text: str, tree: ast.Module, path: str, locked: Locked | None, *, loads: bool) -> list[Spot]:
    """What the checks find in a module, in the order of the lines."""
    found: list[Spot] = []
    if loads:
        from ckptlint.engine.loading_code import spots

        found += spots(tree)
    if locked is not None:
        from ckptlint.commands.locked_classes import changed

        found += changed(text, tree, path, locked)
    return sorted(found, key=lambda spot: (spot.line, spot.column, spot.check))


def _comments_about(spot: Spot, each: Running, comments: Mapping[int, Comment]) -> list[tuple[int, str]]:
    """The codes of comments on the lines of a finding that mean its rule, each with its line."""
    if not comments:
        return []
    from ckptlint.documents.code_comments import covers

    lines = (line for line in range(spot.line, spot.last + 1) if line in comments)
    return [
        (line, code) for line in lines for code in comments[line].codes if covers(code, each.rule.id, each.rule.slug)
    ]


def rules_of(config: str | None, select: Sequence[str], ignore: Sequence[str]) -> Mapping[str, Running]:
    """The selected rules about code, by their check."""
    from ckptlint.documents.rules import load_rules
    from ckptlint.engine.wishes import check_codes, wish

    known = settings(config).selection()
    chosen = _codes(select) or tuple(code for code in known.select if code.startswith(_FAMILIES)) or _FAMILIES
    selection = Selection(select=chosen, ignore=(*known.ignore, *_codes(ignore)), severity=known.severity)
    loaded = load_rules(families=_FAMILIES)
    if selection != Selection(select=_FAMILIES):
        check_codes(load_rules(), selection)
    wanted = [(rule, wish(rule, selection)) for rule in loaded if rule.id.startswith(_FAMILIES)]
    return {rule.check: Running(rule, each.severity, each.ignored) for rule, each in wanted if each is not None}


def _codes(given: Sequence[str]) -> tuple[str, ...]:
    return tuple(code.strip() for text in given for code in text.split(",") if code.strip())


def _place(path: str, lines: Sequence[str], spot: Spot, each: Running, *, unreasoned: bool) -> Place:
    rule = each.rule
    line = lines[spot.line - 1].encode()
    before = line[: spot.column].decode()
    hint = "the ignore comment needs a reason behind the bracket" if unreasoned else rule.hint
    source = line[spot.column : spot.end].decode()
    shown = source if spot.end is not None and len(source) <= _LONGEST else f"{source[:_LONGEST]} ..."
    message = rule.message.replace("{what}", spot.what or shown)
    return Place(path, spot.line, len(before) + 1, rule.id, rule.slug, each.severity, message, hint, source)


def _parsed(content: bytes, path: str) -> tuple[str, ast.Module]:
    import ast
    import io
    import tokenize
    import warnings

    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        text = content.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about escapes and the like, which are no concern of ours
            return text, ast.parse(text)
    except SyntaxError as error:
        where = f"{path}:{error.lineno}:{error.offset or 1}" if error.lineno else path
        raise DocumentError(f"is no Python that this version reads: {error.msg}", where=where) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise DocumentError(f"is no Python: {str(error) or 'nested too deep'}", where=path) from error


def _content(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise DocumentError(f"cannot be read: {error.strerror}", where=path) from error


def python_files(paths: Sequence[str]) -> Iterator[str]:
    """The files that are named, and the modules in folders in the order of their names, without what is hidden or installed."""
    for path in paths:
        if not os.path.isdir(path):
            yield path
            continue
        for folder, below, names in os.walk(path):
            below[:] = sorted(each for each in below if not each.startswith(".") and each not in _SKIPPED)
            yield from (os.path.join(folder, name) for name in sorted(names) if name.endswith(".py"))
