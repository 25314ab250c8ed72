"""Recognize key mappings written for other tools: Python tables and regex lists, vLLM's, transformers', and torch-state-bridge's rules.

Python files are read by `literals`, never run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Mapping as AnyMapping
from typing import Final, Literal

from ckptlint.core.expression import Expression
from ckptlint.documents.literals import literals
from ckptlint.documents.plain_values import Called, Unknown
from ckptlint.documents.yaml_nodes import parse
from ckptlint.engine.adopting.mapping import (
    Call,
    Conversion,
    Exact,
    First,
    Mapping,
    Step,
    Substitution,
    Template,
    Transform,
)
from ckptlint.errors import DocumentError, UsageError

Reading = Literal["exact", "prefix", "substring", "first", "regex"]

_FIRST: Final = (
    "_checkpoint_conversion_mapping",
    "key_mapping",
)  # what transformers calls those of which the first that fits counts
_REGEX: Final = re.compile(r"[\\^$(\[*+?|]")
_TRANSFORMS: Final = frozenset({"WeightRenaming", "WeightConverter", "GroupWeightRename", "PrefixChange"})
_CAPTURE: Final = re.compile(r"\{(?:(\w+)|\(([^()]+)\))\}")
_HOLE: Final = re.compile(r"\{(\w+)\}")


def read_foreign(
    text: bytes, path: str, name: str | None, reading: Reading | None, keys: AnyMapping[str, object]
) -> Mapping:
    """Read the mapping called `name`, or the only one. `reading` says how a table's entries are meant; `keys` are those it is for."""
    if path.endswith((".json", ".yaml", ".yml")):
        return _of_value("", parse(text, path).plain(), path, reading, keys)
    if not path.endswith(".py"):
        return _rules(text, path)
    every = literals(text, path)
    found = dict(_mappings(every))
    chosen = _chosen(found, name, every, path)
    return _of_value(chosen, found[chosen], path, reading, keys)


def _mappings(every: AnyMapping[str, object]) -> Iterator[tuple[str, object]]:
    """What looks like a mapping, by name; the entries of a table of mappings by its name and their own."""
    for name, value in every.items():
        if _is_mapping(value):
            yield name, value
        elif isinstance(value, dict):
            yield from ((f"{name}[{key}]", entry) for key, entry in value.items() if _is_mapping(entry))


def _is_mapping(value: object) -> bool:
    if isinstance(value, Called):
        return value.name == "WeightsMapper" or (value.name == "|" and all(map(_is_mapping, value.arguments)))
    if isinstance(value, dict):
        return bool(value) and all(
            isinstance(key, str) and (new is None or isinstance(new, str)) for key, new in value.items()
        )
    if not isinstance(value, list) or not value:
        return False
    return any(isinstance(item, Called) and item.name in _TRANSFORMS for item in value) or all(map(_is_pair, value))


def _is_pair(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and (value[1] is None or isinstance(value[1], str))
    )


def _chosen(found: AnyMapping[str, object], name: str | None, every: AnyMapping[str, object], path: str) -> str:
    if name is None:
        return _only(found, every, path)
    seen: list[str] = []
    while name not in seen:
        seen.append(name)
        fits = [each for each in found if each in (name, f"{name}.return") or each.endswith((f".{name}", f"[{name}]"))]
        if fits:
            return fits[-1]  # the last assignment of a name is the one that stands
        also = next(
            (table[name] for table in every.values() if isinstance(table, dict) and isinstance(table.get(name), str)),
            None,
        )
        if not isinstance(also, str):
            break
        name = also  # a table that says: this one is as that one
    unread = _unread(every, name)
    if unread is not None:
        raise DocumentError(
            f"{name} is computed: `{unread.text}` is only told by running it", where=f"{path}:{unread.line}"
        )
    raise UsageError(f"has no mapping {seen[0]!r}", where=path, hint=f"there are: {_some(found)}" if found else "")


