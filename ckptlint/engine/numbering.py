"""Find numbers that were computed one off: `layers.{i+1}` that leaves no layer 0, or a hole before what was moved up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import pairwise

from ckptlint.core.expression import Call, Expression
from ckptlint.core.expression_nodes import walk
from ckptlint.core.finding import Severity
from ckptlint.core.migration import Move
from ckptlint.core.template import Target
from ckptlint.engine.faults import NUMBERING, Faults
from ckptlint.engine.stage import Bound, StageRun


@dataclass(frozen=True, slots=True)
class _Place:
    """A list of the result that a rewrite numbers, and the lists of the source that its keys are from."""

    where: str
    sources: set[str]


def note_numbering(run: StageRun, faults: Faults) -> None:
    """Note lists of the result, numbered by computed numbers of these rewrites, that do not count 0, 1, 2 ... in equal steps.

    A list whose numbers had the same kind of hole before is as its author left it.
    """
    places: dict[str, _Place] = {}
    for bound in run.bound:
        if isinstance(bound.rewrite, Move):
            for prefix, sources in _lists(bound, bound.rewrite):
                places.setdefault(prefix, _Place(bound.rewrite.where, set())).sources.update(sources)
    if not places:
        return
    after = _numbers(set(places), run.result)
    before = _numbers({prefix for place in places.values() for prefix in place.sources}, run.values)
    for prefix, place in places.items():
        numbers = sorted(after.get(prefix, ()))
        if numbers and not _is_regular(numbers) and all(_is_regular(sorted(before[old])) for old in place.sources):
            missing = next(number for number in range(numbers[-1] + 1) if number not in after[prefix])
            text = f"is there, and {prefix}{missing} is not: is the number in the new key one off?"
            keys = [key for key in run.result if key.startswith(f"{prefix}{numbers[-1]}.")]
            hint = "lists of modules count from 0 without a gap"
            faults.add(NUMBERING, text, keys=keys[:1], where=place.where, hint=hint, severity=Severity.WARNING)


def _lists(bound: Bound, move: Move) -> Iterator[tuple[str, list[str]]]:
    """The text before each computed number of the keys that a move makes, with that before all numbers of their sources."""
    computed = [(slot, segment) for slot, target in enumerate(move.targets) for segment in _computed_segments(target)]
    for edge in bound.edges if computed else ():
        sources = [prefix for key in edge.sources for prefix in _numbered(key)]
        for slot, segment in computed if len(edge.targets) == len(move.targets) else ():
            yield ".".join([*edge.targets[slot].split(".")[:segment], ""]), sources


def _numbered(key: str) -> Iterator[str]:
    parts = key.split(".")
    yield from (".".join([*parts[:place], ""]) for place, part in enumerate(parts) if part.isdecimal())


def _computed_segments(target: Target) -> list[int]:
    """Where a target has segments that are a sum or difference; none behind what may take several segments."""
    found: list[int] = []
    segment = 0
    for place, token in enumerate(target.tokens):
        if isinstance(token, str):
            segment += token.count(".")
            continue
        around = target.tokens[place - 1 : place] + target.tokens[place + 1 : place + 2]
        whole = all(isinstance(each, str) for each in around) and _ends_segment(target, place)
        if whole and _is_sum(token.expression):
            found.append(segment)
        if token.expression.name is not None and not _is_sum(token.expression) and not whole:
            return found
    return found


def _ends_segment(target: Target, place: int) -> bool:
    before = target.tokens[place - 1] if place else "."
    after = target.tokens[place + 1] if place + 1 < len(target.tokens) else "."
    return str(before).endswith(".") and str(after).startswith(".")


def _is_sum(expression: Expression) -> bool:
    nodes = list(walk(expression.root))
    return not any(isinstance(node, Call) for node in nodes) and any(
        getattr(node, "operator", "") in ("+", "-") for node in nodes
    )


def _numbers(places: AbstractSet[str], keys: Iterable[str]) -> dict[str, set[int]]:
    """The numbers that follow each prefix."""
    depths = {prefix.count(".") for prefix in places}
    found: dict[str, set[int]] = {}
    for key in keys:
        parts = key.split(".")
        for depth in depths:
            if depth < len(parts) and parts[depth].isdecimal():
                prefix = ".".join([*parts[:depth], ""])
                if prefix in places:
                    found.setdefault(prefix, set()).add(int(parts[depth]))
    return found


def _is_regular(numbers: list[int]) -> bool:
    """Whether these are 0, n, 2n ..."""
    return numbers[0] == 0 and len({b - a for a, b in pairwise(numbers)}) < 2
