"""Checks of tensors that both sides have in different shapes, from the most telling reading to the plainest.

Each reading is a check of its own, and a tensor gets the first that fits it in the order of the registry.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import prod

from ckptlint.checks.base import MODEL, Check, Comparison, Explained, NoOptions, Pair, said
from ckptlint.core.fields import one_of, read_by
from ckptlint.core.finding import Fact

Shape = tuple[int, ...]
SHAPE_WORDS = ("actual", "expected")


def _words(pair: Pair) -> dict[str, str]:
    return {"actual": said(pair.actual), "expected": said(pair.expected)}


def _explain(pair: Pair, **words: str) -> Explained:
    return Explained(pair.key, {**_words(pair), **words}, mismatched=(pair.key,))


def reading(fits: Callable[[Shape, Shape], bool]) -> Callable[[Comparison, NoOptions], Iterator[Explained]]:
    """Return the check of all mismatched tensors whose (actual, expected) shapes fit."""

    def facts(seen: Comparison, _: NoOptions) -> Iterator[Explained]:
        for pair in seen.mismatched.values():
            if fits(pair.actual.shape, pair.expected.shape):
                yield _explain(pair)

    return facts


def one_in_a_scalar(actual: Shape, expected: Shape) -> bool:
    """Torch itself reads a vector of one element into a scalar (files of torch 0.3)."""
    return expected == () and actual == (1,)


def same_count(actual: Shape, expected: Shape) -> bool:
    """As many elements, laid out in another shape."""
    return prod(actual) == prod(expected)


def broadcastable(actual: Shape, expected: Shape) -> bool:
    """The stored tensor could be repeated along axes of size 1 to fill the model's."""
    if len(actual) > len(expected):
        return False
    padded = (1,) * (len(expected) - len(actual)) + actual
    return all(have in (1, want) for have, want in zip(padded, expected, strict=True))


def transposed(seen: Comparison, _: NoOptions) -> Iterator[Explained]:
    """The same axes in another order; `axes` is that order, where sizes leave no doubt of it."""
    for pair in seen.mismatched.values():
        actual, expected = pair.actual.shape, pair.expected.shape
        if sorted(actual) == sorted(expected):
            yield _explain(pair, axes=_order(actual, expected))


def _order(actual: Shape, expected: Shape) -> str:
    if len(set(actual)) < len(actual):
        return "one of several orders"
    return str([actual.index(size) for size in expected])


@dataclass(frozen=True, slots=True)
class ResizedOptions:
    """`axis` is the one that differs, `names` the words of which a key must hold one (none: any key will do).

    The only axis of a vector is its first one. `layers` is `several` for tensors that differ alike in more than one layer of a stack, `one`
    for the others.
    """

    axis: str = field(default="any", metadata=read_by(one_of("first", "middle", "last", "any")))
    names: tuple[str, ...] = ()
    layers: str = field(default="any", metadata=read_by(one_of("one", "several", "any")))


def resized(seen: Comparison, options: ResizedOptions) -> Iterator[Explained]:
    """Tensors with one axis of another size: a vocabulary, a head, a table of positions."""
    named = _named(seen.mismatched, options.names) if options.names else seen.mismatched
    shapes = Counter(pair.actual.shape for pair in seen.mismatched.values()) if options.layers != "any" else None
    for pair in named.values():
        axis = _only_difference(pair.actual.shape, pair.expected.shape)
        if axis is None or options.axis not in ("any", _place(axis, len(pair.actual.shape))):
            continue
        alone = shapes is not None and shapes[pair.actual.shape] == 1  # no need to look for it in other layers
        layers = "any" if shapes is None else "one" if alone else _layers(pair, seen.mismatched)
        if layers == options.layers:
            have, want = pair.actual.shape[axis], pair.expected.shape[axis]
            yield _explain(pair, axis=str(axis), have=str(have), want=str(want))


def _layers(pair: Pair, others: Mapping[str, Pair]) -> str:
    """Whether another layer of the stack has the same tensor in the same two shapes."""
    parts = pair.key.split(".")
    for place, part in enumerate(parts):
        if part.isdecimal():
            near = (".".join((*parts[:place], str(number), *parts[place + 1 :])) for number in _beside(int(part)))
            if any((each := others.get(key)) and each.actual.shape == pair.actual.shape for key in near):
                return "several"
    return "one"


def _beside(number: int) -> Iterator[int]:
    """Yield numbers of layers near one: every third block may be of another kind."""
    yield from (each for each in range(max(0, number - _NEAR), number + _NEAR + 1) if each != number)


