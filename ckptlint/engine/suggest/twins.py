"""Pairs that values decided: whole families where all agree, else key by key, as where layers were permuted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from ckptlint.engine.suggest.families import Family, unfolded, without
from ckptlint.engine.suggest.suggestion import Match

_SURE: Final = 0.99
_EVIDENCE: Final = ("values",)


def by_values(
    old: Sequence[Family], new: Sequence[Family], twins: Mapping[str, str]
) -> tuple[list[Match], tuple[Family, ...], tuple[Family, ...]]:
    """Match what `twins` (old key to new key) pair; return the matches, and the families with those that had to be cut up."""
    owner = {key: (family, number) for family in new for number, key in enumerate(family.keys)}
    matches: list[Match] = []
    apart: dict[str, str] = {}
    for family in old:
        known = [(number, twins[key]) for number, key in enumerate(family.keys) if key in twins]
        whole = _whole(family, known, owner)
        if whole is not None:
            matches.append(Match("rename", (family,), (whole,), _SURE, _EVIDENCE))
        else:
            apart.update((family.keys[number], target) for number, target in known)
    old_cut, old_single = _cut(old, apart.keys())
    new_cut, new_single = _cut(new, apart.values())
    matches += [
        Match("rename", (old_single[source],), (new_single[target],), _SURE, _EVIDENCE)
        for source, target in apart.items()
        if target in new_single
    ]
    return matches, old_cut, new_cut


def _whole(family: Family, known: Sequence[tuple[int, str]], owner: Mapping[str, tuple[Family, int]]) -> Family | None:
    """The family that all twins of this one are in, each at the same place; None where they are not, or are the lesser part."""
    if not known or 2 * len(known) < len(family.members):
        return None
    other = owner[known[0][1]][0]
    same = other.places == family.places and other.shapes == family.shapes
    return other if same and all(owner[target] == (other, number) for number, target in known) else None


def _cut(families: Sequence[Family], keys: Iterable[str]) -> tuple[tuple[Family, ...], dict[str, Family]]:
    """Cut these keys out of their families; return all families, and each such key's own."""
    wanted = set(keys)
    cut: list[Family] = []
    single: dict[str, Family] = {}
    for family in families:
        if wanted.isdisjoint(family.keys):
            cut.append(family)
            continue
        single |= {each.keys[0]: each for each in unfolded([family]) if each.keys[0] in wanted}
        rest = without(family, wanted)
        if rest is not None:
            cut.append(rest)
    return (*cut, *single.values()), single
