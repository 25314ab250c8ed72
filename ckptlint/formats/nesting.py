"""A nested state dict from flattened keys, by the paths that they were flattened from."""

from __future__ import annotations

from collections.abc import Mapping

from ckptlint.core.tree import Dict, List, Value
from ckptlint.errors import FormatError

_SPARE = 1000  # places of a list that may be empty: torch leaves out what is empty


class _Branch(dict[str | int, "Value | _Branch"]):
    """A container that is being filled."""


def nest(leaves: Mapping[str, Value], paths: Mapping[str, tuple[str | int, ...]], where: str) -> Dict:
    """Put each leaf at its path, and at its own key where it has none.

    A container with numbers alone is a list, as torch makes one. Two leaves at one place, or one inside another, are a `FormatError`.
    """
    root = _Branch()
    for key, leaf in leaves.items():
        path = paths.get(key, (key,))
        branch = root
        for step in path[:-1]:
            below = branch.setdefault(step, _Branch())
            if not isinstance(below, _Branch):
                raise _clash(key, path, where)
            branch = below
        if path[-1] in branch:
            raise _clash(key, path, where)
        branch[path[-1]] = leaf
    return _filled(root, where)


def _clash(key: str, path: tuple[str | int, ...], where: str) -> FormatError:
    place = "/".join(map(str, path))
    return FormatError(
        f"puts {key!r} at {place!r}, where something else is already", where=where, hint="the file is damaged"
    )


def _filled(root: _Branch, where: str) -> Dict:
    """Turn branches into nodes, innermost last, without recursion: a path may have any length."""
    made = Dict([])
    pending: list[tuple[_Branch, Dict | List]] = [(root, made)]
    while pending:
        branch, node = pending.pop()
        entries: list[tuple[Value, Value]] = []
        for step, value in branch.items():
            below = _container(value) if isinstance(value, _Branch) else None
            if isinstance(value, _Branch) and below is not None:
                pending.append((value, below))
            entries.append((step, below if isinstance(value, _Branch) else value))
        if isinstance(node, Dict):
            node.items.extend(entries)
        else:
            node.items.extend(_list(entries, where))
    return made


def _container(branch: _Branch) -> Dict | List:
    return List([]) if all(type(step) is int for step in branch) else Dict([])


def _list(entries: list[tuple[Value, Value]], where: str) -> list[Value]:
    by_place = {step: value for step, value in entries if type(step) is int}
    if min(by_place) < 0 or max(by_place) > len(by_place) + _SPARE:
        raise FormatError(
            f"has a list of {len(by_place)} values with a place {max(by_place)}",
            where=where,
            hint="the file is damaged",
        )
    return [by_place.get(place) for place in range(max(by_place) + 1)]
