"""What changed between two schemas, folded by key pattern: the answer of `ckptlint diff`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ckptlint.checks.alignment import renamings
from ckptlint.checks.base import parameter_names
from ckptlint.core.families import fold
from ckptlint.core.schema import Schema
from ckptlint.core.spec import TensorSpec


@dataclass(frozen=True, slots=True)
class Change:
    """Keys that changed alike: `before` and `after` say what each is (`f32[4,8]`, with its kind where that differs).

    An added key has no `before`, a removed one no `after`. `keys` are the old ones of a moved tensor, else both sides'.
    """

    pattern: str
    keys: tuple[str, ...]
    before: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """All that differs, in the order of the keys; false where nothing does.

    `moved` are keys with another prefix (`before` and `after` are the prefixes), and they are compared under their new names;
    `tied` and `untied` are groups of keys, by the names of the second schema; `reordered` whether the keys that both have come in
    another order; `same` how many tensors are equal.
    """

    added: tuple[Change, ...] = ()
    removed: tuple[Change, ...] = ()
    changed: tuple[Change, ...] = ()
    moved: tuple[Change, ...] = ()
    tied: tuple[tuple[str, ...], ...] = ()
    untied: tuple[tuple[str, ...], ...] = ()
    reordered: bool = False
    same: int = 0

    def __bool__(self) -> bool:
        return any((self.added, self.removed, self.changed, self.moved, self.tied, self.untied, self.reordered))


def compare(old: Schema, new: Schema) -> Difference:
    """Return how `new` differs from `old`. What one side does not say (dtype, kind, ties) is no difference."""
    left = {key: spec for key, spec in old.tensors.items() if key not in new.tensors}
    needed = {key: spec for key, spec in new.tensors.items() if key not in old.tensors}
    moves = list(renamings(left, needed))
    names = {key: key for key in old.tensors if key in new.tensors}
    names |= {stored: key for move in moves for stored, key in move.pairs}
    taken = set(names.values())
    changes = _changes(old, new, names)
    return Difference(
        added=_folded({str(spec): ("", str(spec)) for spec in needed.values()}, needed, taken),
        removed=_folded({str(spec): (str(spec), "") for spec in left.values()}, left, names.keys()),
        changed=tuple(Change(each.pattern, each.keys, *said) for said, keys in changes.items() for each in fold(keys)),
        moved=tuple(
            Change(family.pattern, family.keys, move.strip, move.add)
            for move in moves
            for family in fold(stored for stored, _ in move.pairs)
        ),
        tied=_tied_anew(_renamed(old, names), new),
        untied=_tied_anew(new, _renamed(old, names)),
        reordered=_reordered(names, old, new),
        same=len(names) - sum(map(len, changes.values())),
    )


def _folded(
    said: Mapping[str, tuple[str, str]], tensors: Mapping[str, TensorSpec], matched: Collection[str]
) -> tuple[Change, ...]:
    """Fold the keys without a match, by spec."""
    by_spec: dict[str, list[str]] = {}
    for key, spec in tensors.items():
        if key not in matched:
            by_spec.setdefault(str(spec), []).append(key)
    return tuple(Change(each.pattern, each.keys, *said[spec]) for spec, keys in by_spec.items() for each in fold(keys))


def _changes(old: Schema, new: Schema, names: Mapping[str, str]) -> dict[tuple[str, str], list[str]]:
    """Return the new keys of matched tensors that differ, by what they were and are."""
    kinds = _kinds(old), _kinds(new)
    found: dict[tuple[str, str], list[str]] = {}
    for stored, key in names.items():
        before, after = old.tensors[stored], new.tensors[key]
        was, now = kinds[0].get(stored, ""), kinds[1].get(key, "")
        moved_kind = was != now and was and now
        if moved_kind:
            found.setdefault((f"{before} {was}", f"{after} {now}"), []).append(key)
        elif not before.agrees(after):
            found.setdefault((str(before), str(after)), []).append(key)
    return found


def _kinds(schema: Schema) -> dict[str, str]:
    """Return parameter or buffer by key; nothing where the schema does not tell them apart."""
    parameters = parameter_names(schema)
    if parameters is None:
        return {}
    return {key: "parameter" if key in parameters else "buffer" for key in schema.tensors}


def _renamed(schema: Schema, names: Mapping[str, str]) -> Schema:
    """Return a schema whose ties go by the new names of its keys."""
    ties = (tuple(names.get(key, key) for key in group) for group in schema.ties)
    return Schema({names.get(k, k): spec for k, spec in schema.tensors.items()}, schema.parameters, tuple(ties))


def _tied_anew(before: Schema, after: Schema) -> tuple[tuple[str, ...], ...]:
    """Return the groups tied in `after`, of keys that both have, that are several tensors in `before`."""
    if before.parameters is None and not before.ties:
        return ()  # it may not know
    leader = {key: group[0] for group in before.ties for key in group}
    groups = (tuple(key for key in group if key in before.tensors) for group in after.ties)
    return tuple(group for group in groups if len({leader.get(key, key) for key in group}) > 1)


def _reordered(names: Mapping[str, str], old: Schema, new: Schema) -> bool:
    taken = set(names.values())
    return [names[key] for key in old.tensors if key in names] != [key for key in new.tensors if key in taken]
