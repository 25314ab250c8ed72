"""What a scan comes to: one word about a file, and what to tell torch where only trust is missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from ckptlint.checks.trust import Trust, judge
from ckptlint.core.finding import Finding, Report, Severity
from ckptlint.core.survey import Survey

_DAMAGE = ("unreadable-checkpoint", "malformed-pickle", "not-searched", "encrypted-record")
_CODE = "code-inside"
_NUMPY = "numpy."


class Level(StrEnum):
    """How a file can be treated, worst first."""

    DANGEROUS = "dangerous"  # do not load it
    UNREADABLE = "unreadable"  # nobody can vouch for it
    TRUST = "needs trust"  # it names classes that are not known
    CLEAN = "clean"  # its pickles make tensors and plain data
    DATA = "no code"  # it has no pickles


@dataclass(frozen=True, slots=True)
class Verdict:
    """A level, why in a sentence, and the lines of Python after which `torch.load` takes the file (none: they would not do)."""

    level: Level
    why: str
    cure: tuple[str, ...] = ()


def verdict(report: Report, survey: Survey) -> Verdict:
    """Sum up the findings about a file, which may be fewer than the survey has: a project accepts what it knows."""
    errors = [finding for finding in report.findings if finding.severity is Severity.ERROR]
    danger = next((finding for finding in errors if finding.slug not in _DAMAGE), None)
    if danger is not None:
        return Verdict(Level.DANGEROUS, _said(danger, survey))
    if errors:
        return Verdict(Level.UNREADABLE, errors[0].message)
    slugs = {finding.slug: finding for finding in report.findings}
    code = slugs.get(_CODE)
    if survey.pickles and (survey.missing or "unknown-global" in slugs):
        return _needing_trust(survey)
    if code is not None:
        return Verdict(Level.TRUST, f"it {code.message}")
    return _harmless(report, survey)


def _harmless(report: Report, survey: Survey) -> Verdict:
    """What is said of a file in which nothing was found: of one that nobody reads as a checkpoint, no more than is known."""
    foreign = any(finding.slug == "no-checkpoint" for finding in report.findings)
    if not survey.pickles:
        return Verdict(Level.DATA, "no pickle was found in it" if foreign else "nothing in it can run")
    if foreign:
        return Verdict(Level.CLEAN, "its pickles make plain data; torch.load does not take it")
    if survey.refusals:
        return Verdict(Level.CLEAN, "it makes tensors and plain data, but weights_only=True does not take its form")
    return Verdict(Level.CLEAN, "torch.load takes it with weights_only=True")


def _said(danger: Finding, survey: Survey) -> str:
    if danger.slug != "dangerous-global":
        return danger.message
    nested = all(each.nested for each in survey.imports if each.full == danger.words.get("name"))
    who = "whoever unpickles a value in it" if nested else "torch.load(weights_only=False)"
    return f"{who} {danger.message}"


def _needing_trust(survey: Survey) -> Verdict:
    unknown = [
        each.full for each in survey.imports if judge(each.module, each.name, called=each.called).trust is Trust.UNKNOWN
    ]
    names = unknown or list(survey.missing)
    listed = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    cure = () if survey.refusals or not survey.missing else tuple(trusting(survey.missing))
    return Verdict(Level.TRUST, f"it names {listed}", cure)


def trusting(names: tuple[str, ...]) -> Iterator[str]:
    """Yield the Python that makes torch trust these globals."""
    yield "import torch"
    taken: dict[str, int] = {}
    listed: list[str] = []
    for full in names:
        if full.startswith("numpy.dtype("):
            yield "import numpy"
            listed.append(f"type({full})")
            continue
        module, _, name = full.rpartition(".")
        if module == "builtins":
            listed.append(name)
            continue
        taken[name] = taken.get(name, 0) + 1
        alias = name if taken[name] == 1 else f"{name}_{taken[name]}"
        yield f"from {module} import {name}" + (f" as {alias}" if alias != name else "")
        listed.append(f'({alias}, "{full}")' if full.startswith(_NUMPY) else alias)
    yield f"torch.serialization.add_safe_globals([{', '.join(dict.fromkeys(listed))}])"
