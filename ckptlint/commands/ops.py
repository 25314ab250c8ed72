"""`ckptlint ops`: the vocabulary of migrations, described from its own source."""

from __future__ import annotations

from dataclasses import MISSING, Field, fields
from inspect import getdoc
from typing import NamedTuple

from ckptlint.core.operation import Operation, option_name
from ckptlint.ops.vocabulary import OPERATIONS


class Option(NamedTuple):
    """An option of an operation, as YAML has it: its name, its type in words, and its default (empty: it is required)."""

    name: str
    type: str
    default: str


class Entry(NamedTuple):
    """What there is to say about an operation; `moves` is layout (elements move unread) or arithmetic, `undo` how it is undone."""

    name: str
    summary: str
    text: str
    example: str
    moves: str
    options: tuple[Option, ...]
    undo: str


_ORDER = Entry(
    "order",
    "Put the slots in another order: the first becomes the one with the first number, and so on",
    "Put the slots in another order: the first becomes the one with the first number, and so on. The planner does it by itself: "
    "no data is touched.",
    "order: [2, 0, 1]",
    "layout",
    (),
    "exact",
)


def entries() -> list[Entry]:
    """Describe all operations that `ops:` may name."""
    listed = [_entry(operation) for operation in OPERATIONS.values() if operation.arity != "make"]
    return sorted([*listed, _ORDER])


def run(form: str) -> tuple[list[str], int]:
    if form == "json":
        import json

        listed = [{**each._asdict(), "options": [option._asdict() for option in each.options]} for each in entries()]
        return [json.dumps({"version": 1, "operations": listed}, indent=1)], 0
    if form == "markdown":
        return markdown(), 0
    return [f"{each.name:<10} {each.summary}" for each in entries()], 0


def markdown() -> list[str]:
    """The page `docs/operations.md`."""
    lines = ["# Operations", "", "What may stand in the `ops:` of a rewrite. This page is generated from the code.", ""]
    for each in entries():
        lines += [f"## {each.name}", "", each.text, "", "```yaml", f"- {each.example}", "```", ""]
        if each.options:
            lines += ["| option | type | default |", "|---|---|---|"]
            lines += [f"| `{o.name}` | {o.type} | {o.default or 'required'} |" for o in each.options]
            lines.append("")
        verb = "moves elements unread, whatever their dtype" if each.moves == "layout" else "decodes elements"
        lines += [f"It {verb}. Undo: {each.undo}.", ""]
    return lines


def describe(each: Entry) -> list[str]:
    """The text of `ckptlint explain NAME`."""
    options = [f"  {o.name}: {o.type}" + (f" = {o.default}" if o.default else "") for o in each.options]
    return [
        f"{each.name} (operation)",
        "",
        each.text,
        "",
        f"- {each.example}",
        "",
        f"undo: {each.undo}",
        *(["", "options:", *options] if options else []),
    ]


def _entry(operation: type[Operation]) -> Entry:
    text = getdoc(operation) or ""
    options = tuple(_option(each) for each in fields(operation))  # type: ignore[arg-type]  # every operation is a dataclass
    moves = "layout" if operation.layout else "arithmetic"
    return Entry(
        operation.name,
        text.partition(". ")[0].partition("\n")[0].rstrip("."),
        text,
        operation.example,
        moves,
        options,
        _undo(operation),
    )


def _undo(operation: type[Operation]) -> str:
    """How it is undone, by what it defines: an inverse, a bound of what comes back, a part of its inputs that is enough to keep."""
    if operation.inverse is Operation.inverse:
        return "one-way; restorable from an undo file, which keeps its inputs"
    if operation.remainder is not Operation.remainder:
        return "exact where nothing is lost, else restorable from an undo file, which keeps what is lost"
    if operation.grade is Operation.grade:
        return "exact"
    bounded = "approximate within a bound" if operation.bound is not Operation.bound else "approximate"
    return f"exact, {bounded} or one-way, as options and dtypes are; exact with an undo file, which keeps its inputs"


def _option(each: Field[object]) -> Option:
    default = "" if each.default is MISSING and each.default_factory is MISSING else _default(each)
    return Option(option_name(each.name), str(each.type).replace("|", "or"), default)


def _default(each: Field[object]) -> str:
    value = each.default if each.default is not MISSING else "empty"
    return "not set" if value is None else str(value)
