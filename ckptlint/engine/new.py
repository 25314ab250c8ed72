"""Make the tensors of `new`: one, or one for each match of a template."""

from __future__ import annotations

from collections.abc import Iterator

from ckptlint.core.dtype import DType
from ckptlint.core.migration import New
from ckptlint.core.plan import Edge
from ckptlint.core.template import Captures
from ckptlint.engine.faults import BAD_SHAPE, BAD_VALUE, MATCHES_NOTHING
from ckptlint.engine.params import filled
from ckptlint.engine.words import in_words
from ckptlint.engine.work import Work
from ckptlint.errors import CkptlintError, PlanError, ShapeError


def make_new(work: Work, new: New) -> list[Edge]:
    """Add the tensors, and return them as edges from nothing; what cannot be made is a fault."""
    edges: list[Edge] = []
    for captures in _captures(work, new):
        try:
            edges.append(_made(work, new, captures))
        except ShapeError as error:
            work.faults.add(BAD_SHAPE, error.message, where=new.where, hint=error.hint)
        except CkptlintError as error:
            work.faults.add(BAD_VALUE, error.message, where=error.where or new.where, hint=error.hint)
    return edges


def _captures(work: Work, new: New) -> Iterator[Captures]:
    """What the template's matches capture, as far as it is used: matches that differ otherwise make one tensor."""
    if new.each is None:
        yield {}
        return
    used = set(new.key.names).union(*(size.names for size in new.shape))
    used |= set(new.dtype_of.names if new.dtype_of else ()) | set(new.after.names if new.after else ())
    seen: set[tuple[object, ...]] = set()
    for key in work.values:
        captures = new.each.match(key)
        if captures is None:
            continue
        mark = tuple(value for name, value in captures.items() if name in used)
        if mark not in seen:
            seen.add(mark)
            yield captures
    if not seen:
        work.faults.add(MATCHES_NOTHING, f"no key matches {new.each}", where=new.where)


def _made(work: Work, new: New, captures: Captures) -> Edge:
    from ckptlint.ops.fill import Fill
    from ckptlint.ops.init import Init

    key = filled(work.params, new.key, captures)
    shape, dtype = _shape(work, new, captures), _dtype(work, new, captures)
    op = Fill(shape, dtype, new.fill) if new.init is None else Init(key, shape, dtype, new.init)
    (value,) = work.board.fresh(op, (), new.where)
    if op.dtype.kind in {"float", "complex"}:
        work.board.ranks[value] = len(work.board.ranks) + len(work.values)  # a parameter, behind all that were there
    after = filled(work.params, new.after, captures) if new.after else ""
    work.made.put_new(key, value, after, new.where)
    return Edge((), (key,), (in_words(op),), new.where)


def _shape(work: Work, new: New, captures: Captures) -> tuple[int, ...]:
    sizes = tuple(work.params.evaluate(size, captures) for size in new.shape)
    for size, text in zip(sizes, new.shape, strict=True):
        if not isinstance(size, int) or size < 0:
            raise PlanError(f"{text} is {size!r}, which is no size")
    return tuple(int(size) for size in sizes)


def _dtype(work: Work, new: New, captures: Captures) -> DType:
    if new.dtype is not None or new.dtype_of is None:
        return new.dtype or DType.parse("f32")
    key = filled(work.params, new.dtype_of, captures)
    if key in work.made.values:
        return work.board.specs[work.made.values[key]].dtype
    if key in work.values:
        return work.spec(key).dtype
    raise PlanError(f"{key} is not there, and so has no dtype")
