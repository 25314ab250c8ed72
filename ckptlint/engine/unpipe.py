"""Follow the operations of a move backwards on specs: what its sources must have been, for its results to be these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ckptlint.core.migration import Move, OpCall
from ckptlint.core.operation import Operation
from ckptlint.core.spec import TensorSpec
from ckptlint.core.template import Captures
from ckptlint.engine.calls import PreparedCall
from ckptlint.engine.words import in_words
from ckptlint.errors import PlanError, ShapeError
from ckptlint.ops.join import Split
from ckptlint.ops.spec_kit import SpecKit
from ckptlint.ops.weight_norm import SplitWeightNorm

Specs: TypeAlias = tuple[TensorSpec, ...]
_KIT = SpecKit()


@dataclass(frozen=True, slots=True)
class _Bend:
    """One call as it changes the slots: which of them it acts on, and how many each of those becomes."""

    call: PreparedCall
    chosen: tuple[int, ...]
    pieces: int = 1


def sources_of(move: Move, calls: Sequence[PreparedCall], captures: Captures, results: Sequence[Specs]) -> list[Specs]:
    """Return the specs of each source slot, one or a list, that give these results.

    `PlanError` names the operation whose results do not tell what its inputs were.
    """
    bends = _bends(move, calls, captures, len(results))
    slots = list(results)
    for bend in reversed(bends):
        try:
            slots = _undone(bend, captures, slots)
        except ShapeError as error:
            raise PlanError(error.message, where=bend.call.call.where) from error
    return slots


def _bends(move: Move, calls: Sequence[PreparedCall], captures: Captures, count: int) -> list[_Bend]:
    """Follow the slots forward, as far as that can be done without their specs."""
    axes = [move.over if move.over in source.names else "" for source in move.sources]
    bends: list[_Bend] = []
    for prepared in calls:
        bend = _bend(prepared, captures, axes, count - len(axes))
        axes = _after(bend, axes)
        bends.append(bend)
    if len(axes) != count:
        text = f"how many tensors the operations make is not clear: {len(axes)} for {count} keys"
        raise PlanError(text, where=move.where)
    return bends


def _bend(prepared: PreparedCall, captures: Captures, axes: Sequence[str], missing: int) -> _Bend:
    call = prepared.call
    chosen = tuple(range(len(axes))) if call.only is None else call.only
    if call.op == "order":
        return _Bend(prepared, chosen)
    if prepared.arity == "mix":
        raise PlanError(f"its results do not tell what {call.op} was applied to", where=call.where)
    if call.over:
        folds = prepared.arity == "join"
        return _Bend(prepared, tuple(place for place in chosen if not folds or axes[place] == call.over))
    return _Bend(prepared, chosen, _pieces(prepared, captures, missing, len(chosen)))


def _after(bend: _Bend, axes: list[str]) -> list[str]:
    """The axis of every slot after a call; empty for a slot that is one tensor."""
    call, chosen = bend.call.call, bend.chosen
    if call.op == "order":
        return axes
    joins = bend.call.arity == "join"
    if call.over:
        return [("" if joins else call.over) if place in chosen else axis for place, axis in enumerate(axes)]
    if joins:
        return [axis for place, axis in enumerate(axes) if place == min(chosen) or place not in chosen]
    return [axis for place, axis in enumerate(axes) for _ in range(bend.pieces if place in chosen else 1)]


def _pieces(prepared: PreparedCall, captures: Captures, missing: int, chosen: int) -> int:
    """How many slots one slot becomes. An unstack of unknown height makes as many as are `missing` at the end."""
    if prepared.arity != "split":
        return 1
    op = prepared.operation(captures)
    if isinstance(op, SplitWeightNorm):
        return 2
    known = (len(op.sizes) if op.sizes is not None else op.parts) if isinstance(op, Split) else None
    return known or missing // max(chosen, 1) + 1


def _undone(bend: _Bend, captures: Captures, slots: list[Specs]) -> list[Specs]:
    prepared = bend.call
    call = prepared.call
    if call.op == "order":
        order = prepared.order(captures)
        return [slots[order.index(place)] for place in range(len(slots))]
    op = prepared.operation(captures)
    if prepared.arity == "join" and not call.over:
        return _parted(bend, op, slots)
    if prepared.arity == "split" and not call.over:
        return _rejoined(bend, op, slots)
    chosen = set(bend.chosen)
    if prepared.arity == "each":
        return [
            tuple(_back(op, (spec,), call)[0] for spec in slot) if place in chosen else slot
            for place, slot in enumerate(slots)
        ]
    return [_back(op, slot, call) if place in chosen else slot for place, slot in enumerate(slots)]


def _parted(bend: _Bend, op: Operation, slots: list[Specs]) -> list[Specs]:
    """A join: its one slot becomes those it was made of."""
    first = min(bend.chosen)
    members = [_back(op, (spec,), bend.call.call) for spec in slots[first]]
    if any(len(member) != len(bend.chosen) for member in members):
        raise PlanError(f"gives {len(members[0])} tensors back, not {len(bend.chosen)}", where=bend.call.call.where)
    columns = dict(zip(bend.chosen, zip(*members, strict=True), strict=True))
    rest = iter(slots[:first] + slots[first + 1 :])
    return [columns[place] if place in columns else next(rest) for place in range(len(slots) + len(columns) - 1)]


def _rejoined(bend: _Bend, op: Operation, slots: list[Specs]) -> list[Specs]:
    """A split: its pieces become the slot they were cut from."""
    before: list[Specs] = []
    left = list(slots)
    for place in range(len(slots) - len(bend.chosen) * (bend.pieces - 1)):
        if place not in bend.chosen:
            before.append(left.pop(0))
            continue
        pieces, left = left[: bend.pieces], left[bend.pieces :]
        before.append(tuple(_back(op, members, bend.call.call)[0] for members in zip(*pieces, strict=True)))
    return before


def _back(op: Operation, outputs: Specs, call: OpCall) -> Specs:
    inverse = op.undone_from(outputs)
    if inverse is None:
        raise PlanError(f"its result does not tell what {in_words(op)} was applied to", where=call.where)
    return inverse.apply(_KIT, outputs)
