"""Checks of what a file would do to whoever loads it: what it names, and what about its form hides something or harms its reader.

They see the survey that a scan makes. A lint makes none: there the names that the reader met are judged, by name alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ckptlint.checks.base import CHECKPOINT, Check, Comparison, NoOptions
from ckptlint.core.finding import Fact
from ckptlint.core.survey import Import


@dataclass(frozen=True, slots=True)
class NamedOptions:
    """`trust` is the verdict that is reported: `harmless`, `unknown` or `dangerous`."""

    trust: str


@dataclass(frozen=True, slots=True)
class OddOptions:
    """`kind` is what is odd, one of those that a scan tells apart."""

    kind: str


def named(seen: Comparison, options: NamedOptions) -> Iterator[Fact]:
    """Classes and functions that pickles name, by how far they can be trusted; keyed by their full names."""
    if seen.checkpoint is None or not (seen.checkpoint.survey or seen.checkpoint.notes.get("globals")):
        return
    from ckptlint.checks.trust import judge  # its tables are for files that name something

    survey = seen.checkpoint.survey
    for each in survey.imports if survey is not None else _noted(seen.checkpoint.notes["globals"]):
        verdict = judge(each.module, each.name, called=each.called)
        if verdict.trust == options.trust:
            yield Fact(
                each.full,
                {
                    "name": each.full,
                    "why": verdict.why,
                    "use": _use(each),
                    "arguments": each.arguments if each.called or each.made else "",
                    "place": f" ({each.place})" if each.place else "",
                    "path": each.path,
                },
            )


def _noted(names: str) -> Iterator[Import]:
    for full in names.split(", "):
        module, _, name = full.rpartition(".")
        yield Import(module, name, "")


def _use(each: Import) -> str:
    """Say what happens with the name: a clause in which the file is the subject."""
    at = f" at {each.path}" if each.path not in ("", "/") else ""
    given = f"{each.full}{each.arguments if each.arguments.startswith('(') else ''}"
    if each.called:
        return f"calls {given}{at}"
    if each.made:
        return f"makes an object of {each.full}{at}"
    return f"names {each.full}{at}"


def odd(seen: Comparison, options: OddOptions) -> Iterator[Fact]:
    """What is odd about the form of the file, of one kind."""
    survey = seen.checkpoint.survey if seen.checkpoint is not None else None
    for each in survey.oddities if survey is not None else ():
        if each.kind == options.kind:
            yield Fact("", {"text": each.text, "place": f" ({each.place})" if each.place else ""})


def refused_by_torch(seen: Comparison, _: NoOptions) -> Iterator[Fact]:
    """Why `torch.load` does not take the file by default, where it runs nothing and names nothing that is dangerous."""
    survey = seen.checkpoint.survey if seen.checkpoint is not None else None
    if survey is not None and survey.refusals and not any(map(_is_dangerous, survey.imports)):
        yield Fact("", {"reasons": "; ".join(survey.refusals[:3]) + ("; ..." if len(survey.refusals) > 3 else "")})


def _is_dangerous(each: Import) -> bool:
    from ckptlint.checks.trust import Trust, judge

    return judge(each.module, each.name, called=each.called).trust is Trust.DANGEROUS


DANGER_CHECKS = {
    "named": Check(
        named,
        words=("name", "why", "use", "arguments", "place", "path"),
        options=NamedOptions,
        needs=CHECKPOINT,
    ),
    "odd": Check(odd, words=("text", "place"), options=OddOptions, needs=CHECKPOINT),
    "refused-by-torch": Check(refused_by_torch, words=("reasons",), needs=CHECKPOINT),
}
