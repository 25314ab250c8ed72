"""`ckptlint rules`: the lint rules that are there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ckptlint.core.rule import Rule
from ckptlint.documents.rules import load_rules


def run(folders: Sequence[str], form: str) -> tuple[list[str], int]:
    loaded = known(folders)
    if form == "json":
        import json

        return [json.dumps({"version": 1, "rules": [_entry(rule) for rule in loaded]}, indent=1)], 0
    if form == "markdown":
        return markdown(loaded), 0
    width = max(len(rule.slug) for rule in loaded)
    return [f"{rule.id}  {rule.severity:<7}  {rule.slug:<{width}}  {rule.summary}" for rule in loaded], 0


def known(folders: Sequence[str]) -> tuple[Rule, ...]:
    """Return the shipped rules, those of the folders that the settings name, and those of `folders`."""
    from ckptlint.commands.projects import settings

    config = settings(None)
    return load_rules([*(config.folder / folder for folder in config.rules), *map(Path, folders)])


def markdown(rules: Sequence[Rule]) -> list[str]:
    """The page `docs/rules.md`: the rules, and the kinds of faults that other commands than `lint` report."""
    from ckptlint.commands import faults

    lines = [
        "# Rules",
        "",
        "Generated from `rules/` and the kinds of faults. `ckptlint explain CODE` prints the same.",
        "Rules of your own: [policies.md](policies.md).",
        "",
        "| code | severity | what it finds |",
        "|---|---|---|",
    ]
    lines += [f"| [{rule.id}](#{rule.id.lower()}-{rule.slug}) | {rule.severity} | {rule.summary} |" for rule in rules]
    lines += ["", "Faults that are found without a rule file, in migrations, chains, changes and ignores:", ""]
    lines += ["| code | where | what it finds |", "|---|---|---|", *faults.table()]
    for rule in rules:
        lines += ["", f"## {rule.id} {rule.slug}", "", f"*{rule.severity}*. {rule.summary}", "", rule.why]
        lines += ["", f"**What to do:** {_plain(rule.hint)}"] if rule.hint else []
    return [*lines, *faults.markdown(), ""]


def describe(rule: Rule) -> list[str]:
    """The text of `ckptlint explain CODE`."""
    hint = ["", f"what to do: {_plain(rule.hint)}"] if rule.hint else []
    return [f"{rule.id} {rule.slug} ({rule.severity})", "", rule.summary, "", rule.why, *hint]


def _plain(hint: str) -> str:
    """A hint without its slots filled reads better with the words of the slots in capitals."""
    from string import Formatter

    return "".join(text + (name.upper() if name else "") for text, name, _, _ in Formatter().parse(hint))


def _entry(rule: Rule) -> dict[str, object]:
    return {
        "id": rule.id,
        "slug": rule.slug,
        "severity": str(rule.severity),
        "check": rule.check,
        "summary": rule.summary,
        "why": rule.why,
        "hint": rule.hint,
        "with": dict(rule.options),
    }
