"""Whether the order of keys says anything: that of registration does, the alphabet does not, nor does one that names contradict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Final

from ckptlint.engine.suggest.families import HOLE, Family, Segments

_SORTED: Final = 0.97  # of neighbours, so many stand in the order of the alphabet: somebody sorted them
_AGREE: Final = 0.9


def block_of(template: Segments) -> Segments:
    """The path up to the innermost number."""
    for place in range(len(template) - 1, -1, -1):
        if template[place] == HOLE or template[place].isdigit():
            return template[: place + 1]
    return ()


def is_sorted(families: Sequence[Family]) -> bool:
    """Whether the families stand in the order of the alphabet, block by block."""
    blocks: dict[Segments, list[Segments]] = {}
    for family in families:
        blocks.setdefault(block_of(family.template), []).append(family.template)
    rising = [one < other for block in blocks.values() for one, other in pairwise(block)]
    return bool(rising) and sum(rising) >= _SORTED * len(rising)


def agrees(pairs: Iterable[tuple[Family, Family]]) -> bool:
    """Whether pairs that names decided stand in one order on both sides, block by block."""
    blocks: dict[tuple[Segments, Segments], list[tuple[int, int]]] = {}
    for old, new in pairs:
        blocks.setdefault((block_of(old.template), block_of(new.template)), []).append((old.order, new.order))
    rising = [one[1] < other[1] for block in blocks.values() for one, other in pairwise(sorted(block))]
    return sum(rising) >= _AGREE * len(rising)


def places(templates: Iterable[Segments]) -> Mapping[Segments, int]:
    return {template: place for place, template in enumerate(templates)}
