"""What a checkpoint holds, as text for people and as plain data for JSON."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase

from ckptlint.core.checkpoint import Checkpoint, Section
from ckptlint.core.families import fold
from ckptlint.core.paths import ambiguous
from ckptlint.core.tree import Composite, Tensor
from ckptlint.engine.tree_notation import Plain, opened_notation, tree_notation
from ckptlint.report.escape import escape
from ckptlint.report.plans import size

_WIDTH = 60  # columns of keys before their specs
_MOST_OF_A_LIST = 8  # different values of a list; more are counted
_NUMBER = re.compile(r"/[0-9]+(?=/|$)")


def text(checkpoint: Checkpoint, pattern: str, *, flat: bool) -> Iterator[str]:
    """Sections with their keys folded, then what else is in the tree. `pattern` is a glob over tree paths and keys."""
    held = sum(storage.nbytes for storage in checkpoint.storages)
    yield escape(
        f"{checkpoint.origin}: {checkpoint.format}, {len(checkpoint.storages)} storages, {size(held)}{_noted(checkpoint)}"
    )
    for section in checkpoint.sections:
        keys = [key for key in section.tensors if _selected(section, key, pattern)]
        if keys or not pattern:
            yield ""
            yield escape(_headline(section))
            yield from map(escape, _keys(section, keys, flat=flat))
    rest = list(_rest(checkpoint, pattern, flat=flat))
    if rest:
        yield ""
        yield "beside the sections:"
        yield from map(escape, rest)
    for path in ambiguous(checkpoint.root):
        yield escape(f"note: {path} has keys that differ only in their type, such as 0 and '0'")


def entry(checkpoint: Checkpoint, pattern: str, digest: Callable[[Tensor], str] | None) -> dict[str, object]:
    """The object that `--format json` prints; `docs/json.md` describes it."""
    tree = tree_notation(checkpoint.root, digest)
    return {
        "version": 1,
        "checkpoint": checkpoint.origin,
        "format": checkpoint.format,
        "tree": {path: leaf for path, leaf in tree.items() if not pattern or _path_selected(path, pattern)},
        "sections": [_section(section) for section in checkpoint.sections],
        "notes": dict(checkpoint.notes),
    }


def _section(section: Section) -> dict[str, object]:
    schema = section.schema()
    return {
        "path": section.path,
        "kind": str(section.kind),
        "module": section.module,
        "tensors": len(schema.tensors),
        "elements": schema.numel,
        "bytes": sum(spec.nbytes for spec in schema.tensors.values()),
        "ties": [list(group) for group in schema.ties],
        "versions": dict(section.versions),
        "repeated": list(section.repeated),
    }


def _headline(section: Section) -> str:
    schema = section.schema()
    what = f"{section.kind}, a whole pickled module" if section.module else str(section.kind)
    return f"{section.path}  {what}, {len(schema.tensors)} tensors, {schema.numel:,} elements"


def _noted(checkpoint: Checkpoint) -> str:
    shown = {
        name: note
        for name, note in checkpoint.notes.items()
        if name in ("protocol", "unpacked", "constants") or (name, note) == ("byteorder", "big")
    }
    return "".join(f", {name} {note}" for name, note in shown.items())


def _keys(section: Section, keys: list[str], *, flat: bool) -> Iterator[str]:
    first = {key: group[0] for group in section.schema().ties for key in group[1:]}
    specs: dict[str, list[str]] = {}
    for key in keys:
        said = _spec(section.tensors[key]) + (f"  = {first[key]}" if key in first else "")
        specs.setdefault(said if not flat else f"{said}\0{key}", []).append(key)
    place = {key: number for number, key in enumerate(keys)}
    families = [(family, said.partition("\0")[0]) for said, members in specs.items() for family in fold(members)]
    families.sort(key=lambda each: place[each[0].keys[0]])
    lines = [(family.pattern, said) for family, said in families]
    width = min(_WIDTH, max((len(pattern) for pattern, _ in lines), default=0))
    for pattern, said in lines:
        yield f"  {pattern:<{width}}  {said}"
    if section.others:
        yield f"  and {len(section.others)} entries that are no tensors: {', '.join(list(section.others)[:4])}"


def _spec(tensor: Tensor | Composite) -> str:
    lazy = tensor.lazy
    return f"{tensor.spec} {' '.join(lazy)}" if lazy else str(tensor.spec)


def _rest(checkpoint: Checkpoint, pattern: str, *, flat: bool) -> Iterator[str]:
    """Leaves outside of all sections, equal ones of one kind under folded paths; long lists of numbers are counted."""
    homes = [section.path for section in checkpoint.sections]
    inside = tuple(home.rstrip("/") + mark for home in homes for mark in ("/", "@"))
    leaves: dict[tuple[str, str], list[str]] = {}
    for path, leaf in opened_notation(checkpoint.root).items():
        within = path in homes or path.startswith(inside)
        if not within and _path_selected(path, pattern):
            home = path if flat else _NUMBER.sub("/#", path.rpartition("/")[0])
            leaves.setdefault((home, _leaf(leaf)), []).append(path)
    lines = [(family.pattern, said) for (_home, said), paths in leaves.items() for family in fold(paths)]
    yield from (f"  {place}  {said}" for place, said in (lines if flat else _lists_counted(lines)))


def _lists_counted(lines: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Join the lines of a list that has many different values."""
    listed: dict[str, list[tuple[str, str]]] = {}
    for place, said in lines:
        above, _, last = place.rpartition("/")
        listed.setdefault(above if last.isdecimal() else place, []).append((place, said))
    for above, members in listed.items():
        if len(members) > _MOST_OF_A_LIST:
            yield f"{above}/*", f"{len(members)} different values, the first is {members[0][1]}"
        else:
            yield from members


def _leaf(leaf: Mapping[str, Plain]) -> str:
    kind, value = next(iter(leaf.items()))
    if kind == "tensor" and isinstance(value, list):
        return f"{value[0]}{value[1]}{' ' + str(leaf['layout']) if 'layout' in leaf else ''}"
    return f"an object of {value}" if kind == "opaque" else f"empty {value}" if kind == "empty" else repr(value)


def _selected(section: Section, key: str, pattern: str) -> bool:
    return not pattern or fnmatchcase(key, pattern) or _path_selected(f"{section.path.rstrip('/')}/{key}", pattern)


def _path_selected(path: str, pattern: str) -> bool:
    return not pattern or fnmatchcase(path, pattern) or fnmatchcase(path.rpartition("/")[2], pattern)
