"""Ask in a terminal what nothing decides: one question after the other, the likeliest answers first with what speaks for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ckptlint.core.schema import Schema
from ckptlint.engine.suggest.deciding import Told, questions, suggest_told
from ckptlint.engine.suggest.names import Synonyms
from ckptlint.engine.suggest.suggest import SuggestOptions
from ckptlint.engine.suggest.suggestion import Ambiguity, Suggestion

_DROP: Final = "d"
_LEAVE: Final = "s"
_STOP: Final = "q"

Prompt = Callable[[str, tuple[str, ...]], str]


def decided(
    schemas: tuple[Schema, Schema],
    synonyms: Synonyms,
    options: SuggestOptions,
    say: Callable[[str], None],
    prompt: Prompt,
) -> Suggestion:
    """Suggest, ask, and suggest again with the answer, until nothing is left to ask or the user stops."""
    told = Told()
    while True:
        found = suggest_told(*schemas, synonyms, options, told)
        open_questions = list(questions(found, told))
        if not open_questions:
            return found
        say(f"{len(open_questions)} to decide")
        first = open_questions[0]
        for line in _asked(first):
            say(line)
        numbers = map(str, range(1, len(first.candidates) + 1))
        answer = prompt("answer", (*numbers, _DROP, _LEAVE, _STOP))
        if answer == _STOP:
            return found
        told = _answered(told, first, answer)


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
