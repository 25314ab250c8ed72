"""Write what a model's variants need as one migration: where no suggestion holds for all of them, a case for each that differs.

Which case holds is told by keys and shapes of the old layout: those that the variants of a case have and those of the others have not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ckptlint.core.schema import Schema
from ckptlint.documents.suggested import Said, body_lines, chain_line, in_one_line, quoted
from ckptlint.engine.suggest.suggestion import Suggestion
from ckptlint.errors import UsageError

_PLAIN_KEY = re.compile(r"[\w.+/-]+")  # a key that means itself as a selector


@dataclass(frozen=True, slots=True)
class Case:
    """A suggestion, the variants that it is for, and what was said of it; old and new schema are those of the first of them."""

    names: tuple[str, ...]
    suggestion: Suggestion
    new: Schema
    said: Said


def cases_yaml(cases: Sequence[Case], old: Mapping[str, Schema], said: Said) -> str:
    """The text of a migration with a case for each; `UsageError` where nothing tells the old layouts of two apart."""
    names = ["; ".join(case.names) for case in cases]
    return "\n".join([*map(in_one_line, _lines(cases, names, old, said)), ""])


def _lines(cases: Sequence[Case], names: Sequence[str], old: Mapping[str, Schema], said: Said) -> Iterator[str]:
    yield "# Suggested: the variants of the model change differently, so that each has a case."
    yield "ckptlint: 1"
    yield f"summary: {quoted(said.summary or 'variants apart: ' + ', '.join(names))}"
    if said.chain is not None:
        yield chain_line(said.chain)
    yield "cases:"
    for case in cases:
        others = [name for each in cases if each is not case for name in each.names]
        yield f"# {', '.join(case.names)}"
        yield f"- when: {_condition(case.names, others, old)}"
        yield from (f"  {line}" for line in body_lines(case.suggestion, case.new, replace(case.said, chain=None)))


def _condition(names: Sequence[str], others: Sequence[str], old: Mapping[str, Schema]) -> str:
    tests = list(dict.fromkeys(_tests(old[name], [(other, old[other]) for other in others], name) for name in names))
    return tests[0] if len(tests) == 1 else f"{{any: [{', '.join(tests)}]}}"


def _tests(schema: Schema, others: Sequence[tuple[str, Schema]], name: str) -> str:
    """A condition that holds for a schema, and for none of the others."""
    found: dict[str, list[str]] = {"has": [], "lacks": [], "shape": []}
    for other, against in others:
        test, text = _witness(schema, against) or ("", "")
        if not test:
            raise UsageError(
                f"the variants {name!r} and {other!r} had the same keys and shapes, and change differently"
            )
        if text not in found[test]:
            found[test].append(text)
    said = [f"{test}: [{', '.join(texts)}]" for test, texts in found.items() if texts and test != "shape"]
    said += [f"shape: {{{', '.join(found['shape'])}}}"] if found["shape"] else []
    return f"{{{', '.join(said)}}}"


def _witness(one: Schema, other: Schema) -> tuple[str, str] | None:
    """The test that tells one schema from another one."""
    for key, spec in one.tensors.items():
        if not _PLAIN_KEY.fullmatch(key):
            continue
        if key not in other.tensors:
            return "has", quoted(key)
        if other.tensors[key].shape != spec.shape:
            return "shape", f"{quoted(key)}: [{', '.join(map(str, spec.shape))}]"
    missing = (key for key in other.tensors if key not in one.tensors and _PLAIN_KEY.fullmatch(key))
    return next((("lacks", quoted(key)) for key in missing), None)
