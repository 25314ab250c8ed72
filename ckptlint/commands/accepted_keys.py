"""What the settings accept of findings about keys: which `ignore` entries a lint used, and what they take from the gate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ckptlint.commands.ignoring import Judging, about_entries, relevant
from ckptlint.commands.projects import model_of
from ckptlint.core.families import fold
from ckptlint.core.finding import SHOWN_BY, VARIANT, Finding, Report, Severity
from ckptlint.core.selection import Selection
from ckptlint.core.selector import Selector
from ckptlint.documents.config import Accepted, Config

_CHECKPOINTS = ("CKC", "CKK")
_GATE = ("CKB", "CKF", "CKG", "CKM")
NO_WAY, OTHER_RESULT = "CKB101", "CKM109"  # that there is no way from the base, and the keys in which it shows


class Looked(NamedTuple):
    """What a lint looked at: `named` where the user said by what, `narrowed` where not all of it was judged by all rules."""

    checkpoints: Sequence[str]
    folders: Sequence[str]
    select: Sequence[str]
    ignore: Sequence[str]
    named: bool
    narrowed: bool


def about_ignores(run: Looked, config: Config, reports: Sequence[Report]) -> list[Report]:
    """What is wrong with the entries of the settings, as one report for each entry, for they are at different lines.

    That an entry accepts nothing is a warning where all checkpoints of its model were looked at, for information where the settings name
    none; of a part of them, or of a narrowed run, nobody can tell.
    """
    from ckptlint.documents.rules import load_rules

    rules = load_rules([*(config.folder / folder for folder in config.rules), *map(Path, run.folders)])
    of_model = [(report, "" if run.named else _model(report.checkpoint, config)) for report in reports]
    matching = _matching(config, of_model)

    def unused(entry: Accepted) -> Severity | None:
        judged = any(entry.model in ("", model) for _, model in of_model)
        return unused_level(entry.model, run, config) if judged and not entry.paths else None

    ignored = (*config.ignore, *run.ignore)
    selection = Selection(tuple(run.select) or config.select, config.extend, ignored, config.severity)
    ran = {code for report in reports for code in report.ran}
    found = about_entries(config, Judging(rules, _CHECKPOINTS, selection, ran, matching, unused))
    return [Report(each.checkpoint, "", (each,), of_settings=True) for each in found]


def _matching(config: Config, of_model: Sequence[tuple[Report, str]]) -> list[Accepted]:
    """The entries that accepted something, by the model that each report is about."""
    used = {(*ignore, model) for report, model in of_model for ignore in report.used}
    alone = {(code, keys) for code, keys, _ in used}
    return [
        each
        for each in config.accepted
        if (each.finding.rule, each.finding.keys, each.model) in used
        or (not each.model and (each.finding.rule, each.finding.keys) in alone)
    ]


def _model(checkpoint: str, config: Config) -> str:
    found = model_of(checkpoint, config)
    return found.name if found else ""


def unused_level(model: str, run: Looked, config: Config) -> Severity | None:
    """How grave it is that an ignore for a model ("" for all) accepts nothing; None where a run cannot tell."""
    whole = None if run.narrowed else _whole(model, config, run.checkpoints)
    return None if whole is None else Severity.WARNING if whole else Severity.INFO


def _whole(name: str, config: Config, checkpoints: Sequence[str]) -> bool | None:
    """Whether a run looked at all that the settings name for a model, or for all; False where they name nothing, None for a part."""
    models = [model for each, model in config.models.items() if name in ("", each)]
    files = {
        path.resolve() for model in models for pattern in model.checkpoints for path in config.folder.glob(pattern)
    }
    if not files:
        return False
    return True if files <= {Path(each).resolve() for each in checkpoints} else None


def left_by_entries(
    findings: Sequence[Finding], config: Config, model: str, against: str
) -> tuple[tuple[Finding, ...], int]:
    """The gate's findings without what the settings accept for a model, with what is wrong with their entries; and how many are gone.

    An entry with keys takes these keys out of a finding. One of CKB101 is about the keys in which a missing way shows (CKM109).
    """
    if not config.accepted:
        return tuple(findings), 0
    from ckptlint.documents.rules import load_rules

    entries = relevant(config, model)
    used: list[Accepted] = []
    left = [part for each in findings for part in _left(each, entries, used)]
    if used:
        left = without_empty_way(left)
    judging = Judging(
        load_rules(),
        _GATE,
        Selection(config.select, config.extend, config.ignore, config.severity),
        [NO_WAY, OTHER_RESULT] if against else [],
        used,
        lambda entry: Severity.WARNING if entry.model in ("", model) else None,
    )
    return (*left, *about_entries(config, judging)), len(findings) - len(left)


def without_empty_way(findings: Sequence[Finding]) -> list[Finding]:
    """Findings of which some are accepted: that a variant has no way from the base is none where no key of it is left that shows that."""
    left = {(each.rule, each.words.get(VARIANT, "")) for each in findings}

    def holds(finding: Finding) -> bool:
        shown_by, own = finding.words.get(SHOWN_BY, ""), finding.words.get(VARIANT, "")
        return not shown_by or any(rule == shown_by and (not own or of in ("", own)) for rule, of in left)

    return [each for each in findings if holds(each)]


def _left(finding: Finding, entries: Iterable[Accepted], used: list[Accepted]) -> Iterator[Finding]:
    """What of a finding no entry accepts, folded anew."""
    keys = list(finding.keys)
    for entry in entries:
        code, selected = entry.finding.rule, entry.finding.keys
        if not selected and _means(code, finding):
            used.append(entry)
            return
        shown_by = code == NO_WAY and finding.rule == OTHER_RESULT
        left = _unselected(keys, selected) if selected and (shown_by or _means(code, finding)) else keys
        used.extend([entry] if len(left) < len(keys) else ())
        keys = left
    yield from [finding] if len(keys) == len(finding.keys) else of_keys(finding, keys)


def _means(code: str, finding: Finding) -> bool:
    return finding.rule.startswith(code) or finding.slug == code


def _unselected(keys: Sequence[str], selected: str) -> list[str]:
    selector = Selector.parse(selected)
    return [key for key in keys if not selector.matches(key)]


def of_keys(finding: Finding, keys: Sequence[str]) -> Iterator[Finding]:
    """The finding about some of its keys, folded anew; nothing where there are none."""
    for family in fold(keys) if keys else ():
        message = finding.message.replace(finding.pattern, family.pattern, 1)  # behind the name of a variant
        yield finding._replace(keys=tuple(family.keys), pattern=family.pattern, message=message)
