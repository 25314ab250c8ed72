"""The pattern of a rearrange: which axes a tensor has before and after, as `(g t d) ... -> g t d ...`.

The grammar is that of einops for one tensor. A name is an axis; names in parentheses lie within one dimension, the last varying
fastest; `...` is any number of dimensions; `1` and `()` are a dimension of size one; another number is an axis of that size, and the
same number on the other side is the same axis.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from math import prod
from typing import TypeAlias

from ckptlint.core.spec import TensorSpec
from ckptlint.errors import DocumentError, ShapeError

ELLIPSIS = "..."
FOLDED = "(...)"  # an ellipsis within parentheses: all its dimensions are one
Group: TypeAlias = tuple[str, ...]
_WORD = re.compile(r"->|\.\.\.|[A-Za-z][A-Za-z0-9_]*|[0-9]+|\S")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
_AXIS = re.compile(r"(?:\.\.\.|[A-Za-z][A-Za-z0-9_]*|[0-9]+)\Z")


@dataclass(frozen=True, slots=True)
class Side:
    """The dimensions on one side of the arrow, each a group of axes; an empty group is a dimension of size one."""

    groups: tuple[Group, ...]

    def __str__(self) -> str:
        return " ".join(map(_written, self.groups))

    @property
    def axes(self) -> Group:
        return tuple(chain.from_iterable(self.groups))

    @property
    def plain_axes(self) -> frozenset[str]:
        return frozenset(ELLIPSIS if axis == FOLDED else axis for axis in self.axes)

    def expanded(self, rank: int, names: Group = ()) -> Side:
        """Put `rank` axes in the place of an ellipsis, called `names` or `...0`, `...1` and so on."""
        inner = names or tuple(f"{ELLIPSIS}{number}" for number in range(rank))
        groups: list[Group] = []
        for group in self.groups:
            if group == (ELLIPSIS,):
                groups += [(axis,) for axis in inner]
            else:
                groups.append(tuple(chain.from_iterable(inner if axis == FOLDED else (axis,) for axis in group)))
        return Side(tuple(groups))


@dataclass(frozen=True, slots=True)
class Axes:
    """A parsed pattern. `str()` writes it back."""

    left: Side
    right: Side

    def __str__(self) -> str:
        return f"{self.left} -> {self.right}"

    @property
    def names(self) -> frozenset[str]:
        return frozenset(axis for axis in self.left.axes if _NAME.match(axis))

    def swapped(self) -> Axes | None:
        """Return the pattern that leads back, None where an ellipsis in parentheses would have to be taken apart."""
        return None if FOLDED in self.right.axes else Axes(self.right, self.left)

    def expanded(self, rank: int) -> Axes:
        """Give the dimensions of an ellipsis names of their own, that no other axis has."""
        free = (name for name in map("e{}".format, range(rank + len(self.left.axes))) if name not in self.left.axes)
        names = tuple(name for name, _ in zip(free, range(rank), strict=False))
        return Axes(self.left.expanded(rank, names), self.right.expanded(rank, names))

    def check(self, sizes: Iterable[str]) -> None:
        """Raise `DocumentError` where sizes are given for what is no axis, or where too few are given to tell all sizes."""
        sizes = frozenset(sizes)
        for name in sorted(sizes - self.names):
            raise DocumentError(
                f"{name!r} is no axis of {str(self)!r}", hint=f"its axes are {', '.join(sorted(self.names))}"
            )
        for group in self.left.groups:
            unknown = self._unknown(group, sizes)
            if len(unknown) > 1:
                raise DocumentError(
                    f"{_written(group)} leaves the sizes of {' and '.join(unknown)} open",
                    hint=f"give all but one, for example {unknown[0]}: 2",
                )

    def decided_by(self, sizes: Mapping[str, int]) -> bool:
        """Whether these sizes and a tensor's shape tell the sizes of all axes."""
        given = frozenset(sizes)
        groups = [(len(self._unknown(group, given)), group) for group in self.left.groups]
        return all(count == 0 or (count == 1 and all(sizes.get(axis, 1) for axis in group)) for count, group in groups)

    def _unknown(self, group: Group, sizes: frozenset[str]) -> list[str]:
        return [axis for axis in group if axis in self.names and axis not in sizes]


@dataclass(frozen=True, slots=True)
class Moves:
    """What a pattern is for one shape: reshape to `elementary`, permute by `order`, reshape to `shape`; `sizes` of all axes."""

    elementary: tuple[int, ...]
    order: tuple[int, ...]
    shape: tuple[int, ...]
    sizes: Mapping[str, int]


