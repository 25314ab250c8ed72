"""The machine: runs a pickle's opcodes over nodes, where nothing is imported, called, hashed or recursed into."""

from __future__ import annotations

import gc
import struct
from collections.abc import Mapping
from typing import Final, NamedTuple

from ckptlint.core.tree import Composite, Dict, List, Node, Opaque, Persistent, Set, Storage, Tensor, Tuple, Value
from ckptlint.errors import FormatError
from ckptlint.formats.pickles import opcodes as op
from ckptlint.formats.pickles.containers import CONTAINERS
from ckptlint.formats.pickles.limits import DEFAULT, Limits
from ckptlint.formats.pickles.literals import LITERALS
from ckptlint.formats.pickles.objects import OBJECTS
from ckptlint.formats.pickles.state import HALT, Handler, Note, State

_ROUND: Final = 16_384  # operations between two looks at the limits
_LARGE: Final = 1 << 16  # bytes from which reading records whole pays
_U8 = struct.Struct("<Q").unpack_from


class GlobalUse(NamedTuple):
    """A class or function that a pickle names, and whether it asks for it to be called or to make an object."""

    module: str
    name: str
    called: bool
    made: bool


class Pickle(NamedTuple):
    """What one pickle holds. `end` is the position after its STOP, `globals` and `storages` are in order of first use."""

    root: Value
    storages: tuple[Storage, ...]
    end: int
    protocol: int
    globals: tuple[GlobalUse, ...]
    notes: tuple[Note, ...]


def read(
    data: bytes | memoryview,
    origin: str,
    *,
    limits: Limits = DEFAULT,
    offset: int = 0,
    objects: Mapping[str, Node] | None = None,
) -> Pickle:
    """Read the pickle that begins at `offset` of a buffer; several may follow each other, from `end` to `end`.

    `objects` are what persistent ids that are keys stand for, where the file keeps tensors outside of the pickle.

    Every malformed pickle, and every one that passes the limits, is a `FormatError` whose place is `origin: byte N`.
    """
    state = State(data, origin, limits, offset)
    state.objects = objects
    large = len(data) - offset > _LARGE
    pause = large and gc.isenabled()
    if large:
        from ckptlint.formats.pickles.records import (
            Records,
        )  # its pattern takes a few ms, which small files shall not pay

        state.records = Records(state, run_until)
    if pause:
        gc.disable()  # a million nodes and no garbage: looking for cycles among them would double the time
    try:
        return _read(state)
    except MemoryError:
        raise FormatError("the pickle needs more memory than there is", where=f"{origin}: byte {offset}") from None
    finally:
        state.records = None  # which knows the state: a cycle that would keep a failed try in memory
        if pause:
            gc.enable()


def _read(state: State) -> Pickle:
    _run(state)
    return finish(state)


def finish(state: State) -> Pickle:
    """Return what a run that came to STOP has made."""
    root = _root(state)
    if state.stopped - state.start > state.limits.depth:
        _check_depth(state, root)
    uses = (GlobalUse(g.module, g.name, g in state.called, g in state.made) for g in state.globals.values())
    return Pickle(root, tuple(state.storages.values()), state.stopped, state.protocol, tuple(uses), tuple(state.notes))


def _run(state: State) -> None:
    """Run to STOP. The end of the data needs no test: it is an `IndexError`, as HALT is."""
    data = state.data
    handlers = HANDLERS
    position = state.start
    try:
        while True:
            for _ in range(_ROUND):
                position = handlers[data[position]](state, position + 1)
            state.rounds += 1
            if state.rounds * _ROUND > state.limits.operations:
                raise state.fail(f"the pickle has more than {state.limits.operations} operations", position)
            state.check(position)
    except (IndexError, struct.error):
        if state.stopped < 0:
            raise state.short(position) from None


def run_until(state: State, position: int, end: int) -> int:
    """Run a part that must stop at `end`; return where it stopped."""
    data = state.data
    handlers = HANDLERS
    operations = 0
    try:
        while position < end:
            position = handlers[data[position]](state, position + 1)
            operations += 1
            if operations > state.limits.operations:
                raise state.fail(f"the pickle has more than {state.limits.operations} operations", position)
            if operations % _ROUND == 0:
                state.check(position)
    except (IndexError, struct.error):
        raise state.short(position) from None
    return position


def _root(state: State) -> Value:
    if not state.stack:
        raise state.fail("STOP finds no value", state.stopped - 1)
    left = len(state.stack) - 1 + sum(map(len, state.outer))
    if left:
        state.notes.append(Note("left-over", f"{left} values are left on the stack", state.stopped - 1))
    return state.stack[-1]


def _check_depth(state: State, root: Value) -> None:
    """Refuse what is nested so deep that whoever walks it would have to be as careful as this machine."""
    seen: set[int] = set()
    level = [root]
    for _ in range(state.limits.depth):
        below: list[Value] = []
        for node in level:
            if isinstance(node, Node) and id(node) not in seen:
                seen.add(id(node))
                below.extend(child for child in children(node) if type(child) in _NESTING)
        if not below:
            return
        level = below
    raise state.fail(f"values are nested deeper than {state.limits.depth}", state.start)


def children(node: Node) -> list[Value]:
    """Return the values directly inside a node, in file order."""
    if isinstance(node, List | Tuple | Set):
        return list(node.items)
    if isinstance(node, Dict):
        flat: list[Value] = [part for pair in node.items for part in pair]
        return [*flat, node.state, *([] if node.made_by is None else [node.made_by.arguments])]
    if isinstance(node, Opaque):
        changes = [part for change in node.changes for part in change[1:]]
        return [node.call.function, node.call.arguments, node.call.keywords, *changes]
    if isinstance(node, Persistent):
        return [node.pid]
    wrap = node.wrap if isinstance(node, Tensor) else None
    held: list[Value] = []
    while wrap is not None:
        held.extend(wrap.arguments)
        wrap = wrap.inner
    return held


def _stop(state: State, position: int) -> int:
    state.stopped = position
    return HALT


def _proto(state: State, position: int) -> int:
    protocol = state.data[position]
    if protocol > op.HIGHEST_PROTOCOL:
        raise state.fail(f"pickle protocol {protocol} is not known", position)
    state.protocol = max(state.protocol, protocol)
    return position + 1


def _frame(state: State, position: int) -> int:
    """Run a frame to its exact end: opcodes that straddle it mean different things to different readers."""
    if state.frame_end > position:
        raise state.fail("a frame begins inside a frame", position - 1)
    end = state.reach(position + 8, _U8(state.data, position)[0], "a frame")
    state.frame_end = end
    reached = run_until(state, position + 8, end)
    if end not in {reached, state.stopped}:
        raise state.fail("an operation crosses the end of its frame", position - 1)
    return reached


def _unknown(state: State, position: int) -> int:
    raise state.fail(f"{state.data[position - 1]:#04x} is no pickle opcode", position - 1)


def _table() -> tuple[Handler, ...]:
    known = {**LITERALS, **CONTAINERS, **OBJECTS, op.STOP: _stop, op.PROTO: _proto, op.FRAME: _frame}
    return tuple(known.get(code, _unknown) for code in range(256))


HANDLERS: Final = _table()
_NESTING: Final = (List, Tuple, Set, Dict, Opaque, Composite, Persistent)
