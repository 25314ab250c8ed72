"""Read a pickle from a source without the long byte strings in it: arrays lie there, and their bytes are wanted later or never.

The machine is given the opcodes one by one, with all that belongs to each but a long payload; in place of that it finds where the payload
lies. Positions in messages are those of the file. Data that joblib writes between two opcodes is passed over in the same way.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, NamedTuple

from ckptlint.core.checkpoint import ByteSource
from ckptlint.core.tree import Opaque
from ckptlint.errors import FormatError
from ckptlint.formats.cursor import Cursor
from ckptlint.formats.left_in_file import Behind, Left
from ckptlint.formats.pickled_arrays import describes_array, holds_objects, joblib_array
from ckptlint.formats.pickles import opcodes as op
from ckptlint.formats.pickles.limits import DEFAULT, Limits
from ckptlint.formats.pickles.machine import HANDLERS, Pickle, finish
from ckptlint.formats.pickles.state import Maker, State

_SHORT: Final = 256  # bytes of a payload that is not worth to be left where it is
_PORTION: Final = 512  # bytes: between two arrays there are about 150

_ROUND: Final = 16_384  # operations between two looks at the limits
_LINES: Final = {
    **dict.fromkeys((op.GLOBAL, op.INST), 2),
    **dict.fromkeys((op.FLOAT, op.INT, op.LONG, op.PERSID, op.STRING, op.UNICODE, op.GET, op.PUT), 1),
}
_COUNTED: Final = {
    **dict.fromkeys((op.LONG1, op.SHORT_BINSTRING, op.SHORT_BINBYTES, op.SHORT_BINUNICODE), 1),
    **dict.fromkeys((op.LONG4, op.BINSTRING, op.BINUNICODE, op.BINBYTES), 4),
    **dict.fromkeys((op.BINUNICODE8, op.BINBYTES8, op.BYTEARRAY8), 8),
}  # bytes of the length that stands before a payload
_LEFT: Final = {op.BINSTRING: "text", op.BINBYTES: "bytes", op.BINBYTES8: "bytes", op.BYTEARRAY8: "bytearray"}


def read_apart(
    source: ByteSource, *, makers: Mapping[tuple[str, str], Maker], limits: Limits = DEFAULT
) -> tuple[Pickle, dict[int, Behind]]:
    """Read the one pickle in a source; payloads are `Left` nodes in its tree. `makers` are for callables that the machine does not know.

    Also returned is what lies behind objects that describe arrays, by the object's identity.
    """
    reading = _Reading(source, limits)
    reading.state.own = makers
    try:
        return reading.run(), reading.behind
    except MemoryError:
        raise FormatError("the pickle needs more memory than there is", where=source.name) from None


class Between(NamedTuple):
    """What joblib wrote between the operations, as (first byte, the one behind): arrays, and the pickles that are arrays of objects.

    `complete` where the pickle was followed to its STOP; else these are what lies before the place where it cannot be read.
    """

    arrays: tuple[tuple[int, int], ...] = ()
    pickles: tuple[tuple[int, int], ...] = ()
    complete: bool = False


def written_between(source: ByteSource, limits: Limits = DEFAULT) -> Between:
    """Find what joblib wrote between the operations of a pickle, as far as it can be read."""
    reading = _Reading(source, limits)
    with suppress(FormatError, MemoryError):  # what is wrong with it is for others to say
        reading.run()
    return Between(tuple(reading.passed), tuple(reading.pickles), complete=reading.state.stopped >= 0)


class _Reading:
    """A run over a pickle; one `within` another goes on from its place, and is of plain objects."""

    def __init__(self, source: ByteSource, limits: Limits, within: Cursor | None = None) -> None:
        self.cursor = within or Cursor(source, most=limits.size, portion=_PORTION)
        self.within = within is not None
        self.data = bytearray()
        self.state = State(self.data, source.name, limits, 0)
        self.state.shift = self.cursor.position
        self.behind: dict[int, Behind] = {}
        self.passed: list[tuple[int, int]] = []
        self.pickles: list[tuple[int, int]] = []
        self._frame_end = 0

    def run(self) -> Pickle:
        state, data = self.state, self.data
        operations = 0
        while state.stopped < 0:
            if not self.cursor.left:
                raise state.ended("the pickle ends before its STOP", len(data))
            at = len(data)
            began = self.cursor.position
            code = self._next()
            self._check_frame(began, code)
            if at < len(data):
                self._step(code, at)
            operations += 1
            if operations > state.limits.operations:
                raise state.fail(f"the pickle has more than {state.limits.operations} operations", at)
            if operations % _ROUND == 0:
                state.check(at)
        return finish(state)._replace(end=self.cursor.position)

    def _next(self) -> int:
        """Take an opcode and what belongs to it; what is left in the file is put on the stack at once."""
        data, take = self.data, self.cursor.take
        head = take(1)
        code = head[0]
        data += head
        if code in _LINES:
            for _ in range(_LINES[code]):
                data += self.cursor.line(self.state.limits.size)
        elif code in _COUNTED:
            width = take(_COUNTED[code])
            self._payload(code, width)
        elif code == op.FRAME:
            (length,) = struct.unpack("<Q", take(8))
            if self._frame_end > self.cursor.position:
                raise self.state.fail("a frame begins inside a frame", len(data))
            self.cursor.check(length, 1)
            self._frame_end = self.cursor.position + length
            del data[-1:]
            self.state.shift += 9
        else:
            data += take(op.ARGUMENT_BYTES.get(code, 0))
        return code

    def _payload(self, code: int, width: bytes) -> None:
        signed = code == op.BINSTRING
        length = int.from_bytes(width, "little", signed=signed)
        kind = _LEFT.get(code)
        if kind is None or length < _SHORT:
            self.cursor.check(max(length, 0), 1)
            self.data += width + self.cursor.take(max(length, 0))
            return
        start = self.cursor.position
        self.cursor.skip(length)
        del self.data[-1:]
        self.state.shift += 1 + len(width) + length
        self.state.stack.append(Left(kind, start, length))

    def _check_frame(self, began: int, code: int) -> None:
        if began < self._frame_end < self.cursor.position and code != op.FRAME:
            raise self.state.fail("an operation crosses the end of its frame", len(self.data))

    def _step(self, code: int, at: int) -> None:
        state = self.state
        state.end = len(self.data)
        try:
            HANDLERS[code](state, at + 1)
        except (IndexError, struct.error):
            raise state.short(at) from None
        if code == op.BUILD and not self.within:
            described = state.stack[-1]
            if isinstance(described, Opaque) and describes_array(described):
                self._pass_array(described)

    def _pass_array(self, described: Opaque) -> None:
        """Pass over an array behind the object that describes it."""
        if holds_objects(described):
            self._pass_pickle()
            return
        length, aligned = joblib_array(self.state, described, len(self.data))
        before = self.cursor.position
        if aligned:
            self.cursor.skip(self.cursor.take(1)[0])
        self.behind[id(described)] = Behind(self.cursor.position)
        self.cursor.skip(length)
        self.state.shift += self.cursor.position - before
        self.passed.append((before, self.cursor.position))

    def _pass_pickle(self) -> None:
        """Pass over an array of Python objects, which is a pickle: follow it to its end; its objects stay where they are."""
        before = self.cursor.position
        _Reading(self.cursor.source, self.state.limits, self.cursor).run()
        self.state.shift += self.cursor.position - before
        self.pickles.append((before, self.cursor.position))
