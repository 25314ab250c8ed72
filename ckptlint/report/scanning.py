"""A scan's result for people and for machines: the verdict on each file first, then what it rests on."""

from __future__ import annotations

import json as json_module
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from ckptlint.checks.trust import judge
from ckptlint.core.finding import Report, Severity
from ckptlint.core.survey import Survey
from ckptlint.engine.verdict import Level, Verdict
from ckptlint.errors import CkptlintError
from ckptlint.report import json
from ckptlint.report.counts import counted
from ckptlint.report.escape import escape
from ckptlint.report.paint import painter
from ckptlint.report.text import MOST, finding_lines

_LONGEST = 300  # characters of a verdict
_STYLES = {
    Level.DANGEROUS: "1;31",
    Level.UNREADABLE: "1;31",
    Level.TRUST: "1;33",
    Level.CLEAN: "1;32",
    Level.DATA: "1;32",
}


@dataclass(frozen=True, slots=True)
class Scanned:
    """One file: its findings, what was found before rules judged it, and the verdict."""

    report: Report
    survey: Survey
    verdict: Verdict


def text(scans: Sequence[Scanned], *, errors: Sequence[CkptlintError], everything: bool) -> Iterator[str]:
    """Yield the lines; files of a folder in which there is nothing to tell are only counted, unless `everything` is asked for."""
    paint = painter()
    for each in scans:
        if everything or len(scans) == 1 or each.verdict.level not in (Level.DATA, Level.CLEAN):
            yield from _file(each, everything=everything)
    levels = Counter(each.verdict.level for each in scans)
    said = ", ".join(f"{levels[level]} {level}" for level in Level if levels[level])
    unread = f"; {counted(len(errors), 'file')} could not be opened" if errors else ""
    yield paint(f"scanned {counted(len(scans), 'file')}: {said or 'nothing'}{unread}", "1")


def _file(each: Scanned, *, everything: bool) -> Iterator[str]:
    paint = painter()
    level = paint(str(each.verdict.level), _STYLES[each.verdict.level])
    why = each.verdict.why if len(each.verdict.why) <= _LONGEST else f"{each.verdict.why[:_LONGEST]} ..."
    yield f"{paint(escape(each.report.checkpoint), '1')}: {level}: {escape(why)}"
    shown = [f for f in each.report.findings if everything or f.severity is not Severity.INFO]
    if each.verdict.level in (Level.CLEAN, Level.TRUST):
        shown = list(each.report.findings)
    yield from finding_lines(shown if everything else shown[:MOST])
    if not everything and len(shown) > MOST:
        yield f"... and {counted(len(shown) - MOST, 'more finding')}; --all shows them"
    if each.verdict.cure:
        yield "  torch.load takes it with weights_only=True, if you trust it, after"
        yield from (f"    {escape(line)}" for line in each.verdict.cure)
    yield ""


def as_json(scans: Sequence[Scanned], *, errors: Sequence[CkptlintError], everything: bool) -> Iterator[str]:
    """Yield one object: that of a lint, with `scans` beside its findings."""
    del everything
    entry = json.entry([each.report for each in scans], errors)
    yield json_module.dumps({**entry, "scans": [_entry(each) for each in scans]}, indent=1)


def _entry(each: Scanned) -> dict[str, object]:
    survey = each.survey
    return {
        "path": each.report.checkpoint,
        "format": survey.kind,
        "verdict": str(each.verdict.level),
        "why": each.verdict.why,
        "pickles": survey.pickles,
        "globals": [
            {
                "name": used.full,
                "trust": str(judge(used.module, used.name, called=used.called).trust),
                "called": used.called,
                "made": used.made,
                "place": used.place,
                "path": used.path,
                "nested": used.nested,
            }
            for used in survey.imports
        ],
        "weights_only": {
            "loads": bool(survey.pickles) and not survey.missing and not survey.refusals,
            "missing": list(survey.missing),
            "refusals": list(survey.refusals),
            "cure": list(each.verdict.cure),
        },
    }


Writer = Callable[..., Iterable[str]]
FORMATS: dict[str, Writer] = {"text": text, "json": as_json}