@lru_cache(maxsize=1024)
def parse(text: str) -> Axes:
    """Read a pattern; `DocumentError` says what is wrong with it."""
    words = _WORD.findall(text)
    if words.count("->") != 1:
        raise DocumentError(f"{text!r} should have one '->'", hint="write it as a b -> b a")
    arrow = words.index("->")
    axes = Axes(Side(tuple(_groups(words[:arrow], text))), Side(tuple(_groups(words[arrow + 1 :], text))))
    if FOLDED in axes.left.axes:
        raise DocumentError(f"{text!r} has '...' in parentheses on the left", hint="name its axes there")
    for side, other, which in ((axes.left, axes.right, "left"), (axes.right, axes.left, "right")):
        for axis in side.axes:
            if side.axes.count(axis) > 1:
                raise DocumentError(f"{text!r} has {axis} twice on the {which}", hint="give the axes names")
        for axis in sorted(side.plain_axes - other.plain_axes):
            raise DocumentError(f"{text!r} has {axis} on the {which} only", hint="a rearrange keeps all elements")
    return axes


def bind(axes: Axes, spec: TensorSpec, sizes: Mapping[str, int]) -> Moves:
    """Fit a pattern to a tensor, working out one unknown size a dimension; `ShapeError` where it does not fit."""
    named = sum(group != (ELLIPSIS,) for group in axes.left.groups)
    rank = len(spec.shape) - named
    if rank < 0 or (rank > 0 and ELLIPSIS not in axes.left.axes):
        atleast = "at least " if ELLIPSIS in axes.left.axes else ""
        raise ShapeError(f"{spec} has {len(spec.shape)} dimensions, not {atleast}{named} as in '{axes.left}'")
    left, right = axes.left.expanded(rank), axes.right.expanded(rank)
    known = dict(sizes)
    for dim, group in enumerate(left.groups):
        _solve(group, dim, spec, known)
    order = tuple(map({axis: at for at, axis in enumerate(left.axes)}.__getitem__, right.axes))
    shape = tuple(prod(known[axis] for axis in group) for group in right.groups)
    return Moves(tuple(known[axis] for axis in left.axes), order, shape, known)


def _solve(group: Group, dim: int, spec: TensorSpec, known: dict[str, int]) -> None:
    """Put the sizes of a dimension's axes into `known`."""
    known.update((axis, int(axis)) for axis in group if axis.isdigit())
    unknown = [axis for axis in group if axis not in known]
    rest = prod(known[axis] for axis in group if axis in known)
    size = spec.shape[dim]
    if unknown and rest and size % rest == 0:
        known[unknown[0]] = size // rest
    elif unknown or size != rest:
        what = f"a multiple of {rest}" if unknown else str(rest)
        raise ShapeError(f"{spec} has {size} along {dim}, not {what} as in {_with_sizes(group, known)}")


def _with_sizes(group: Group, known: Mapping[str, int]) -> str:
    """The group as it is written, and the sizes that its names have."""
    factors = ", ".join(f"{axis} = {known[axis]}" for axis in group if axis in known and not axis.isdigit())
    return f"{_written(group)} with {factors}" if factors else _written(group)


def _groups(words: list[str], text: str) -> Iterator[Group]:
    inside: list[str] | None = None
    for word in words:
        if word == "(" and inside is None:
            inside = []
        elif word == ")" and inside is not None:
            yield tuple(inside)
            inside = None
        elif not _AXIS.match(word):
            raise DocumentError(f"{text!r} has a stray {word!r}", hint="parentheses cannot be nested")
        elif inside is None:
            yield _axis(word, text)
        else:
            inside += (FOLDED,) if word == ELLIPSIS else _axis(word, text)
    if inside is not None:
        raise DocumentError(f"{text!r} has a '(' that is never closed")


def _axis(word: str, text: str) -> Group:
    """Return the axis a word names, nothing for `1`."""
    if not word.isdigit():
        return (word,)
    if word[0] == "0" or len(word) > 18:
        raise DocumentError(f"{text!r} has {word} for the size of an axis")
    return () if word == "1" else (word,)


def _written(group: Group) -> str:
    if len(group) == 1:
        return group[0]
    return f"({' '.join(ELLIPSIS if axis == FOLDED else axis for axis in group)})" if group else "1"
