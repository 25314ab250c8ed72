"""Ask a person in a terminal what nothing decides, one question at a time; each answer may settle others.

What could be exchanged unseen has no default, and neither has a drop. Enter alone takes a default only where one is shown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from ckptlint.engine.suggest.answers import Answers
from ckptlint.engine.suggest.asking import Asked, Choice, Question
from ckptlint.errors import UsageError
from ckptlint.report.escape import escape

Read = Callable[[str], str]
Say = Callable[[str], object]
_DEFAULT: Final = 0.45  # what a likely rename that the source shows needs to be offered first
_FILLS: Final = {"zeros": 0.0, "ones": 1.0}


def settle(again: Callable[[Answers], Asked], answers: Answers, read: Read, say: Say) -> tuple[Asked, Answers]:
    """Ask until nothing is open; `again` takes all answers so far. Answers that contradict each other are said, and asked again."""
    asked = again(answers)
    while asked.questions:
        question = asked.questions[0]
        said = _answered(question, len(asked.questions), answers, read, say)
        try:
            asked, answers = again(said), said
        except UsageError as error:
            say(escape(f"  that cannot be: {error.message}"))
    return asked, answers


def _answered(question: Question, open_questions: int, answers: Answers, read: Read, say: Say) -> Answers:
    while True:
        for line in _shown(question, open_questions):
            say(escape(line))
        default = default_of(question)
        word = read(f"  choice{f' [{default}]' if default else ''}: ").strip() or default
        found = _taken(question, word, answers, read)
        if found is not None:
            return found
        say("  please type one of the numbers or letters in front of the choices")


def _shown(question: Question, open_questions: int) -> list[str]:
    """The question, why it is asked, and its choices with what speaks for them."""
    shape = ",".join(map(str, question.shape))
    more = f" ({len(question.keys)} keys)" if len(question.keys) > 1 else ""
    lines = ["", f"? {question.about} [{shape}]{more}: {question.why}; {open_questions} open"]
    for number, choice in enumerate(_renames(question), 1):
        sure = f"  {choice.confidence:.2f}" if choice.confidence else ""
        why = f"  {', '.join(choice.evidence)}" if choice.evidence else ""
        lines.append(f"    {number}) {choice.answer}{sure}{why}")
    fills = "   ".join(
        f"{each.answer[0]}) new, of {each.answer}{''.join(f', {why}' for why in each.evidence)}"
        for each in question.choices
    )
    letters = {"rename": "d) drop it", "drop": "d) drop it", "new": fills, "join": ""}
    return [*lines, *([f"    {letters[question.kind]}"] if letters[question.kind] else [])]


def _renames(question: Question) -> list[Choice]:
    return [each for each in question.choices if each.answer not in ("drop", "zeros", "ones")]


def default_of(question: Question) -> str:
    """What Enter means: a join, or the one rename that the source speaks for; never a drop, a fill, or one of several that fit."""
    choices = _renames(question)
    if question.kind == "join":
        return "1"
    sure = [each for each in choices if "used in the same place" in each.evidence and each.confidence >= _DEFAULT]
    return "1" if len(choices) == len(sure) == 1 else ""


def _taken(question: Question, word: str, answers: Answers, read: Read) -> Answers | None:
    choices = _renames(question)
    if word.isascii() and word.isdigit() and len(word) < 4 and 1 <= int(word) <= len(choices):
        answer = choices[int(word) - 1].answer
        if question.kind == "join":
            return replace(answers, accept=(*answers.accept, question.about))
        return replace(answers, rename={**answers.rename, question.about: answer})
    if word == "d" and question.kind in ("rename", "drop"):
        reason = read("  why (it is kept in the migration): ").strip()
        return replace(answers, drop={**answers.drop, question.about: reason}) if reason else None
    if question.kind == "new" and word in ("z", "o"):
        return replace(answers, new={**answers.new, question.about: _FILLS["zeros" if word == "z" else "ones"]})
    return None