def _only(found: AnyMapping[str, object], every: AnyMapping[str, object], path: str) -> str:
    unread = _unknown_in(list(every.values())) if not found else None
    if unread is not None:
        raise DocumentError(
            f"states no mapping: `{unread.text}` is only told by running it", where=f"{path}:{unread.line}"
        )
    if not found:
        known = "no table of names, list of (pattern, replacement), WeightsMapper or list of WeightRenaming"
        raise DocumentError(f"states no mapping: {known}", where=path)
    if len(found) > 1:
        raise UsageError(f"holds {len(found)} mappings", where=path, hint=f"--name chooses one: {_some(found)}")
    return next(iter(found))


def _unread(every: AnyMapping[str, object], name: str) -> Unknown | None:
    """The part of what is called `name` that could not be read."""
    for full, value in every.items():
        entries = value if isinstance(value, dict) else {}
        whole = value if full.rpartition(".")[2] == name else entries.get(name)
        unknown = _unknown_in(whole)
        if unknown is not None:
            return unknown
    return None


def _unknown_in(value: object) -> Unknown | None:
    """The first part of a value that could not be read. Lists may share parts, and hold themselves."""
    work, seen = [value], set[int]()
    while work:
        part = work.pop()
        if isinstance(part, Unknown):
            return part
        if isinstance(part, (list, dict)) and id(part) not in seen:
            seen.add(id(part))
            work += reversed(part if isinstance(part, list) else [*part, *part.values()])
    return None


def _some(found: AnyMapping[str, object]) -> str:
    names = list(found)
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def _of_value(name: str, value: object, path: str, reading: Reading | None, keys: AnyMapping[str, object]) -> Mapping:
    if isinstance(value, Called):
        return Mapping("WeightsMapper", tuple(_weights_mapper(value, path)))
    if isinstance(value, list) and any(isinstance(item, Called) for item in value):
        return _of_transforms(value, path)
    if isinstance(value, (dict, list)) and value and _is_mapping(value):
        rows = list(value.items()) if isinstance(value, dict) else [(old, new) for old, new in value]
        meant = _meant(rows, name, keys, listed=isinstance(value, list))
        return _agreed(rows, name or "entry", [reading] if reading else meant, keys)
    raise DocumentError("is no table of names and no list of pairs", where=path)


def _meant(
    rows: Sequence[tuple[str, str | None]], name: str, keys: AnyMapping[str, object], *, listed: bool
) -> list[Reading]:
    """How a table or list can be meant, the likeliest first: scripts use tables of patterns alike, each in a way of its own."""
    if any(_REGEX.search(old) for old, _ in rows):
        if listed:
            return ["regex"]  # as mmengine's revise_keys
        return ["first"] if name.endswith(_FIRST) else ["first", "regex"]
    if any(old in keys for old, _ in rows):
        return ["exact", "regex"] if listed else ["exact", "substring"]
    return ["regex"] if listed else ["substring"]


def _agreed(
    rows: Sequence[tuple[str, str | None]], name: str, readings: Sequence[Reading], keys: AnyMapping[str, object]
) -> Mapping:
    """The mapping, where all ways in which it can be meant come to the same for these keys; `UsageError` where they do not."""
    first, *others = (_of_rows(rows, name, reading) for reading in readings)
    for reading, other in zip(readings[1:], others, strict=True):
        for key in keys:
            one, two = _applied(first, key), _applied(other, key)
            if one != two:
                raise UsageError(
                    f"{name} can be meant in two ways: {key} becomes {one or 'nothing'} by {_FORMS[readings[0]]}, "
                    f"and {two or 'nothing'} by {_FORMS[reading]}",
                    hint=f"--as {readings[0]} or --as {reading} says which; the loop that uses it tells",
                )
    return first


def _applied(mapping: Mapping, key: str) -> str | None:
    for step in mapping.steps:
        new = step.apply(key)
        if new is None:
            return None
        key = new
    return key


