"""What differs between two schemas, and between what else two checkpoints hold, for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ckptlint.core.families import fold
from ckptlint.core.schema import Schema
from ckptlint.engine.beside import Beside
from ckptlint.engine.compare import Change, Difference, compare
from ckptlint.engine.variants import Variants, nearest
from ckptlint.report.counts import counted
from ckptlint.report.escape import escape

_NOTHING = Beside()
_EMPTY = Schema({})
_LONGEST = 200  # characters of one value


def text(difference: Difference, rest: Beside = _NOTHING) -> Iterator[str]:
    """Yield one line a pattern, `-` for what is gone, `+` for what is new, `~` for what changed, `>` for what moved."""
    for move in difference.moved:
        yield escape(f"> {move.pattern}{_keys(move)}: prefix {move.before or '(none)'} -> {move.after or '(none)'}")
    yield from (escape(f"- {each.pattern}  {each.before}{_keys(each)}") for each in difference.removed)
    yield from (escape(f"+ {each.pattern}  {each.after}{_keys(each)}") for each in difference.added)
    yield from (escape(f"~ {each.pattern}  {each.before} -> {each.after}{_keys(each)}") for each in difference.changed)
    yield from (escape(f"~ {' = '.join(group)}  now one tensor") for group in difference.tied)
    yield from (escape(f"~ {', '.join(group)}  no longer one tensor") for group in difference.untied)
    if difference.reordered:
        yield "~ the keys that both have come in another order"
    yield from _beside(rest)
    yield _last_line(difference)


def of_variants(old: Variants, new: Variants) -> Iterator[str]:
    """Yield the lines of each variant that differs, under its name where it has one."""
    if (
        len({*old} & {*new}) == 0 and "" in {*old, *new} and old and new
    ):  # one side has no names: it is one of the other's
        known, single = (new, old[""]) if "" in old else (old, new[""])
        name = nearest(known, single)
        old, new = ({name: old[""]}, new) if "" in old else (old, {name: new[""]})
    for name in sorted({*old, *new}):
        difference = compare(old.get(name, _EMPTY), new.get(name, _EMPTY))
        if difference or len(old) == len(new) == 1:
            yield from [f"variant {escape(name)}:"] if name else []
            yield from text(difference)


def as_json(difference: Difference, rest: Beside = _NOTHING) -> Iterator[str]:
    """Yield one object, which `docs/json.md` describes."""
    import json

    entry = {
        "version": 1,
        "added": _changes(difference.added),
        "removed": _changes(difference.removed),
        "changed": _changes(difference.changed),
        "moved": _changes(difference.moved),
        "tied": [list(group) for group in difference.tied],
        "untied": [list(group) for group in difference.untied],
        "reordered": difference.reordered,
        "same": difference.same,
        "rest": _places(rest) if rest else {},
    }
    yield json.dumps(entry, indent=1)


def _places(rest: Beside = _NOTHING) -> dict[str, object]:
    changed = {path: {"before": was, "after": now} for path, (was, now) in rest.changed.items()}
    return {"removed": dict(rest.removed), "added": dict(rest.added), "changed": changed}


def _changes(changes: Sequence[Change]) -> list[dict[str, object]]:
    return [
        {"pattern": each.pattern, "keys": list(each.keys), "before": each.before, "after": each.after}
        for each in changes
    ]


def _beside(rest: Beside = _NOTHING) -> Iterator[str]:
    """Yield what the trees hold beside tensors, equal changes under folded paths."""
    if rest:
        yield "beside the tensors:"
    yield from _marked("-", {path: _short(value) for path, value in rest.removed.items()})
    yield from _marked("+", {path: _short(value) for path, value in rest.added.items()})
    yield from _marked("~", {path: f"{_short(was)} -> {_short(now)}" for path, (was, now) in rest.changed.items()})


def _marked(mark: str, changes: Mapping[str, str]) -> Iterator[str]:
    paths: dict[str, list[str]] = {}
    for path, said in changes.items():
        paths.setdefault(said, []).append(path)
    for said, alike in paths.items():
        yield from (escape(f"  {mark} {family.pattern}  {said}") for family in fold(alike))


def _short(value: object) -> str:
    said = repr(value)
    return said if len(said) <= _LONGEST else f"{said[:_LONGEST]} ..."


def _keys(change: Change) -> str:
    return f" ({len(change.keys)} keys)" if len(change.keys) > 1 else ""


def _last_line(difference: Difference) -> str:
    numbers = (
        (difference.moved, "moved"),
        (difference.removed, "removed"),
        (difference.added, "added"),
        (difference.changed, "changed"),
    )
    counts = ", ".join(f"{sum(len(each.keys) for each in changes)} {what}" for changes, what in numbers)
    return f"{counted(difference.same, 'tensor')} the same, {counts}"
