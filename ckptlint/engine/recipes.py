"""Recognise values that several sections make alike: the same operations on the same tensors give one tensor, with several names.

Within one section the plan sees to that; a moving average that still shares its tensors with the model is a section of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

from ckptlint.core.checkpoint import Section
from ckptlint.core.plan import Plan


class Recipes:
    """`of` gives equal answers for values that are one tensor."""

    def __init__(self, work: Sequence[tuple[Section, Plan]]) -> None:
        self._known: dict[Hashable, int] = {}
        self._recipes: list[dict[int, int]] = []
        if len(work) > 1:
            self._recipes = [self._read(number, *each) for number, each in enumerate(work)]

    def of(self, section: int, value: int) -> Hashable:
        """Return what tells a value of the plan of section number `section` from others that are not it."""
        return self._recipes[section][value] if self._recipes else value

    def _read(self, number: int, section: Section, plan: Plan) -> dict[int, int]:
        recipes = {value: self._number(section.tensors[key].identity) for key, value in plan.inputs.items()}
        words: dict[int, str] = {}
        again: Counter[Hashable] = Counter()  # a copy is meant to be a tensor of its own, each time
        for place, step in enumerate(plan.steps):
            inputs = tuple(recipes[value] for value in step.inputs)
            word = words.setdefault(id(step.op), repr(step.op))
            alike = (word, inputs) if inputs else (number, place)  # what is made of nothing is nobody else's
            again[alike] += 1
            for slot, value in enumerate(step.outputs):
                recipes[value] = self._number((alike, again[alike], slot))
        return recipes

    def _number(self, what: Hashable) -> int:
        return self._known.setdefault(what, len(self._known))
