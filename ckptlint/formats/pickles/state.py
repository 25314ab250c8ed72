"""What a pickle machine has in its hands: the bytes, the stack, the memo and what it has met so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol, TypeAlias

from ckptlint.core.tree import Global, Node, Storage, Tuple, Value
from ckptlint.errors import FormatError
from ckptlint.formats.pickles.limits import Limits
from ckptlint.formats.pickles.opcodes import ARGUMENT_BYTES, NAMES

HALT = 1 << 62  # the position after STOP: behind every end

_ENDED = "a download or a save was interrupted, or the disk was full; fetch or save it again"


class Note(NamedTuple):
    """Something a reader may want to judge: `kind` is stable, `text` is for people, `offset` is a byte of the buffer."""

    kind: str
    text: str
    offset: int


class Ahead(Protocol):
    """A reader of whole runs of opcodes. It may leave memo entries absent as long as nobody asks for them."""

    def run(self, position: int) -> int:
        """Read on from behind the call that made a tensor, as far as it goes; return the next position."""
        ...

    def recall(self, index: int) -> None:
        """Fill the memo entries that were left absent with this one."""
        ...

    def settle(self) -> None:
        """Fill all of them, and never run again."""
        ...


class _Absent(Tuple):
    """A memo entry that holds nothing yet."""

    __slots__ = ()


class State:
    """One run of the machine. Handlers take it and the position after their opcode; they return the next position.

    `stack` holds the values since the last MARK, `outer` the stacks below. `memo` is a list, as writers number it densely; `absent`
    fills its gaps. `own` are makers of who runs the machine; `shift` is how many bytes were left out of the buffer so far, so that messages
    name bytes of the file. Nothing that comes from the file is hashed but strings and, by identity, nodes.
    """

    __slots__ = (
        "absent",
        "called",
        "data",
        "empty",
        "end",
        "frame_end",
        "globals",
        "limits",
        "made",
        "makers",
        "memo",
        "notes",
        "objects",
        "origin",
        "outer",
        "own",
        "protocol",
        "records",
        "rounds",
        "shift",
        "sparse",
        "stack",
        "start",
        "stopped",
        "storages",
    )

    def __init__(self, data: bytes | bytearray | memoryview, origin: str, limits: Limits, start: int) -> None:
        self.data = data
        self.origin = origin
        self.limits = limits
        self.start = start
        self.end = len(data)
        self.stack: list[Value] = []
        self.outer: list[list[Value]] = []
        self.memo: list[Value] = []
        self.absent = _Absent(())
        self.empty = Tuple(())
        self.sparse = False
        self.records: Ahead | None = None
        self.globals: dict[tuple[str, str], Global] = {}
        self.makers: dict[Global, Maker] = {}
        self.called: set[Global] = set()
        self.made: set[Global] = set()
        self.storages: dict[str, Storage] = {}
        self.notes: list[Note] = []
        self.objects: Mapping[str, Node] | None = None
        self.own: Mapping[tuple[str, str], Maker] = {}
        self.shift = 0
        self.protocol = 0
        self.frame_end = 0
        self.stopped = -1
        self.rounds = 0

    def fail(self, message: str, position: int) -> FormatError:
        """Return the error of a pickle that is malformed at a byte of the buffer."""
        return FormatError(message, where=f"{self.origin}: byte {position + self.shift}")

    def ended(self, message: str, position: int) -> FormatError:
        """Return the error of a pickle that is not all there."""
        return FormatError(message, where=f"{self.origin}: byte {position + self.shift}", hint=_ENDED, rule="CKC103")

    def short(self, position: int) -> FormatError:
        """Return the error of an opcode that found too few bytes after it, or too few values before it."""
        if position >= self.end:
            return self.ended("the pickle ends before its STOP", position)
        code = self.data[position]
        if position + 1 + ARGUMENT_BYTES.get(code, 0) > self.end:
            return self.ended(f"the pickle ends inside {NAMES[code]}", position)
        return self.fail(f"{NAMES[code]} lacks a value on the stack", position)

    def pop_mark(self) -> list[Value]:
        """Return the values since the last MARK and forget it; `IndexError`, which the machine turns into its error, without one."""
        values = self.stack
        self.stack = self.outer.pop()
        return values

    def reach(self, position: int, length: int, what: str) -> int:
        """Return the end of `length` bytes at a position, checked before anyone slices."""
        stop = position + length
        if stop > self.end:
            raise self.ended(f"{what} of {length} bytes ends behind the data", position)
        return stop

    def line(self, position: int) -> tuple[bytes, int]:
        """Return the text up to the next newline, and the position after it."""
        window = 256
        while True:
            text = bytes(self.data[position : position + window])
            newline = text.find(b"\n")
            if newline >= 0:
                return text[:newline], position + newline + 1
            if position + window >= self.end:
                raise self.ended("the pickle ends inside a line of text", position)
            window *= 4

    def put(self, index: int, position: int) -> None:
        """Memoize the top of the stack under an index that is not simply the next one."""
        value = self.stack[-1]
        gap = index - len(self.memo)
        if gap < 0:
            if self.records is not None:
                self.records.settle()
            self.memo[index] = value
            return
        if index > position:
            raise self.fail(f"memo index {index} is larger than the pickle so far", position)
        self.sparse = True
        self.memo.extend([self.absent] * gap)
        self.memo.append(value)

    def get(self, index: int, position: int) -> Value:
        """Return a memo entry that is absent or was put off."""
        if self.records is not None and index < len(self.memo):
            self.records.recall(index)
            if self.memo[index] is not self.absent:
                return self.memo[index]
        raise self.fail(f"memo entry {index} was never stored", position)

    def check(self, position: int) -> None:
        """Compare what was used so far with the limits; the machine asks every so many operations."""
        limits = self.limits
        if position - self.start > limits.size:
            raise self.fail(f"the pickle is larger than {limits.size} bytes", position)
        if len(self.stack) + sum(map(len, self.outer)) > limits.stack:
            raise self.fail(f"more than {limits.stack} values are on the stack", position)
        if len(self.memo) > limits.memo:
            raise self.fail(f"more than {limits.memo} values are in the memo", position)


Handler: TypeAlias = "Callable[[State, int], int]"
Maker: TypeAlias = "Callable[[State, Global, Tuple, int], Value]"
