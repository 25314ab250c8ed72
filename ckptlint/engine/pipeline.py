"""Run the operations of one move on the slots of one binding: lists are folded, split, scattered and ordered here.

A slot holds one value, or with an `axis` a list of them. Every value keeps a place, the position of the earliest source it was made
of, so that outputs can stand where their sources stood.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from ckptlint.core.migration import OpCall
from ckptlint.engine.board import Board
from ckptlint.engine.calls import PreparedCall
from ckptlint.errors import CkptlintError, PlanError, ShapeError

Names: TypeAlias = Mapping[str, int | str]


class Slot(NamedTuple):
    """One tensor (`axis` empty), or the list of tensors numbered along an axis."""

    values: tuple[int, ...]
    places: tuple[int, ...]
    axis: str = ""


class For(NamedTuple):
    """What the operations are run for: the first source key, and the key that is made, '' where there is not just one."""

    key: str
    target: str = ""


def run_calls(
    board: Board, calls: Sequence[PreparedCall], slots: tuple[Slot, ...], names: Names, made_for: For
) -> tuple[Slot, ...]:
    """Return the slots after all operations; `ShapeError` where one does not fit, `PlanError` where it cannot be built."""
    for prepared in calls:
        try:
            slots = _run(board, prepared, slots, names, made_for)
        except ShapeError as error:
            raise ShapeError(error.message, where=prepared.call.where, hint=error.hint) from error
        except CkptlintError as error:
            raise PlanError(error.message, where=prepared.call.where, hint=error.hint) from error
    return slots


def _run(
    board: Board, prepared: PreparedCall, slots: tuple[Slot, ...], names: Names, made_for: For
) -> tuple[Slot, ...]:
    call = prepared.call
    if call.op == "order":
        return _ordered(slots, prepared.order(names))
    chosen = _chosen(call, slots)
    kind = prepared.arity
    if kind in ("join", "mix"):
        members = _folded(call, slots, chosen) if call.over else _joined(slots, chosen)
    else:
        members = {place: _each_value(slots[place]) for place in chosen}
    op = prepared.operation(names)

    def made(member: _Member) -> tuple[int, ...]:
        if not prepared.draws:
            return board.run(op, member.values, call.where)
        key = made_for.key if member.place == slots[0].places[0] else f"{made_for.key} {member.place}"
        return board.run(op, member.values, call.where, key, made_for.target)

    result: list[Slot] = []
    for place, slot in enumerate(slots):
        if place in members:
            result.extend(_collected(call, kind, members[place], made))
        elif kind not in ("join", "mix") or call.over or place not in chosen:
            result.append(slot)
    return tuple(result)


class _Member(NamedTuple):
    """The inputs of one application, and where its outputs stand."""

    values: tuple[int, ...]
    place: int
    axis: str  # of the slot that the outputs of all applications make together


def _each_value(slot: Slot) -> list[_Member]:
    return [_Member((value,), place, slot.axis) for value, place in zip(slot.values, slot.places, strict=True)]


def _collected(
    call: OpCall, kind: str, members: list[_Member], made: Callable[[_Member], tuple[int, ...]]
) -> list[Slot]:
    """Apply an operation to each member, and make slots of what comes out."""
    outputs = [made(member) for member in members]
    if len({len(out) for out in outputs}) != 1 or not outputs[0]:
        raise PlanError(f"makes {' and '.join(sorted({str(len(out)) for out in outputs}))} tensors of one slot")
    places = tuple(member.place for member in members)
    axis = members[0].axis
    if kind not in ("split", "mix"):
        return [Slot(tuple(out[0] for out in outputs), places, axis)]
    if call.over and kind == "split":
        if axis:
            raise PlanError(f"cannot scatter over {{{call.over}}} what is a list over {{{axis}}} already")
        return [Slot(outputs[0], places * len(outputs[0]), call.over)]
    return [Slot(tuple(column), places, axis) for column in zip(*outputs, strict=True)]


def _chosen(call: OpCall, slots: tuple[Slot, ...]) -> tuple[int, ...]:
    if call.only is None:
        return tuple(range(len(slots)))
    for place in call.only:
        if not 0 <= place < len(slots):
            raise PlanError(f"there is no slot {place}; there are {len(slots)}, counted from 0")
    return call.only


def _folded(call: OpCall, slots: tuple[Slot, ...], chosen: tuple[int, ...]) -> dict[int, list[_Member]]:
    """Gathered slots become one application each."""
    folded = {
        place: [_Member(slots[place].values, min(slots[place].places), "")]
        for place in chosen
        if slots[place].axis == call.over
    }
    if not folded:
        raise PlanError(f"no slot is a list over {{{call.over}}}", hint=f"say `over: {call.over}` beside `from`")
    return folded


def _joined(slots: tuple[Slot, ...], chosen: tuple[int, ...]) -> dict[int, list[_Member]]:
    """The slots together become one application, or one for each member where they are lists of one length."""
    parts = [slots[place] for place in chosen]
    if not parts:
        raise PlanError("there is no slot to join")
    shapes = {(part.axis, len(part.values)) for part in parts}
    if len(shapes) > 1:
        raise PlanError("the slots are not lists of one length", hint="fold each of them first, with `over:`")
    columns = zip(*(part.values for part in parts), strict=True)
    places = zip(*(part.places for part in parts), strict=True)
    axis = parts[0].axis
    return {min(chosen): [_Member(values, min(at), axis) for values, at in zip(columns, places, strict=True)]}


def _ordered(slots: tuple[Slot, ...], order: tuple[int, ...]) -> tuple[Slot, ...]:
    if sorted(order) != list(range(len(slots))):
        raise PlanError(f"{list(order)} is not an order of {len(slots)} slots")
    return tuple(slots[place] for place in order)
