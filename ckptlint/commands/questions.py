"""Ask in a terminal what nothing decides: one question after the other, the likeliest answers first with what speaks for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from ckptlint.core.schema import Schema
from ckptlint.engine.suggest.deciding import Told, questions, suggest_told
from ckptlint.engine.suggest.names import Synonyms
from ckptlint.engine.suggest.suggest import SuggestOptions
from ckptlint.engine.suggest.suggestion import Ambiguity, Suggestion

_DROP: Final = "d"
_LEAVE: Final = "s"
_STOP: Final = "q"
_FILLS: Final = {"z": 0.0, "o": 1.0}

Prompt = Callable[[str, tuple[str, ...]], str]


def decided(
    schemas: tuple[Schema, Schema],
    synonyms: Synonyms,
    options: SuggestOptions,
    say: Callable[[str], None],
    prompt: Prompt,
) -> tuple[Suggestion, Mapping[str, float]]:
    """Suggest, ask, and suggest again with the answer, until nothing is left to ask or the user stops; return what fills new keys, too."""
    told = Told()
    while True:
        found = suggest_told(*schemas, synonyms, options, told)
        open_questions = list(questions(found, told))
        if not open_questions:
            return _filled(schemas, synonyms, options, told, (say, prompt))
        say(f"{len(open_questions)} to decide")
        first = open_questions[0]
        for line in _asked(first):
            say(line)
        numbers = map(str, range(1, len(first.candidates) + 1))
        answer = prompt("answer", (*numbers, _DROP, _LEAVE, _STOP))
        if answer == _STOP:
            return found, told.fills
        told = _answered(told, first, answer)


def _filled(
    schemas: tuple[Schema, Schema],
    synonyms: Synonyms,
    options: SuggestOptions,
    told: Told,
    terminal: tuple[Callable[[str], None], Prompt],
) -> tuple[Suggestion, Mapping[str, float]]:
    """Ask what fills tensors that nothing becomes."""
    say, prompt = terminal
    while True:
        found = suggest_told(*schemas, synonyms, options, told)
        family = next((family for family in found.unsourced if family.template not in told.left), None)
        if family is None:
            return found, told.fills
        shape = ",".join(map(str, family.shape))
        say(f"{family} ([{shape}]) of the target has no source")
        say(f"  z) zeros   o) ones   {_LEAVE}) leave it open, with a proposal   {_STOP}) ask no more")
        answer = prompt("answer", (*_FILLS, _LEAVE, _STOP))
        if answer == _STOP:
            return found, told.fills
        told = told.leaving(family) if answer == _LEAVE else told.filling(family, _FILLS[answer])


def _asked(question: Ambiguity) -> list[str]:
    shape = ",".join(map(str, question.source.shape))
    count = len(question.source.members)
    many = f"{count} of " if count > 1 else ""
    choices = [
        f"  {number}) {candidate.target}  {candidate.chance:.2f}  {', '.join(candidate.evidence)}".rstrip()
        for number, candidate in enumerate(question.candidates, start=1)
    ]
    return [
        f"{question.source} ({many}[{shape}]) becomes",
        *choices,
        f"  {_DROP}) nothing: drop it   {_LEAVE}) leave it open   {_STOP}) ask no more",
    ]


def _answered(told: Told, question: Ambiguity, answer: str) -> Told:
    if answer == _DROP:
        return told.dropping(question.source)
    if answer == _LEAVE:
        return told.leaving(question.source)
    return told.renaming(question.source, question.candidates[int(answer) - 1].target)
