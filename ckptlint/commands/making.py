"""Decide a migration for all variants of a model: what holds for the largest holds for the others, or they get cases."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from ckptlint.core.schema import Schema
from ckptlint.documents.migrations import read_migration
from ckptlint.documents.suggested import Said, migration_yaml
from ckptlint.documents.suggested_cases import Case, cases_yaml
from ckptlint.engine.compare import compare
from ckptlint.engine.prove import prove
from ckptlint.engine.suggest.asking import Asked, Question
from ckptlint.engine.variants import Variants, distance, nearest

Pairs: TypeAlias = Mapping[str, tuple[Schema, Schema]]
Ask: TypeAlias = Callable[[Schema, Schema], Asked]


@dataclass(frozen=True, slots=True)
class Text:
    """The text of a migration, what was decided first, and what is still to be asked: then there is no text."""

    text: str
    asked: Asked

    @property
    def questions(self) -> tuple[Question, ...]:
        return self.asked.questions


def pairs(old: Variants, new: Variants) -> dict[str, tuple[Schema, Schema]]:
    """The variants that are there before and after, the largest first; where no name is there twice, by what they are."""
    names = {name: name for name in old if name in new}
    if not names and "" in old:
        names = {"": nearest(new, old[""])}
    elif not names and "" in new:
        names = {nearest(old, new[""]): ""}
    elif not names:
        names = _renamed(old, new)
    found = {other or name: (old[name], new[other]) for name, other in names.items()}
    return dict(sorted(found.items(), key=lambda each: -len(each[1][0].tensors)))


def _renamed(old: Variants, new: Variants) -> dict[str, str]:
    """Variants that all have other names since: one after the other the two that are most alike."""
    left, found = dict(new), dict[str, str]()
    while left and len(found) < len(old):
        apart = {name: nearest(left, schema) for name, schema in old.items() if name not in found}
        name = min(apart, key=lambda each: distance(left[apart[each]], old[each]))
        found[name] = apart[name]
        del left[apart[name]]
    return found


def decided(known: Pairs, ask: Ask, said: Said) -> Text:
    """The migration of the first variant that changed, where it proves for all; else with a case for those for which it does not."""
    changed = [name for name, pair in known.items() if compare(*pair)]
    waiting = [*changed, *(name for name in known if name not in changed)]
    cases: list[Case] = []
    asked: list[Asked] = []
    while waiting:
        name = waiting[0]
        old, new = known[name]
        asked.append(ask(old, new))
        if asked[-1].questions:
            return Text("", asked[-1])
        suggestion, answers = asked[-1].suggestion, asked[-1].decided
        own = replace(said, reasons=answers.dropped, fills=answers.filled)
        text = migration_yaml(suggestion, old, new, own)
        migration = read_migration(text, "suggested")
        holding = [each for each in waiting if each == name or not prove(migration, *known[each]).failed]
        if len(holding) == len(known):
            return Text(text, asked[0])
        cases.append(Case(tuple(holding), suggestion, new, own))
        waiting = [each for each in waiting if each not in holding]
    return Text(cases_yaml(cases, {name: pair[0] for name, pair in known.items()}, said), asked[0])
