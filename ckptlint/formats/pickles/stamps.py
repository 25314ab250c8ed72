"""Tensor records that differ from one before in their key, storage and memo numbers only: compared with it instead of matched anew.

What a record that was matched looks like beside those is kept as a stamp: constant bytes with numbers between them. A record that has
exactly these bytes, and the memo numbers that are next, means what the other one meant; anything else is not taken here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from struct import Struct
from typing import Any, Final, NamedTuple, TypeAlias

from ckptlint.core.dtype import DType
from ckptlint.core.tree import Global, Storage, Tensor, Value
from ckptlint.formats.pickles import opcodes as op
from ckptlint.formats.pickles.literals import U4
from ckptlint.formats.pickles.state import State

_RAMP: Final = 4096  # consecutive memo numbers kept, to compare those of a record with
_LONGEST: Final = 2048  # bytes that no record reaches, so that no end needs a look
_MOST: Final = 1024  # stamps of one pickle
_MOST_ALIKE: Final = 8  # stamps that the same few bytes stand for, each of which a record is compared with
_MOST_DIGITS: Final = 18
_COUNT, _STORAGE = 5, 6  # groups of the pattern of records: the length of the storage's key, and the key
_PUTS: Final = (7, 10, 13, 15, 18, 19, 20)  # the memo numbers behind it
_ZEROS: Final = b"\0\0\0"

Unpack: TypeAlias = Callable[[bytes, int], tuple[Any, ...]]
Found: TypeAlias = "tuple[Value, Tensor, tuple[Value, ...], int]"  # key, tensor, what goes into the memo, end


class Head(NamedTuple):
    """What the memo entries that a record refers to stand for."""

    dtype: DType
    owner: Global
    location: str


class _Stamp(NamedTuple):
    """All behind the storage's key: bytes and memo numbers in turn, and the tensor that they make of a storage."""

    unpack: Unpack
    size: int
    constants: tuple[bytes, ...]
    head: Head
    numel: int
    like: Tensor
    absent: tuple[Value, ...]


_Front: TypeAlias = "dict[bytes, list[_Stamp]]"  # the stamps that were met behind one middle, by a few of their bytes


class _Width(NamedTuple):
    """What is all alike but for its bytes between the key and the storage's key: a memo number, and a middle, by which fronts are found.

    Three GETs are all that differs in length in a middle, so there are four widths at most, however many fronts a pickle has.
    """

    unpack: Unpack
    size: int
    fronts: dict[bytes, _Front]


def _few(data: bytes, stop: int) -> bytes:
    """The bytes behind a storage's key by which stamps are told apart first: the storage's length, behind a PUT and the location's GET."""
    at = stop + (7 if data[stop + 5] == op.BINGET else 10)
    return data[at : at + 4]


class Stamps:
    """The stamps of one pickle that is held as bytes."""

    def __init__(self, state: State, data: bytes) -> None:
        self._state = state
        self._data = data
        self._widths: dict[int, _Width] = {}
        self._count = 0
        self._base = 0
        self._numbers: tuple[int, ...] = ()

    def read(self, position: int) -> Found | None:
        """Read the key and the tensor at a position; None where no stamp is theirs."""
        data, state = self._data, self._state
        if position + _LONGEST > state.end or data[position] != op.BINUNICODE:
            return None
        after = position + 5 + U4(data, position + 1)[0]
        if after + _LONGEST > state.end:
            return None
        base = len(state.memo)
        front, start, count = self._front(after, base)
        if front is None:
            return None
        stop = start + count
        digits = data[start:stop]
        if not digits.isdigit() or count > _MOST_DIGITS:
            return None
        for stamp in front.get(_few(data, stop), ()):
            fields = stamp.unpack(data, stop)
            if fields[::2] == stamp.constants and fields[1::2] == self._next(base + 1, len(stamp.constants)):
                return self._made(stamp, data[position + 5 : after], digits.decode(), stop + stamp.size)
        return None

    def _front(self, after: int, base: int) -> tuple[_Front | None, int, int]:
        """Return which front stands behind a key, where it ends, and how many digits the storage's key has."""
        for width in self._widths.values():
            put, number, middle, count, zeros = width.unpack(self._data, after)
            front = width.fronts.get(middle)
            if front is not None and number == base and put == b"r" and zeros == _ZEROS:
                return front, after + width.size, count
        return None, 0, 0

    def _made(self, stamp: _Stamp, name: bytes, digits: str, end: int) -> Found | None:
        storages = self._state.storages
        head = stamp.head
        storage = storages.get(digits)
        if storage is not None and (storage.dtype is not head.dtype or storage.numel != stamp.numel):
            return None
        try:
            key = str(name, "utf-8")
        except UnicodeDecodeError:
            return None
        if storage is None:
            storage = storages[digits] = Storage(digits, head.dtype, stamp.numel, head.location, made_by=head.owner)
        like = stamp.like
        tensor = Tensor(storage, head.dtype, like.shape, like.stride, like.offset)
        tensor.requires_grad = like.requires_grad
        return key, tensor, (key, *stamp.absent, tensor), end

    def _next(self, start: int, count: int) -> tuple[int, ...]:
        """Return memo numbers from `start` on."""
        at = start - self._base
        if not 0 <= at <= len(self._numbers) - count:
            self._base, at = start, 0
            self._numbers = tuple(range(start, start + _RAMP))
        return self._numbers[at : at + count]

    def learn(self, match: re.Match[bytes], tensor: Tensor, head: Head) -> None:
        """Keep what a record looks like that was matched behind a key, with a memo number for the key."""
        if self._count >= _MOST:
            return
        data, end = self._data, match.end(_STORAGE)
        middle = data[match.start() + 5 : match.start(_COUNT)]
        width = self._widths.get(len(middle))
        if width is None:
            form = Struct(f"<cI{len(middle)}sB3s")
            width = self._widths[len(middle)] = _Width(form.unpack_from, form.size, {})
        alike = width.fronts.setdefault(middle, {}).setdefault(_few(data, end), [])
        if len(alike) >= _MOST_ALIKE:
            return
        constants, at = [], end
        for start, stop in (match.span(group) for group in _PUTS if match[group] is not None):
            constants.append(data[at:start])
            at = stop
        form = Struct("<" + "".join(f"{len(each)}sI" for each in constants))
        absent = (self._state.absent,) * (len(constants) - 1)
        stamp = _Stamp(form.unpack_from, form.size, tuple(constants), head, tensor.storage.numel, tensor, absent)
        alike.append(stamp)
        self._count += 1
