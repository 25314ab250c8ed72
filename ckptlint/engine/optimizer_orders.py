"""In which orders an optimizer that numbers its parameters may have been given the weights.

One group has them in the model's order, or those of one prefix. Several groups have each their own in the model's order, and are made by
something that names show: what decays and what does not, a bias, the module at the top, the number of the layer. Every way to tell groups
apart is tried, in the order in which its groups first appear, in the reverse, and as shapes fit them; a caller takes an order only where
all ways that fit are the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final, TypeAlias

from ckptlint.core.plan import Plan
from ckptlint.engine.moments import BUFFERS

Shape: TypeAlias = tuple[int, ...]
_MOST: Final = 32  # modules at the top that are tried
_Feature: TypeAlias = Callable[[str, int], Hashable]  # of a key and its number of dimensions


def _is_norm(key: str) -> bool:
    module = key.rpartition(".")[0].rpartition(".")[2].lower()
    return any(word in module for word in ("norm", "ln", "bn"))


def _layer(key: str) -> Hashable:
    """The path to the first number, and that number; the top module where there is none."""
    parts = key.split(".")
    place = next((place for place, part in enumerate(parts) if part.isdecimal()), 0)
    return tuple(parts[: place + 1])


_FEATURES: Final[tuple[_Feature, ...]] = (
    lambda _, dims: dims > 1,
    lambda key, _: not key.endswith("bias"),
    lambda key, dims: dims > 1 and "emb" not in key,
    lambda key, dims: dims > 1 and not key.endswith("bias") and not _is_norm(key),
    lambda key, _: not (key.endswith("bias") or _is_norm(key)),
    lambda key, dims: 0 if key.endswith("bias") else 1 if _is_norm(key) or dims < 2 else 2,
    lambda key, _: key.partition(".")[0],
    lambda key, dims: (key.partition(".")[0], dims > 1),
    lambda key, _: _layer(key),
    lambda key, dims: (_layer(key), dims > 1),
    lambda key, _: ".".join(key.split(".")[:2]),
)


def parameters(plan: Plan, keys: Sequence[str], values: Mapping[str, int]) -> list[str]:
    """Return the keys that may be parameters by their names and types, each tensor once."""
    first = dict(zip(reversed([values[key] for key in keys]), reversed(keys), strict=True))
    return [
        key
        for key in keys
        if first[values[key]] == key
        and plan.specs[values[key]].dtype.kind in ("float", "complex")
        and key.rpartition(".")[2] not in BUFFERS
    ]


def arrangements(plan: Plan, shapes: Sequence[Shape | None], sizes: Sequence[int]) -> Iterator[tuple[str, ...]]:
    """Yield orders of as many weights as there are `shapes` (None where not known), in groups of these `sizes`; they may not fit."""
    keys, count = candidates(plan), len(shapes)
    if len(keys) < count or (len(keys) > count and None in shapes):
        return  # without all shapes there is no telling which are left out
    for start in range(len(keys) - count + 1):
        yield tuple(keys[start : start + count])
    if len(keys) == count and len(sizes) > 1:
        for feature in (*_FEATURES, *_one_apart(keys)):
            yield from _grouped(_parted(keys, feature, plan), shapes, sizes, plan)


def fits(keys: Sequence[str], shapes: Sequence[Shape | None], plan: Plan) -> bool:
    """Whether weights have these shapes, as far as they are known."""
    pairs = zip(keys, shapes, strict=True)
    return all(shape is None or shape == plan.source.tensors[key].shape for key, shape in pairs)


def candidates(plan: Plan) -> list[str]:
    """Return the weights that an optimizer may have, in the model's order."""
    if plan.source.parameters is not None:
        return [key for key in plan.source.parameters if key in plan.inputs]
    return parameters(plan, list(plan.inputs), plan.inputs)


def _one_apart(keys: Sequence[str]) -> Iterator[_Feature]:
    """One module at the top, and all others: a head with a rate of its own."""
    for name in list(dict.fromkeys(key.partition(".")[0] for key in keys))[:_MOST]:
        yield partial(_is_of, name)


def _is_of(name: str, key: str, dims: int) -> bool:
    del dims
    return key.partition(".")[0] == name


def _parted(keys: Sequence[str], feature: _Feature, plan: Plan) -> list[list[str]]:
    parts: dict[Hashable, list[str]] = {}
    for key in keys:
        parts.setdefault(feature(key, len(plan.source.tensors[key].shape)), []).append(key)
    return list(parts.values())


def _grouped(
    parts: list[list[str]], shapes: Sequence[Shape | None], sizes: Sequence[int], plan: Plan
) -> Iterator[tuple[str, ...]]:
    """Give each group one of the parts."""
    if len(parts) != len(sizes):
        return
    for order in (parts, parts[::-1]):
        if [len(part) for part in order] == list(sizes):
            yield tuple(key for part in order for key in part)
    start, chosen = 0, list[list[str]]()
    for size in sizes:
        wanted = shapes[start : start + size]
        alike = [part for part in parts if len(part) == size and fits(part, wanted, plan)]
        if len(alike) != 1 or alike[0] in chosen:
            return
        chosen.append(alike[0])
        start += size
    yield tuple(key for part in chosen for key in part)
