"""What the numeric witness found, as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ckptlint.core.families import fold
from ckptlint.report.escape import escape

_SHOWN = 6  # outputs, and patterns of keys


@dataclass(frozen=True, slots=True)
class Output:
    """One tensor that the models return: the largest difference, None where nothing was compared, and the largest old element.

    `said` is why it counts as different whatever its elements are.
    """

    path: str
    spec: str
    difference: float | None = None
    scale: float = 0.0
    finite: bool = True
    said: str = ""

    @property
    def relative(self) -> float:
        """The difference beside the largest element."""
        return (self.difference or 0.0) / self.scale if self.scale else float(bool(self.difference))

    def agrees(self, tolerance: float) -> bool:
        return self.finite and not self.said and self.relative <= tolerance


@dataclass(frozen=True, slots=True)
class Compared:
    """One checkpoint in its model, and beside another: `beside` says which, '' where there is none.

    `unseen` are parameters that the outputs do not depend on: nothing is known of them.
    """

    checkpoint: str
    model: str
    beside: str
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[str, ...]
    outputs: tuple[Output, ...]
    tolerance: float
    precision: str
    unseen: tuple[str, ...] = ()
    module: str = ""

    @property
    def loads(self) -> bool:
        return not (self.missing or self.unexpected or self.mismatched)

    @property
    def silent(self) -> bool:
        """Whether the outputs tell nothing: all of them are zero, as those of a head that begins with zeros."""
        compared = [each for each in self.outputs if each.difference is not None]
        return bool(compared) and len(compared) == len(self.outputs) and not any(each.scale for each in compared)

    @property
    def fails(self) -> bool:
        return not self.loads or self.silent or not all(each.agrees(self.tolerance) for each in self.outputs)


def text(found: Compared) -> Iterator[str]:
    """The verdict, and what it rests on."""
    yield escape(f"{found.checkpoint} in {found.model}: {_verdict(found)}")
    for word, keys in (("missing", found.missing), ("unexpected", found.unexpected)):
        if keys:
            yield escape(f"  {word}: {_listed(keys)}")
    yield from (escape(f"  {line}") for line in found.mismatched[:_SHOWN])
    if found.unseen:
        yield escape(f"  not witnessed, since the outputs do not depend on them: {_listed(found.unseen)}")
    worst = sorted(found.outputs, key=lambda each: (each.agrees(found.tolerance), -each.relative))
    for each in worst[:_SHOWN]:
        yield escape(f"  {each.path} {each.spec}: {_said(each, found.tolerance)}")
    if len(worst) > _SHOWN:
        yield f"  and {len(worst) - _SHOWN} more outputs, which differ less"


def as_json(found: Compared) -> Iterator[str]:
    """One object, which `docs/json.md` describes."""
    said = {
        "version": 1,
        "checkpoint": found.checkpoint,
        "model": found.model,
        "beside": found.beside,
        "module": found.module,
        "agrees": not found.fails,
        "loads": found.loads,
        "missing": list(found.missing),
        "unexpected": list(found.unexpected),
        "mismatched": list(found.mismatched),
        "precision": found.precision,
        "tolerance": found.tolerance,
        "unseen": list(found.unseen),
        "outputs": [
            {
                "output": each.path,
                "spec": each.spec,
                "difference": each.difference,
                "relative": None if each.difference is None else each.relative,
                "finite": each.finite,
                "agrees": each.agrees(found.tolerance),
            }
            for each in found.outputs
        ],
    }
    yield json.dumps(said, indent=1)


def _verdict(found: Compared) -> str:
    if not found.loads:
        return "a strict load refuses it"
    if not found.outputs:
        return "a strict load takes it; nothing was run"
    if not found.beside:
        return "it loads, and runs" if not found.fails else "it loads, and gives numbers that are not finite"
    part = f" at {found.module}" if found.module else ""
    if found.silent:
        return f"loads, but all outputs{part} are zero, which tells nothing: --module names a part that gives something else"
    word = "does not compute" if found.fails else "computes"
    return f"{word} what {found.beside} does{part}, in {found.precision}"


def _said(each: Output, tolerance: float) -> str:
    if each.said:
        return each.said
    if not each.finite:
        return "has infinities or NaN, which cannot be compared"
    if each.difference is None:
        return "finite"
    over = "within" if each.agrees(tolerance) else "over"
    return (
        f"differs by at most {each.difference:.3g}, {each.relative:.3g} of the largest element, {over} {tolerance:.3g}"
    )


def _listed(keys: Sequence[str]) -> str:
    patterns = [family.pattern for family in fold(keys)]
    more = f" and {len(patterns) - _SHOWN} more patterns" if len(patterns) > _SHOWN else ""
    return ", ".join(patterns[:_SHOWN]) + more
