"""Tensor records read at one go: the forty opcodes torch.save writes for a key and its tensor, matched by one pattern.

A record that fits the pattern and whose values are sound has, opcode by opcode, just these effects: key and tensor are pushed, the storage
becomes known, and the next numbers of the memo are taken. Anything else is left to the machine. The values in between (the
persistent id, the tuples of sizes, the empty hooks) cannot be reached from the tree, only by their memo numbers, which nobody
ever asks for; so their entries stay absent, and where one is asked for after all the machine reads that record again.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable
from functools import cache
from struct import Struct
from typing import NamedTuple

from ckptlint.core.tree import Global, Storage, Tensor, Value
from ckptlint.formats.pickles import opcodes as op
from ckptlint.formats.pickles.literals import U4
from ckptlint.formats.pickles.objects import ordered_dict
from ckptlint.formats.pickles.stamps import Found, Head, Stamps
from ckptlint.formats.pickles.state import State
from ckptlint.formats.pickles.tensor_numbers import MOST
from ckptlint.formats.pickles.tensors import span, storage_dtype, tensor_v2

_NUMBER = rb"(?:K.|M..|J....)"
_GET = rb"(h.|j....)"
_PUT = rb"r(....)"
_NUMBERS = rb"(\)|" + _NUMBER + rb"{1,3}[\x85-\x87]|\(" + _NUMBER + rb"{4,64}t)(?:" + _PUT + rb")?"
_PARTS = (
    rb"(?:" + _PUT + rb")?" + _GET + rb"\(\(" + _GET + _GET,  # the key's PUT; _rebuild_tensor_v2; "storage", its class
    rb"X(.)\0\0\0([0-9]{1,18})"
    + _PUT
    + _GET
    + rb"("
    + _NUMBER
    + rb")N?t"
    + _PUT
    + rb"Q",  # its key, location, length, no view (before 1.6)
    rb"(" + _NUMBER + rb")" + _NUMBERS + _NUMBERS,  # offset, sizes, strides
    rb"([\x88\x89])" + _GET + rb"\)R" + _PUT + rb"t" + _PUT + rb"R" + _PUT,  # requires_grad, OrderedDict() of hooks
)
_RAMP = 4096  # consecutive memo numbers kept packed, to compare those of a record with
_PACK = Struct(f"<{_RAMP}I").pack


class _Layout(NamedTuple):
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    span: int


@cache
def _pattern() -> Callable[[bytes | bytearray | memoryview, int], re.Match[bytes] | None]:
    return re.compile(b"".join(_PARTS), re.DOTALL).match


class Records:
    """The reader of tensor records of one pickle; it begins behind a tensor that the machine has read."""

    def __init__(self, state: State, run_until: Callable[[State, int, int], int]) -> None:
        self._state = state
        self._run_until = run_until
        self._match = _pattern()
        self._stamps = Stamps(state, state.data) if isinstance(state.data, bytes) else None
        self._heads: dict[tuple[bytes, ...], Head] = {}
        self._layouts: dict[tuple[bytes, bytes], _Layout] = {}
        self._bases: list[int] = []  # of each record: its first memo number, and where it begins and ends
        self._places: list[tuple[int, int]] = []
        self._checked = 0
        self._ramp_base = 0
        self._ramp = b""

    def run(self, position: int) -> int:
        """Read the PUT of the tensor before, then keys and tensors as long as they fit; return the next position."""
        state = self._state
        data = state.data
        if state.end - position < 64 or data[position] != op.LONG_BINPUT or state.frame_end > position:
            return position
        if U4(data, position + 1)[0] != len(state.memo) or len(state.outer) + 2 > state.limits.depth:
            return position
        state.memo.append(state.stack[-1])
        following = position + 5
        while following > 0:
            position = following
            following = self._entry(position)
        if len(self._places) - self._checked > _RAMP:
            self._checked = len(self._places)
            state.check(position)
        return position

    def _entry(self, position: int) -> int:
        """Read a key and its tensor; return the position behind them, 0 where they are the machine's to read."""
        state = self._state
        found = None if self._stamps is None else self._stamps.read(position)
        if found is None:
            found = self._matched(position)
        if found is None:
            return 0
        key, tensor, entries, end = found
        self._bases.append(len(state.memo))
        self._places.append((position, end))
        state.memo.extend(entries)
        state.stack.append(key)
        state.stack.append(tensor)
        return end

    def _matched(self, position: int) -> Found | None:
        """Read a key and its tensor by the pattern."""
        state = self._state
        key, after = self._key(position)
        match = self._match(state.data, after) if after else None
        if match is None:
            return None
        parts = match.groups(b"")
        puts = b"".join((parts[0], parts[6], parts[9], parts[12], parts[14], parts[17], parts[18], parts[19]))
        if puts != self._next_numbers(len(puts)):
            return None
        gets = (parts[1], parts[2], parts[3], parts[7], parts[16])
        head = self._heads.get(gets) or self._resolve(gets)
        tensor = None if head is None else self._tensor(parts, head)
        if head is None or tensor is None:
            return None
        absent = (state.absent,) * (len(puts) // 4 - 1)
        if not parts[0]:
            return key, tensor, (*absent, tensor), match.end()
        if self._stamps is not None and state.data[position] == op.BINUNICODE:
            self._stamps.learn(match, tensor, head)
        return key, tensor, (key, *absent[1:], tensor), match.end()

    def _key(self, position: int) -> tuple[Value, int]:
        """Return a key, and the position behind its opcode; 0 where no plain key is there."""
        state = self._state
        data = state.data
        code = data[position] if position + 5 <= state.end else op.STOP
        if code == op.BINUNICODE:
            after: int = position + 5 + U4(data, position + 1)[0]
            try:
                return str(data[position + 5 : after], "utf-8"), after if after < state.end else 0
            except UnicodeDecodeError:
                return None, 0
        if code in {op.BINGET, op.LONG_BINGET}:
            index = data[position + 1] if code == op.BINGET else U4(data, position + 1)[0]
            value = state.memo[index] if index < len(state.memo) else state.absent
            return value, 0 if value is state.absent else position + (2 if code == op.BINGET else 5)
        return None, 0

    def _next_numbers(self, length: int) -> bytes:
        """Return the next free memo numbers as the PUTs of a record hold them."""
        start = len(self._state.memo) - self._ramp_base
        if not 0 <= start <= _RAMP - 8 or not self._ramp:
            self._ramp_base = len(self._state.memo)
            self._ramp = _PACK(*range(self._ramp_base, self._ramp_base + _RAMP))
            start = 0
        return self._ramp[4 * start : 4 * start + length]

    def _tensor(self, parts: tuple[bytes, ...], head: Head) -> Tensor | None:
        """Make the tensor, unless something about it is for the machine to judge."""
        layout = self._layouts.get((parts[11], parts[13])) or self._lay(parts[11], parts[13])
        numel = _number(parts[8])
        offset = _number(parts[10])
        if layout is None or len(parts[5]) != parts[4][0] or min(numel, offset) < 0:
            return None
        if layout.span and offset + layout.span > numel:
            return None
        storage = self._storage(parts[5].decode(), head, numel)
        if storage.dtype is not head.dtype or storage.numel != numel:
            return None
        tensor = Tensor(storage, head.dtype, layout.shape, layout.stride, offset)
        if parts[15] == b"\x88":
            tensor.requires_grad = True
        return tensor

    def _storage(self, key: str, head: Head, numel: int) -> Storage:
        storages = self._state.storages
        known = storages.get(key)
        if known is None:
            known = storages[key] = Storage(key, head.dtype, numel, head.location, made_by=head.owner)
        return known

    def _resolve(self, gets: tuple[bytes, ...]) -> Head | None:
        """Return what five GETs stand for, where it is what a record of torch has there and both calls were met before."""
        memo = self._state.memo
        indices = [int.from_bytes(get[1:], "little") for get in gets]
        if max(indices) >= len(memo):
            return None
        rebuild, word, owner, location, hooks = (memo[index] for index in indices)
        dtype = storage_dtype(owner)
        makers = self._state.makers
        if type(rebuild) is not Global or type(hooks) is not Global or type(owner) is not Global or dtype is None:
            return None
        if dtype.bits < 8:
            return None
        if makers.get(rebuild) is not tensor_v2 or makers.get(hooks) is not ordered_dict:
            return None
        if word != "storage" or type(location) is not str:
            return None
        found = self._heads[gets] = Head(dtype, owner, location)
        return found

    def _lay(self, sizes: bytes, steps: bytes) -> _Layout | None:
        shape, stride = _tuple(sizes), _tuple(steps)
        if shape is None or stride is None or len(shape) != len(stride):
            return None
        found = self._layouts[sizes, steps] = _Layout(shape, stride, span(shape, stride))
        return found

    def recall(self, index: int) -> None:
        """Read the record again that took a memo number, this time opcode by opcode, for the values in between."""
        record = bisect_right(self._bases, index) - 1
        if record >= 0:
            self._replay(record)

    def _replay(self, record: int) -> None:
        state = self._state
        base = self._bases[record]
        start, stop = self._places[record]
        kept = state.memo[base : base + 8]
        stack, outer = state.stack, state.outer
        state.stack, state.outer, state.records = [], [], None
        self._run_until(state, start, stop)
        state.stack, state.outer, state.records = stack, outer, self
        for index, value in enumerate(kept, base):
            if value is not state.absent:
                state.memo[index] = value

    def settle(self) -> None:
        """Read all records again whose values are absent, and never run again: the memo is about to be renumbered."""
        for record in range(len(self._bases)):
            self._replay(record)
        self._state.records = None


def _number(token: bytes) -> int:
    """Return the number an opcode pushes; a negative one where it is too large for a size."""
    return int.from_bytes(token[1:], "little", signed=token[:1] == b"J")


def _tuple(token: bytes) -> tuple[int, ...] | None:
    """Return the tuple that a run of opcodes leaves; None where it leaves something else or holds negative numbers."""
    numbers: list[int] = []
    position = 1 if token[:1] == b"(" else 0
    stop = len(token) - 1
    while position < stop:
        width = {op.BININT1: 2, op.BININT2: 3, op.BININT: 5}[token[position]]
        numbers.append(_number(token[position : position + width]))
        position += width
    promised = {op.TUPLE1: 1, op.TUPLE2: 2, op.TUPLE3: 3}.get(token[-1], len(numbers))
    sound = promised == len(numbers) and all(0 <= number <= MOST for number in numbers)
    return tuple(numbers) if sound else None
