"""Siblings of one form that changed places: a model of the same keys that may mean them otherwise, which no key or shape tells."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from ckptlint.core.schema import Schema

Signature = tuple[tuple[str, str], ...]


def exchanged(old: Schema, new: Schema) -> Iterator[tuple[str, str, str]]:
    """The module, and two names in it below which there are the same keys and shapes, that come in the other order in `new`.

    Of modules in numbered lists one stands for all: `blocks.*`.
    """
    before, after = _children(old), _children(new)
    seen: set[tuple[str, str, str]] = set()
    for parent, names in before.items():
        order = {name: place for place, name in enumerate(after.get(parent, ()))}
        alike: dict[Signature, list[str]] = {}
        for name, signature in names.items():
            if after.get(parent, {}).get(name) == signature:
                alike.setdefault(signature, []).append(name)
        for group in alike.values():
            for first, second in pairwise(group):
                found = (_unnumbered(parent), first, second)
                if order[first] > order[second] and found not in seen:
                    seen.add(found)
                    yield found


def _children(schema: Schema) -> dict[str, dict[str, Signature]]:
    """By module, the names in it in their order, each with the keys and specs below it."""
    below: dict[str, dict[str, list[tuple[str, str]]]] = {}
    for key, spec in schema.tensors.items():
        names = key.split(".")
        for length in range(len(names)):
            rest = ".".join(names[length + 1 :])
            below.setdefault(".".join(names[:length]), {}).setdefault(names[length], []).append((rest, str(spec)))
    return {
        parent: {name: tuple(sorted(keys)) for name, keys in names.items() if not name.isdecimal()}
        for parent, names in below.items()
    }


def _unnumbered(path: str) -> str:
    return ".".join("*" if name.isdecimal() else name for name in path.split("."))
