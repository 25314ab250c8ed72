"""Names of one tensor: made one, taken apart, and kept together through a stage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ckptlint.core.migration import Tie, Untie
from ckptlint.engine.board import CLONE, Board
from ckptlint.engine.faults import MATCHES_NOTHING, NOT_TIED, TIED_APART, Faults

Fate = tuple[int, ...] | None  # the values that a key became; None where it was dropped


def shared(values: Mapping[str, int]) -> dict[int, list[str]]:
    """Return the values that have several names, with their names in order."""
    if len(set(values.values())) == len(values):
        return {}
    names: dict[int, list[str]] = {}
    for key, value in values.items():
        names.setdefault(value, []).append(key)
    return {value: keys for value, keys in names.items() if len(keys) > 1}


def tie(rewrite: Tie, values: dict[str, int], board: Board, faults: Faults) -> None:
    """Let the keys, and all other names of their tensors, be names of the first key's tensor."""
    if not _present(rewrite, values, faults):
        return
    first = values[rewrite.keys[0]]
    others = dict.fromkeys(values[key] for key in rewrite.keys if values[key] != first)
    for other in others:
        if board.specs[other] != board.specs[first]:
            keys = [key for key in rewrite.keys if values[key] == other]
            text = f"is {board.specs[other]}, and cannot be one tensor with {rewrite.keys[0]}, which is {board.specs[first]}"
            faults.add(NOT_TIED, text, keys=keys, where=rewrite.where)
            return
        board.must_equal.append((first, other))
        ranks = [rank for rank in (board.ranks[first], board.ranks[other]) if rank is not None]
        board.ranks[first] = min(ranks, default=None)
    for key, value in values.items():
        if value in others:
            values[key] = first


def untie(rewrite: Untie, values: dict[str, int], board: Board, faults: Faults) -> None:
    """Give the keys tensors of their own; where all names of a tensor are listed, the first of them keeps it."""
    if not _present(rewrite, values, faults):
        return
    names = shared(values)
    for value in dict.fromkeys(values[key] for key in rewrite.keys):
        apart = [key for key in dict.fromkeys(rewrite.keys) if values[key] == value]
        if value not in names:
            if not rewrite.optional:
                faults.add(NOT_TIED, "is the only name of its tensor", keys=apart, where=rewrite.where)
            continue
        for key in apart[1:] if len(apart) == len(names[value]) else apart:
            (values[key],) = board.fresh(CLONE, (value,), rewrite.where)


def check_fates(values: Mapping[str, int], fates: Mapping[str, Fate], faults: Faults) -> None:
    """Note the names of one tensor that a stage treats differently. Leaving some of the names out is no difference."""
    for keys in shared(values).values():
        left = {fates[key] for key in keys if fates.get(key) is not None}
        if len(left) > 1:
            hint = "treat all names alike, drop some of them, or `untie` them first"
            faults.add(TIED_APART, "names of one tensor, which would become different ones", keys=keys, hint=hint)


def ties_of(outputs: Mapping[str, int]) -> tuple[tuple[str, ...], ...]:
    """Return the groups of keys that are one tensor, as a schema holds them."""
    return tuple(tuple(keys) for keys in shared(outputs).values())


def _present(rewrite: Tie | Untie, values: Iterable[str], faults: Faults) -> bool:
    missing = [key for key in rewrite.keys if key not in values]
    if missing and not rewrite.optional:
        faults.add(MATCHES_NOTHING, "is not there", keys=missing, where=rewrite.where)
    return not missing and bool(rewrite.keys)
