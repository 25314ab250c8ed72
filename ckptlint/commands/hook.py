"""`ckptlint hook`: what changed in the classes of a locked model, and what loading code does carelessly, by syntax and without torch."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ckptlint.commands.locks import Locks
from ckptlint.commands.projects import settings
from ckptlint.commands.talk import talk
from ckptlint.core.finding import Severity
from ckptlint.core.selection import Selection
from ckptlint.errors import CkptlintError, DocumentError
from ckptlint.report import code as report
from ckptlint.report.code import Checked, Place

if TYPE_CHECKING:
    import ast

    from ckptlint.commands.accepting import Baselining
    from ckptlint.commands.locked_classes import Locked
    from ckptlint.core.rule import Rule
    from ckptlint.documents.code_comments import Accepted
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


def run(
    *, paths: Sequence[str], form: str, fail_on: str, baseline: Baselining, mending: str = "", **chosen: Any
) -> tuple[Iterable[str], int]:
    if mending:
        lines = list(mend(paths, _rules(**chosen), write=mending == "fix"))
        if mending == "diff":
            return lines, int(bool(lines))
        talk("\n".join(lines)) if lines else None
    checked = check(paths, _rules(**chosen), Locks.of(settings(chosen["config"])))
    issues = report.issues(checked)
    if baseline.path is not None:
        from ckptlint.commands.accepting import settled

        issues = settled(issues, baseline, _FAMILIES, list(python_files(paths)))
        checked = report.settled(checked, issues)
    level = None if fail_on == "never" else Severity(fail_on)
    failed = level is not None and any(place.severity.rank >= level.rank for place in checked.places)
    code = max((error.exit_code for error in checked.errors), default=int(failed))
    if form in report.FORMATS:
        return report.FORMATS[form](checked), code
    from ckptlint.documents.rules import load_rules
    from ckptlint.report.issues import FORMATS

    return FORMATS[form](issues, checked.errors, {each.id: each.summary for each in load_rules()}), code


def mend(paths: Sequence[str], rules: Mapping[str, Running], *, write: bool) -> Iterator[str]:
    """Yield the difference that mending what can be mended makes to each file, and write it where that is asked for."""
    import difflib

    from ckptlint.documents.code_comments import accepted_lines
    from ckptlint.engine.code_fixes import fixed
    from ckptlint.formats.atomic import AtomicFile

    for path in python_files(paths):
        content = _content(path)
        if not any(word in content for word in _WORDS):
            continue
        text, tree = _parsed(content, path)
        comments = accepted_lines(text)
        spots = [each for each in _spots(text, tree, path, None, loads=True) if each.check in rules]
        mended, number = fixed(text, [each for each in spots if not _comments_about(each, rules[each.check], comments)])
        if not number or text.encode() != content:  # other encodings and line ends are left to the user
            continue
        yield from difflib.unified_diff(text.splitlines(), mended.splitlines(), f"a/{path}", f"b/{path}", lineterm="")
        if write:
            with AtomicFile(path) as out:
                out.file.write(mended.encode())
                out.commit()


def check(paths: Sequence[str], rules: Mapping[str, Running], locks: Locks | None = None) -> Checked:
    """Look at files and at the modules in folders; one that does not parse hides no finding in the others."""
    places: list[Place] = []
    errors: list[CkptlintError] = []
    files = list(python_files(paths))
    ignored = 0
    for path in files:
        try:
            found, accepted = judge(_content(path), path, rules, locks.about(path) if locks else None)
        except CkptlintError as error:
            errors.append(error)
        else:
            places += found
            ignored += accepted
    return Checked(tuple(places), tuple(errors), len(files), ignored)


def judge(
    content: bytes, path: str, rules: Mapping[str, Running], locked: Locked | None = None
) -> tuple[list[Place], int]:
    """Return the findings in one module, and how many a comment accepts; `DocumentError` where it is no Python.

    `locked` are the fingerprints of its classes.
    """
    loads = any(word in content for word in _WORDS)
    if not loads and locked is None:
        return [], 0
    from ckptlint.documents.code_comments import accepted_lines

    text, tree = _parsed(content, path)
    comments = accepted_lines(text)
    lines = text.split("\n")
    places: list[Place] = []
    ignored = 0
    for spot in _spots(text, tree, path, locked, loads=loads):
        each = rules.get(spot.check)
        if each is None or each.ignored:
            continue
        meant = _comments_about(spot, each, comments)
        if any(comment.reason for comment in meant):
            ignored += 1
            continue
        places.append(_place(path, lines, spot, each, unreasoned=bool(meant)))
    return places, ignored


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


def _comments_about(spot: Spot, each: Running, comments: Mapping[int, Accepted]) -> list[Accepted]:
    """The comments on the lines of a finding that name its rule."""
    lines = range(spot.line, spot.last + 1)
    found = [comments[line] for line in lines if line in comments]
    return [comment for comment in found if comment.covers(each.rule.id, each.rule.slug)]


def _rules(config: str | None, select: Sequence[str], ignore: Sequence[str]) -> Mapping[str, Running]:
    """The selected rules about code, by their check."""
    from ckptlint.documents.rules import load_rules
    from ckptlint.engine.wishes import check_codes, wish

    known = settings(config).selection()
    chosen = _codes(select) or tuple(code for code in known.select if code.startswith(_FAMILIES)) or _FAMILIES
    selection = Selection(select=chosen, ignore=(*known.ignore, *_codes(ignore)), severity=known.severity)
    loaded = load_rules()
    check_codes(loaded, selection)
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
