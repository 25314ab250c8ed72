"""A list of which the source has a part: its numbers are names where they leave a gap, as layers 12 to 23 do, or 0, 2 and 5.

Where the source has the first of more layers nothing says that these are the same ones: the model may have been made deeper anywhere.
Layers 1, 2, 3 of a source may be the first ones, too, which it counts from 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace

from ckptlint.engine.suggest.families import HOLE, Family, Segments, unfolded, without


def cut_to(old: Sequence[Family], new: Sequence[Family]) -> tuple[Family, ...]:
    """The target's families, with those layers apart that a source with a part of a list does not have."""
    parts = _parts(old, new)
    found: list[Family] = []
    for family in new:
        numbers = parts.get(_list_of(family))
        if numbers is None:
            found.append(family)
            continue
        ranks = {number: rank for rank, number in enumerate(sorted(numbers))}
        others = frozenset(key for index, key in family.members.items() if index[0] not in ranks)
        inside = without(family, others)
        if inside is not None:
            places = tuple(
                (ranks[index[0]], *place[1:]) for index, place in zip(inside.members, inside.places, strict=True)
            )
            found.append(replace(inside, places=places))
        found += [one for one in unfolded([family]) if one.keys[0] in others]
    return tuple(found)


def _parts(old: Iterable[Family], new: Iterable[Family]) -> dict[Segments, set[int]]:
    """The numbers that the source has, of each list of the target of which it has a part with a gap."""
    mine, theirs = _by_content(old), _by_content(new)
    found: dict[Segments, set[int]] = {}
    for content in mine.keys() & theirs.keys():
        if len(mine[content]) == len(theirs[content]) == 1:
            numbers, (path, every) = mine[content][0][1], theirs[content][0]
            if numbers < every and not _are_first(numbers, every):
                found[path] = numbers
    return found


def _are_first(numbers: set[int], every: set[int]) -> bool:
    """Whether these may be the first of all, or are numbered from 1 on."""
    return numbers == set(sorted(every)[: len(numbers)]) or numbers == set(range(1, len(numbers) + 1))


def _by_content(families: Iterable[Family]) -> dict[Hashable, list[tuple[Segments, set[int]]]]:
    """The lists by what each of their layers holds, with their numbers; none whose layers differ."""
    lists: dict[Segments, list[Family]] = {}
    for family in families:
        if family.depth:
            lists.setdefault(_list_of(family), []).append(family)
    found: dict[Hashable, list[tuple[Segments, set[int]]]] = {}
    for path, inside in lists.items():
        numbers = {index[0] for family in inside for index in family.members}
        even = all(family.uniform and len(family.members) % len(numbers) == 0 for family in inside)
        if even:
            held = Counter((family.shape, len(family.members) // len(numbers)) for family in inside)
            found.setdefault(frozenset(held.items()), []).append((path, numbers))
    return found


def _list_of(family: Family) -> Segments:
    return family.template[: family.template.index(HOLE) + 1] if family.depth else ()
