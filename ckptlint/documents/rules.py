"""Rule files, read from the shipped folder and from the user's own.

The shipped rules come from a generated index, so that a lint imports no YAML parser: `rules/index.json` holds the words of every rule
and the checksum of its file. Where a file differs from its checksum the index is stale and all files are read, so that an
edited rule works at once; `python -m ckptlint.documents.rules_index` brings the index up to date.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from ckptlint.core.rule import Rule
from ckptlint.core.severity import Severity
from ckptlint.documents.shipped import folder as shipped_folder
from ckptlint.errors import DocumentError

if TYPE_CHECKING:
    from ckptlint.checks.base import Check
    from ckptlint.core.case import Case
    from ckptlint.documents.nodes import Node

INDEX = "index.json"
INDEX_VERSION = 1

_ID = re.compile(r"CK[A-Z][0-9]{3}\Z")
_SLUG = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*\Z")
_WORDS = ("pattern", "count")  # that every message may use
_KEYS = ("id", "slug", "check", "severity", "summary", "message", "why", "hint", "with", "cases")


@dataclass(frozen=True, slots=True)
class RuleFile:
    """A rule, the cases that prove it, and the file they are in."""

    rule: Rule
    cases: tuple[Case, ...]
    origin: str


def load_rules(
    folders: Iterable[Path] = (), *, shipped: Path | None = None, families: tuple[str, ...] = ("CK",)
) -> tuple[Rule, ...]:
    """Return the shipped rules and those of the given folders, sorted by id; an id or slug given twice is a `DocumentError`.

    Of the shipped ones only those of the `families`: a hook that needs two looks at no other file.
    """
    shipped = shipped or shipped_folder("rules")
    rules = _indexed(shipped, families) or _rules(read_folder(shipped))
    found = [(rule, str(shipped)) for rule in rules if rule.id.startswith(families)]
    for extra in folders:
        found += [(file.rule, file.origin) for file in read_folder(extra)]
    _refuse_duplicates(found)
    return tuple(sorted((rule for rule, _ in found), key=lambda rule: rule.id))


def read_folder(folder: Path) -> tuple[RuleFile, ...]:
    """Read all rule files of a folder, by name; `DocumentError` for the first that is wrong."""
    if not folder.is_dir():
        raise DocumentError("is not a folder of rules", where=str(folder))
    files = []
    for path, content in _contents(folder).items():
        read = read_rule(content, str(folder / path))
        if not path.startswith(read.rule.id):
            raise DocumentError(f"the file name should start with its rule's id, {read.rule.id}", where=read.origin)
        files.append(read)
    _refuse_duplicates([(file.rule, file.origin) for file in files])
    return tuple(files)


def read_rule(text: str | bytes, origin: str) -> RuleFile:
    """Read one rule and its cases."""
    from ckptlint.documents.yaml_nodes import parse

    root = parse(text, origin)
    root.only(*_KEYS)
    given = root.entries()
    check = _check(root.get("check"))
    rule = Rule(
        id=_named(root.get("id"), _ID, "CK, a family letter and three digits, such as CKK101"),
        slug=_named(root.get("slug"), _SLUG, "lower-case words joined by hyphens, such as missing-key"),
        check=root.get("check").text(),
        severity=Severity(root.get("severity").choice(tuple(map(str, Severity)))),
        summary=_said(root.get("summary")),
        message=_template(root.get("message"), check.words),
        why=_said(root.get("why")),
        hint=_template(given["hint"], check.words) if "hint" in given else "",
        options=_options(given.get("with"), root, check),
    )
    cases = given["cases"].items() if "cases" in given else ()
    return RuleFile(rule, tuple(map(_case, cases)), origin)


def index_of(folder: Path) -> str:
    """Return the text that `index.json` of this folder should have."""
    import json

    entries = [_entry(file.rule) for file in read_folder(folder)]
    index = {
        "version": INDEX_VERSION,
        "files": _checksums(folder),
        "rules": sorted(entries, key=lambda entry: str(entry["id"])),
    }
    return json.dumps(index, indent=1) + "\n"


def _indexed(folder: Path, families: tuple[str, ...]) -> tuple[Rule, ...]:
    """Return the rules of the index, none where it is absent or stale."""
    import json

    try:
        index = json.loads((folder / INDEX).read_bytes())
    except (OSError, ValueError, RecursionError):
        return ()
    if not isinstance(index, dict) or index.get("version") != INDEX_VERSION:
        return ()
    known = {name: number for name, number in index["files"].items() if name.startswith(families)}
    if known != _checksums(folder, families):
        return ()
    entries = (entry for entry in index["rules"] if entry["id"].startswith(families))
    return tuple(Rule(**{**entry, "severity": Severity(entry["severity"])}) for entry in entries)


def _entry(rule: Rule) -> dict[str, object]:
    return {each.name: getattr(rule, each.name) for each in fields(rule)}


def _checksums(folder: Path, families: tuple[str, ...] = ("",)) -> dict[str, int]:
    return {name: zlib.crc32(content) for name, content in _contents(folder, families).items()}


def _contents(folder: Path, families: tuple[str, ...] = ("",)) -> dict[str, bytes]:
    try:
        named = (path for path in folder.iterdir() if path.name.startswith(families))
        paths = sorted(path for path in named if path.suffix in (".yaml", ".yml"))
        return {path.name: path.read_bytes() for path in paths}
    except OSError as error:
        raise DocumentError(f"cannot be read: {error.strerror}", where=str(error.filename or folder)) from error


def _rules(files: Iterable[RuleFile]) -> tuple[Rule, ...]:
    return tuple(file.rule for file in files)


def _refuse_duplicates(found: Sequence[tuple[Rule, str]]) -> None:
    seen: dict[str, str] = {}
    for rule, origin in found:
        for name in (rule.id, rule.slug):
            if name in seen:
                raise DocumentError(f"there is a rule {name} already, in {seen[name]}", where=origin)
            seen[name] = origin


def _named(node: Node, form: re.Pattern[str], words: str) -> str:
    if not form.match(node.text()):
        raise node.fail(f"should be {words}")
    return node.text()


def _said(node: Node) -> str:
    text = node.text().strip()
    if not text:
        raise node.fail("should not be empty")
    return text


def _check(node: Node) -> Check:
    from ckptlint.checks import CHECKS
    from ckptlint.documents.nodes import nearest, shown

    name = node.text()
    if name not in CHECKS:
        raise node.fail(f"there is no check {shown(name)}", hint=nearest(name, CHECKS))
    return CHECKS[name]


def _template(node: Node, words: Sequence[str]) -> str:
    """Read a message: text with `{word}` for words that the check's facts have."""
    from string import Formatter

    from ckptlint.documents.nodes import nearest, shown

    text = _said(node)
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        raise node.fail(f"is not a message: {error}", hint="write {{ and }} for braces") from error
    for _, word, form, conversion in parts:
        if word is not None and (form or conversion or word not in (*_WORDS, *words)):
            raise node.fail(f"the check has no word {shown(word)}", hint=nearest(word, (*_WORDS, *words)))
    return text


def _options(node: Node | None, root: Node, check: Check) -> Mapping[str, object]:
    """Read `with:`, and see that the check takes it."""
    from ckptlint.core.fields import fill

    if node is None:
        root.located(fill, check.options, {})
        return {}
    node.into(lambda values: fill(check.options, values))
    return {key: value.plain() for key, value in node.entries().items()}


def _case(node: Node) -> Case:
    from ckptlint.core.case import Case

    return node.into(Case.parse)