def _named(pairs: Mapping[str, Pair], names: tuple[str, ...]) -> Mapping[str, Pair]:
    """Return the pairs with one of the names in their key, in whatever case."""
    text = "\n".join(pairs).lower()
    there = [name for name in names if name in text]
    return {key: pair for key, pair in pairs.items() if any(name in key.lower() for name in there)} if there else {}


def _place(axis: int, rank: int) -> str:
    return "first" if axis == 0 else "last" if axis == rank - 1 else "middle"


def _only_difference(actual: Shape, expected: Shape) -> int | None:
    if len(actual) != len(expected):
        return None
    found = None
    for axis, (have, want) in enumerate(zip(actual, expected, strict=True)):
        if have != want:
            if found is not None:
                return None
            found = axis
    return found


def mismatch(seen: Comparison, _: NoOptions) -> Iterator[Fact]:
    """Every tensor of another shape that no other reading has explained."""
    for pair in seen.mismatched.values():
        yield Fact(pair.key, _words(pair))


def other_width(seen: Comparison, _: NoOptions) -> Iterator[Explained]:
    """The same names in another size throughout: one size of the checkpoint always stands where one of the model stands.

    Sound only where at least half of the tensors differ, and a size changes on the input and on the output axis of matrices:
    a new head or vocabulary changes one of them. A size that stays as often as it changes is no part of it.
    """
    if len(seen.mismatched) < _MANY or len(seen.mismatched) * 2 < len(seen.pairs):
        return
    sizes = {have: size for have, size in _sizes(seen.pairs.values()).items() if size.changed > size.stayed}
    if any(len(size.wanted) > 1 for size in sizes.values()) or all(len(size.axes) < 2 for size in sizes.values()):
        return
    differing = [pair for pair in seen.mismatched.values() if _differing(pair) and _differing(pair) <= sizes.keys()]
    if len(differing) < _MANY or len(differing) * 2 < len(seen.pairs):
        return
    changes = [f"{have} -> {want}" for have, size in sorted(sizes.items()) for want in size.wanted]
    change = f"{', '.join(changes[:_NAMED])}{' ...' if len(changes) > _NAMED else ''}"
    for pair in differing:
        yield Explained(pair.key, {"sizes": change}, mismatched=(pair.key,))


_NEAR = 6  # layers
_MANY = 6  # tensors that differ, from which on they can be a variant
_NAMED = 12  # changes of size that a message lists


@dataclass(slots=True)
class _Size:
    """What became of one size of the checkpoint: how often it changed and stayed, into what, on which axes of matrices."""

    changed: int = 0
    stayed: int = 0
    wanted: set[int] = field(default_factory=set)
    axes: set[int] = field(default_factory=set)


def _sizes(pairs: Iterable[Pair]) -> dict[int, _Size]:
    """Return the sizes that change anywhere."""
    found: dict[int, _Size] = {}
    stayed: Counter[int] = Counter()
    for (actual, expected), count in Counter((pair.actual.shape, pair.expected.shape) for pair in pairs).items():
        for axis, (have, want) in enumerate(zip(actual, expected, strict=False)):
            if have == want or len(actual) != len(expected):
                stayed[have] += count
                continue
            size = found.setdefault(have, _Size())
            size.changed += count
            size.wanted.add(want)
            size.axes.update({axis} if len(actual) > 1 else ())
    for have, size in found.items():
        size.stayed = stayed[have]
    return found


def _differing(pair: Pair) -> set[int]:
    """Return the sizes of the checkpoint's tensor that the model's has otherwise; nothing where one has more axes."""
    both = zip(pair.actual.shape, pair.expected.shape, strict=False)
    return (
        {have for have, want in both if have != want} if len(pair.actual.shape) == len(pair.expected.shape) else set()
    )


WIDTH_CHECKS = {"other-width": Check(other_width, words=("sizes",), needs=MODEL, together=True)}
SHAPE_CHECKS = {
    "one-in-a-scalar": Check(reading(one_in_a_scalar), words=SHAPE_WORDS, needs=MODEL),
    "transposed": Check(transposed, words=(*SHAPE_WORDS, "axes"), needs=MODEL),
    "same-count": Check(reading(same_count), words=SHAPE_WORDS, needs=MODEL),
    "broadcastable": Check(reading(broadcastable), words=SHAPE_WORDS, needs=MODEL),
    "resized-axis": Check(resized, words=(*SHAPE_WORDS, "axis", "have", "want"), options=ResizedOptions, needs=MODEL),
    "shape-mismatch": Check(mismatch, words=SHAPE_WORDS, needs=MODEL),
}
