"""Write what was resized as comments: the rewrites of which the user takes one, each as it is written once the `# ` before it is gone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from math import isqrt
from typing import Final

from ckptlint.core.dtype import ANY
from ckptlint.core.schema import Schema
from ckptlint.engine.suggest.names import words
from ckptlint.engine.suggest.rewriting import patterns
from ckptlint.engine.suggest.suggestion import Match, Resized

_POSITIONS: Final = frozenset(("pos", "position", "positional", "wpe"))
_MOST_EXTRA: Final = 2  # class and distillation tokens before the positions of a grid
_MOST_NEW: Final = 8  # keys that are listed as new


def resized_lines(found: Iterable[Resized], new: Schema) -> Iterator[str]:
    """Comments for every pair: what differs, and each operation that would do."""
    for each in found:
        old, other = each.source.shape, each.target.shape
        yield f"# resized: {each.source} {_listed(old)} is {each.target} {_listed(other)} ({each.why}). Take one, without the `# `:"
        for said, lines in _choices(each, new):
            yield f"# {said}:"
            yield from (f"# {line}" for line in lines)


def _listed(shape: Iterable[int]) -> str:
    return f"[{', '.join(map(str, shape))}]"


def _choices(each: Resized, new: Schema) -> Iterator[tuple[str, list[str]]]:
    """The ways to make the target, each as the lines of its rewrites."""
    if _of_positions(each):
        yield from ((said, _rewrite(each, ops)) for said, ops in _interpolated(each))
    if len(each.dims) == 2:
        sizes = [each.target.shape[dim] for dim in each.dims]
        yield "the kernel resampled", _rewrite(each, [f"resample_patch: {{dims: {list(each.dims)}, to: {sizes}}}"])
    else:
        yield from ((said, _rewrite(each, [op])) for said, op in _cut_or_padded(each))
    if len(each.target.keys) <= _MOST_NEW:
        yield "as new, the old one dropped", _anew(each, new)


def _rewrite(each: Resized, ops: Iterable[str]) -> list[str]:
    (source,), (target,) = patterns(Match("reshape", (each.source,), (each.target,), 0.0, ()))
    return [
        f"  - from: {json.dumps(source)}",
        f"    to: {json.dumps(target)}",
        "    ops:",
        *(f"      - {op}" for op in ops),
    ]


def _of_positions(each: Resized) -> bool:
    named = {word for family in (each.source, each.target) for segment in family.template for word in words(segment)}
    return len(each.dims) == 1 and bool(named & _POSITIONS)


def _interpolated(each: Resized) -> Iterator[tuple[str, list[str]]]:
    """Positions of an image, where both counts are squares but for the same few tokens before them; else those of a line."""
    dim, shape = each.dims[0], each.source.shape
    before, after = shape[dim], each.target.shape[dim]
    image = False
    for extra in range(_MOST_EXTRA + 1):
        old, new = isqrt(max(before - extra, 0)), isqrt(max(after - extra, 0))
        if min(old, new) > 1 and old * old == before - extra and new * new == after - extra:
            image = True
            yield f"positions of {old} x {old} for {new} x {new}", _grid(len(shape), dim, extra, (old, new))
    if not image:
        yield "positions of a line", [f"interpolate: {{dims: [{dim}], to: [{after}]}}"]


def _grid(rank: int, dim: int, extra: int, sizes: tuple[int, int]) -> list[str]:
    """Cut off the tokens before the grid, resize it as an image, and put them back."""
    axes = ["abdefg"[place] for place in range(rank)]
    flat = " ".join("(h w)" if place == dim else axis for place, axis in enumerate(axes))
    image = " ".join("h w" if place == dim else axis for place, axis in enumerate(axes))
    old, new = sizes
    only = ", only: [1]" if extra else ""
    resize = f"interpolate: {{dims: [{dim}, {dim + 1}], to: [{new}, {new}], mode: bicubic, antialias: true}}"
    steps = [
        f'{{rearrange: "{flat} -> {image}", h: {old}{only}}}',
        f"{{{resize}{only}}}",
        f'{{rearrange: "{image} -> {flat}"{only}}}',
    ]
    if not extra:
        return steps
    return [f"split: {{dim: {dim}, sizes: [{extra}, {old * old}]}}", *steps, f"concat: {{dim: {dim}}}"]


def _cut_or_padded(each: Resized) -> Iterator[tuple[str, str]]:
    dim = each.dims[0]
    before, after = each.source.shape[dim], each.target.shape[dim]
    if after < before:
        yield f"the first {after} of {before}", f"slice: {{dim: {dim}, stop: {after}}}"
    else:
        yield (
            f"{after - before} more, each the mean of those that are there",
            f"pad: {{dim: {dim}, to: {after}, fill: mean}}",
        )
    names = f"{{file: old.json}}, new: {{file: new.json}}, dim: {dim}, missing: mean"
    yield "by the names of the rows (files of your own)", f"remap_rows: {{old: {names}}}"


def _anew(each: Resized, new: Schema) -> list[str]:
    lines = []
    for key in each.target.keys:
        spec = new.tensors[key]
        dtype = "f32" if spec.dtype is ANY else spec.dtype.name
        lines.append(f"  - new: {{key: {json.dumps(key)}, shape: {_listed(spec.shape)}, dtype: {dtype}, fill: zeros}}")
    reason = f"it has another size, {_listed(each.source.shape)}"
    return [
        *lines,
        f"  - drop: {{keys: [{', '.join(map(json.dumps, each.source.keys))}], reason: {json.dumps(reason)}}}",
    ]