_FORMS: Final[AnyMapping[Reading, str]] = {
    "exact": "whole names",
    "prefix": "prefixes, all in order",
    "substring": "parts of names, all in order",
    "first": "patterns, the first that fits",
    "regex": "patterns, all in order",
}


def _of_rows(rows: Sequence[tuple[str, str | None]], name: str, reading: Reading) -> Mapping:
    if reading == "exact":
        return Mapping(_FORMS[reading], (Exact(name, dict(rows)),))
    if reading == "first":  # as transformers' key_mapping
        patterns = tuple(_pattern(f"{name}[{old!r}]", old, _unanchored(new)) for old, new in rows)
        return Mapping(_FORMS[reading], (First(name, patterns),))
    steps = tuple(_step(f"{name}[{number}]", old, new, reading) for number, (old, new) in enumerate(rows))
    return Mapping(_FORMS[reading], steps)


def _unanchored(new: str | None) -> str | None:
    return None if new is None else new.lstrip("^")


def _step(where: str, old: str, new: str | None, reading: Reading) -> Substitution:
    if reading == "regex":
        return _pattern(where, old, new)
    text = ("^" if reading == "prefix" else "") + re.escape(old)
    return Substitution(where, re.compile(text), _literal(new))


def _pattern(where: str, old: str, new: str | None, count: int = 0) -> Substitution:
    if "\n" in old or r"\n" in old.replace(r"\\", ""):
        raise DocumentError(
            f"{old!r} looks for a line break, and no key has one",
            where=where,
            hint="its tool joins all keys with line breaks; write ^ in its place",
        )
    try:
        return Substitution(where, re.compile(old), new, count)
    except (re.error, OverflowError, RecursionError) as error:
        raise DocumentError(f"{old!r} is no pattern: {error}", where=where) from error


def _literal(new: str | None) -> str | None:
    return None if new is None else new.replace("\\", r"\\")


_PLACES: Final[AnyMapping[str, Callable[[str], str]]] = {  # in the order in which vLLM applies them
    "regex": lambda old: old,
    "substr": re.escape,
    "prefix": lambda old: "^" + re.escape(old),
    "suffix": lambda old: re.escape(old) + r"\Z",
}


def _weights_mapper(value: Called, path: str) -> Iterator[Step]:
    tables: dict[str, dict[str, str | None]] = {}
    for one in _united(value):
        for option, table in one.options.items():
            if not isinstance(table, dict) or not (table == {} or _is_mapping(table)):
                raise DocumentError(f"{option} is computed, or no table of names", where=f"{path}:{one.line}")
            tables.setdefault(option.removeprefix("orig_to_new_"), {}).update(table)
    unknown = set(tables) - set(_PLACES)
    if unknown:
        raise DocumentError(
            f"has an option that is not known: {', '.join(sorted(unknown))}", where=f"{path}:{value.line}"
        )
    for place, written in _PLACES.items():
        for old, new in tables.get(place, {}).items():
            where = f"{place} {old!r}"
            if place == "regex":
                yield _pattern(where, old, new)
            else:
                yield Substitution(where, re.compile(written(old)), _literal(new), 1)


def _united(value: Called) -> Iterator[Called]:
    if value.name == "|":
        for part in value.arguments:
            if isinstance(part, Called):
                yield from _united(part)
    else:
        yield value


def _of_transforms(value: Sequence[object], path: str) -> Mapping:
    steps: list[Step] = []
    conversions: list[Conversion] = []
    for item in value:
        if not isinstance(item, Called):
            line = f":{item.line}" if isinstance(item, Unknown) else ""
            raise DocumentError("is no transform that is stated outright", where=f"{path}{line}")
        if item.name not in _TRANSFORMS:
            known = ", ".join(sorted(_TRANSFORMS))
            raise DocumentError(f"{item.name} is not known", where=f"{path}:{item.line}", hint=f"known are {known}")
        where = f"{path.rpartition('/')[2]}:{item.line}"
        if item.name == "PrefixChange":
            steps.append(_prefix_change(item, where))
            continue
        sources, targets = (
            _texts(item, number, side, where) for number, side in enumerate(("source_patterns", "target_patterns"))
        )
        transform = Transform.of(where, sources, targets, paired=item.name == "GroupWeightRename")
        if item.name == "WeightConverter":
            conversions.append(Conversion(transform, tuple(_operations(item, where))))
        else:
            steps.append(transform)
    return Mapping("transformers' conversion mapping", tuple(steps), tuple(conversions))


