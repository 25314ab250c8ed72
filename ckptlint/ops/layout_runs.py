"""Cutting symbolic values into what can be copied or computed by itself: byte runs, blocks, and ranges of the row-major sequence."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Final, NamedTuple

from ckptlint.ops.layout_kit import LayoutKit
from ckptlint.ops.layout_values import Computed, Filled, Gathered, Joined, Value, View, parts_of

_KIT: Final = LayoutKit()


class Run(NamedTuple):
    """Bytes of a result that lie next to each other in value number `base`, or repeat `element` where there is one."""

    base: int
    start: int
    length: int
    element: bytes = b""


def shortest_run(value: Value) -> int:
    """Return about how many bytes the shortest run of a value has; 0 where its elements have to be gathered or computed."""
    if isinstance(value, View):
        run = value.dtype.nbytes(value.box.run)
        if not isinstance(value.base, Gathered):
            return run
        return min(run, shortest_run(value.base.parted)) if value.base.parted is not None else 0
    if isinstance(value, Filled):
        return value.spec.nbytes
    if isinstance(value, Joined):
        rounds = prod(value.spec.shape[: value.dim])
        return min(min(shortest_run(part), part.spec.nbytes // rounds) for part in value.parts)
    return 0


def runs(value: Value, minimum: int = 1) -> Iterator[Run] | None:
    """Return the byte runs that make up a value, in row-major order, neighbours merged; None where some are below `minimum` bytes.

    Values that need their elements gathered or computed have no runs.
    """
    if value.spec.numel == 0:
        return iter(())
    return _merged(_runs(value)) if shortest_run(value) >= max(minimum, 1) else None


def blocks(value: Value, limit: int) -> Iterator[Value]:
    """Cut a value along its outer dimensions into pieces of at most `limit` bytes (one element at least), in row-major order."""
    spec = value.spec
    if spec.nbytes <= limit:
        yield value
        return
    dim = next((dim for dim, size in enumerate(spec.shape) if size > 1), None)
    if dim is None:
        yield value
        return
    size = spec.shape[dim]
    rows = max(limit * size // spec.nbytes, 1)
    for start in range(0, size, rows):
        yield from blocks(_KIT.slice(value, dim, start, min(start + rows, size)), limit)


def stretch(value: Value, start: int, stop: int) -> Iterator[Value]:
    """Return values that make up the elements from `start` up to `stop` of a value's row-major sequence."""
    numel = value.spec.numel
    if start >= stop:
        return
    if (start, stop) == (0, numel):
        yield value
        return
    dim = next(dim for dim, size in enumerate(value.spec.shape) if size > 1)
    entry = numel // value.spec.shape[dim]
    first, last = -(-start // entry), stop // entry  # entries between these lie wholly inside
    if first > last:
        row = _KIT.slice(value, dim, last, last + 1)
        yield from stretch(row, start - last * entry, stop - last * entry)
        return
    if start < first * entry:
        yield from stretch(_KIT.slice(value, dim, first - 1, first), start - (first - 1) * entry, entry)
    if first < last:
        yield _KIT.slice(value, dim, first, last)
    if last * entry < stop:
        yield from stretch(_KIT.slice(value, dim, last, last + 1), 0, stop - last * entry)


def simplified(value: Value) -> Iterator[Value]:
    """Return values of the same bytes end to end, without the views of gathered sequences and joints that need no gathering."""
    inner = value.base.parted if isinstance(value, View) and isinstance(value.base, Gathered) else None
    if isinstance(value, View) and inner is not None and value.box.is_row_major:
        start = value.box.offset
        for part in stretch(inner, start, start + value.box.numel):
            yield from simplified(part)
    elif isinstance(value, Joined) and prod(value.spec.shape[: value.dim]) == 1:
        for part in value.parts:
            yield from simplified(part)
    else:
        yield value


def bases(value: Value) -> Iterator[int | Gathered]:
    """Return every base that a value's elements come from, as often as it is looked into."""
    todo: list[Value | Computed] = [value]
    while todo:
        each = todo.pop()
        if isinstance(each, View):
            yield each.base
            if isinstance(each.base, Gathered):
                todo.append(each.base.value)
        else:
            todo += parts_of(each)


def _runs(value: Value) -> Iterator[Run]:
    if isinstance(value, Filled):
        yield Run(-1, 0, value.spec.nbytes, value.element)
    elif isinstance(value, View):
        yield from _view_runs(value)
    elif isinstance(value, Joined):
        outer = value.spec.shape[: value.dim]
        for entry in _entries(value, outer):
            for part in entry.parts if isinstance(entry, Joined) else (entry,):
                yield from _runs(part)


def _entries(value: Value, outer: tuple[int, ...], dim: int = 0) -> Iterator[Value]:
    """Return a value's entries along its outer dimensions, which keep size one."""
    if dim == len(outer):
        yield value
        return
    for at in range(outer[dim]):
        yield from _entries(_KIT.slice(value, dim, at, at + 1), outer, dim + 1)


def _view_runs(view: View) -> Iterator[Run]:
    length = view.box.run
    for start in view.box.starts():
        if isinstance(view.base, Gathered):
            for part in stretch(view.base.parted, start, start + length) if view.base.parted is not None else ():
                yield from _runs(part)
        else:
            yield Run(view.base, view.dtype.nbytes(start), view.dtype.nbytes(length))


def _merged(all_runs: Iterator[Run]) -> Iterator[Run]:
    last: Run | None = None
    for run in all_runs:
        if last is not None and _continues(last, run):
            last = last._replace(length=last.length + run.length)
            continue
        if last is not None:
            yield last
        last = run
    if last is not None:
        yield last


def _continues(last: Run, run: Run) -> bool:
    if last.element or run.element:
        return last.element == run.element
    return last.base == run.base and last.start + last.length == run.start