def _prefix_change(item: Called, where: str) -> Transform:
    names = ("prefix_to_add", "prefix_to_remove", "model_prefix")
    add, remove, model = (
        item.options.get(name, (*item.arguments, None, None, None)[number]) for number, name in enumerate(names)
    )
    prefix = rf"{model}\." if isinstance(model, str) and model else ""
    if isinstance(add, str):
        return Transform.of(where, (rf"^{prefix}(?:(?!{add}\.))(.+)",), (rf"{prefix}{add}\.\1",))
    if isinstance(remove, str):
        return Transform.of(where, (rf"^{prefix}{remove}\.(.+)",), (rf"{prefix}\1",))
    raise DocumentError("PrefixChange names no prefix", where=where)


def _texts(item: Called, number: int, option: str, where: str) -> tuple[str, ...]:
    value = item.options.get(option, item.arguments[number] if number < len(item.arguments) else None)
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise DocumentError(f"{option} of {item.name} is computed, or no text", where=where)
    return tuple(text for text in texts if isinstance(text, str))


def _operations(item: Called, where: str) -> Iterator[Call]:
    value = item.options.get("operations", item.arguments[2] if len(item.arguments) > 2 else None)
    if not isinstance(value, list) or not value:
        raise DocumentError("operations of WeightConverter are computed, or none", where=where)
    for part in value:
        if not isinstance(part, Called):
            raise DocumentError("operations of WeightConverter are computed", where=where)
        positional = dict(zip(("dim", "dim1"), part.arguments, strict=False))
        yield Call(part.name, {**positional, **part.options})


def _rules(text: bytes, path: str) -> Mapping:
    """torch-state-bridge: a line is `old, new`; `#` starts a comment."""
    try:
        lines = text.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DocumentError("is no text in UTF-8", where=f"{path}: byte {error.start}") from error
    steps = [
        _rule(line.strip(), f"{path}:{number}")
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.strip().startswith("#")
    ]
    if not steps:
        raise DocumentError("holds no rule `old, new`", where=path)
    return Mapping("torch-state-bridge rules", tuple(steps))


def _rule(line: str, where: str) -> Template:
    old, comma, new = (part.strip() for part in line.partition(","))
    if not comma or not old or not new:
        raise DocumentError("is no rule `old, new`", where=where)
    pieces = _HOLE.split(old)
    names = pieces[1::2]
    if len(set(names)) < len(names) or not all(name.isidentifier() for name in names):
        raise DocumentError("a name is captured twice, or is no name", where=where)
    pattern = "".join(rf"(?P<{piece}>\d+)" if place % 2 else re.escape(piece) for place, piece in enumerate(pieces))
    return Template(where, re.compile(pattern), tuple(_written(new, set(names), where)))


def _written(new: str, names: set[str], where: str) -> Iterator[str | Expression]:
    done = 0
    for hole in _CAPTURE.finditer(new):
        yield new[done : hole.start()]
        done = hole.end()
        if hole.group(1) is not None and hole.group(1) not in names:
            yield hole.group(0)  # a name that was not captured is plain text there
            continue
        try:
            expression = Expression.parse(hole.group(1) or hole.group(2))
        except DocumentError as error:
            raise DocumentError(f"{hole.group(0)}: {error.message}", where=where) from error
        missing = expression.names - names
        if missing:
            raise DocumentError(f"{hole.group(0)}: {', '.join(sorted(missing))} is not captured", where=where)
        yield expression
    yield new[done:]
