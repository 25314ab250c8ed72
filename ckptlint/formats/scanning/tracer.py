"""Follow a pickle to where a loader would stop, and note all that it names, calls and hides on the way.

Unlike the machine that reads checkpoints this one accepts what Python's own unpickler accepts (every opcode, computed names, objects
that are no data), since that is what runs. It keeps no tree: values are the little that later opcodes can make use of.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ckptlint.checks.trust.weights_only import ALLOWED, BLOCKED, OPCODES
from ckptlint.core.survey import Import, Odd, Oddity
from ckptlint.formats.pickles.names import modern
from ckptlint.formats.pickles.opcodes import NAMES
from ckptlint.formats.scanning.values import UNKNOWN, Named, Piece, Row, Thing

_MOST_OPERATIONS = 20_000_000
_MOST_MARKS = 200_000
_MOST_NAMES = 100_000
_MOST_UNFOLDED = 1 << 30  # values
_MOST_ODDITIES = 50  # of one pickle and kind; after that they say nothing new
_PIECE = 4  # bytes from which a value can hide a pickle
_MOST_PIECES = 200_000
_CALLED_LINE = re.compile(rb"(?<![\w.])([\w.]{2,})\n(?=([A-Za-z_][\w.]{0,99})\n)")  # two lines: GLOBAL and INST
_OPENS = re.compile(r"[ci](?=[^\d.])")
_LONGEST = 101  # bytes of an opcode and a module
_CALLED_TEXTS = re.compile(rb"\x8c(.)([A-Za-z_][\w.]{0,254})\x94?\x8c(.)([A-Za-z_][\w.]{0,254})\x94?\x93", re.DOTALL)


class BrokenError(Exception):
    """The pickle cannot go on: whoever loads it stops here with an error."""


class Trace(NamedTuple):
    """What was met. `end` is the position after STOP, or where it broke; `broken` says why, empty where it ends with STOP.

    `missing` and `refusals` are what torch's weights_only unpickler says: names it would have to be told, and what it never takes.
    """

    end: int
    broken: str
    protocol: int
    imports: tuple[Import, ...]
    oddities: tuple[Oddity, ...]
    pieces: tuple[Piece, ...]
    missing: tuple[str, ...]
    refusals: tuple[str, ...]
    operations: int


_BEHIND = (
    64 << 10
)  # bytes behind what merely looks like the beginning of a pickle: weights do every few hundred thousand bytes


class Tracer:
    """The state of one run over `data` from `start`; handlers in `trace_ops` change it."""

    def __init__(self, data: bytes, place: str, start: int, *, nested: bool) -> None:
        self.data = data
        self.place = place
        self.nested = nested
        self.stack: list[Thing] = []
        self.outer: list[list[Thing]] = []
        self.memo: dict[int, Thing] = {}
        self.protocol = 0
        self.start = start
        self.at = start  # of the opcode that runs
        self.names: dict[tuple[str, str], Named] = {}
        self.offsets: list[int] = []
        self.called: set[int] = set()
        self.made: set[int] = set()
        self.arguments: dict[int, str] = {}
        self.oddities: list[Oddity] = []
        self.counts: Counter[Odd] = Counter()
        self.pieces: list[Piece] = []
        self.missing: dict[str, None] = {}
        self.refusals: dict[str, None] = {}
        self.foreign: set[int] = set()
        self.stopped = False
        self.broken = ""
        self.operations = 0
        self.frame_end = 0
        self.unfolded = 0
        self.doubtful = len(data)

    def run(self, handlers: dict[int, Callable[[Tracer, int], int]]) -> Trace:
        try:
            self._run(handlers)
        except BrokenError as error:
            self.broken = str(error)
        except (IndexError, struct.error):
            self.broken = "it ends early, or takes a value that is not there"
        if self.broken:
            self.doubtful = min(self.doubtful, self.at)
        if self.doubtful < len(self.data):
            self._look_behind(self.doubtful)
        return self._trace()

    def _run(self, handlers: dict[int, Callable[[Tracer, int], int]]) -> None:
        data, position = self.data, self.start
        while not self.stopped:
            self.at = position
            code = data[position]
            if code not in OPCODES:
                self._foreign(code)
            handler = handlers.get(code)
            if handler is None:
                raise BrokenError(f"{code:#04x} is no pickle opcode")
            position = handler(self, position + 1)
            self.operations += 1
            if self.frame_end and position >= self.frame_end:
                self._leave_frame(position)
            if self.operations > _MOST_OPERATIONS or len(self.outer) > _MOST_MARKS:
                self.odd(Odd.BOMB, "has more operations or open marks than any checkpoint, to keep its reader busy")
                raise BrokenError("it was not followed to its end")
        self.at = position
        if self.unfolded > max(_MOST_UNFOLDED, 1000 * self.operations):
            self.odd(
                Odd.BOMB,
                f"unfolds to {self.unfolded} values, because they share each other: whoever walks it never ends",
            )

    def _leave_frame(self, position: int) -> None:
        if position > self.frame_end and not self.stopped:
            self.lie("has an operation that crosses the end of its frame: readers differ in what they run")
        self.frame_end = 0

    def lie(self, text: str) -> None:
        """Note a frame that some readers believe and others do not: what they run are different opcodes."""
        self.odd(Odd.FRAME, text)
        self.doubtful = min(self.doubtful, self.at)

    def _foreign(self, code: int) -> None:
        if code not in self.foreign and code in NAMES:
            self.foreign.add(code)
            self.refuse(f"it does not know the opcode {NAMES[code]}")

    def odd(self, kind: Odd, text: str) -> None:
        self.counts[kind] += 1
        if self.counts[kind] <= _MOST_ODDITIES:
            self.oddities.append(Oddity(kind, text, self.where(self.at)))

    def refuse(self, reason: str) -> None:
        if len(self.refusals) < _MOST_ODDITIES:
            self.refusals[reason] = None

    def where(self, offset: int) -> str:
        return f"{self.place}: byte {offset}"

    def pop(self) -> Thing:
        return self.stack.pop()

    def pop_mark(self) -> list[Thing]:
        values = self.stack
        self.stack = self.outer.pop()
        return values

    def line(self, position: int) -> tuple[bytes, int]:
        end = self.data.find(b"\n", position)
        if end < 0:
            raise BrokenError("it ends within a line of text")
        return self.data[position:end], end + 1

    def block(self, position: int, length: int) -> tuple[bytes, int]:
        end = position + length
        if end > len(self.data):
            raise BrokenError(f"a value of {length} bytes ends behind the data")
        return self.data[position:end], end

    def keep(self, content: bytes, *, loaded: bool = False) -> bytes:
        """Remember bytes that may be a file of their own; `loaded` where the pickle has them loaded."""
        if len(content) >= _PIECE:
            if len(self.pieces) < _MOST_PIECES:
                self.pieces.append(Piece(content, self.at, loaded))
            elif not self.counts[Odd.NOT_SEARCHED]:
                self.odd(
                    Odd.NOT_SEARCHED, f"holds more than {_MOST_PIECES} values of bytes; the others were not searched"
                )
        return content

    def name(self, module: Thing, name: Thing) -> Thing:
        """Note a global; what names it need not be constant."""
        if not isinstance(module, str) or not isinstance(name, str):
            if module is None or isinstance(module, int | float | bytes | Row) or isinstance(name, int | float | Row):
                raise BrokenError("a class is named by something that is not text")
            self.odd(Odd.COMPUTED_CALL, "names a class or function that it computes, so that nobody can tell which")
            self.refuse("it names what it computes")
            return UNKNOWN
        found = self.names.get((module, name))
        if found is None:
            if len(self.names) >= _MOST_NAMES:
                raise BrokenError("it names more classes than anyone has")
            found = self.names[module, name] = Named(module, name, len(self.offsets))
            self.offsets.append(self.at)
            self._admit(module, name)
        return found

    def _admit(self, module: str, name: str) -> None:
        module, name = modern(module, name)
        full = f"{module}.{name}"
        if module in BLOCKED:
            self.refuse(f"it never takes a name of {module}, such as {full}")
        elif full not in ALLOWED:
            self.missing[full] = None

    def _look_behind(self, start: int) -> None:
        """Look for names in what follows a fault: a reader that forgives it would meet them."""
        from ckptlint.checks.trust import Trust, is_notable, judge

        stop = len(self.data) if self.start == 0 else min(len(self.data), start + _BEHIND)
        for module, name, offset in _hidden(self.data, start, stop):
            if (
                (module, name) not in self.names
                and len(self.names) < _MOST_NAMES
                and is_notable(module, name)
                and judge(module, name).trust is Trust.DANGEROUS
            ):
                self.names[module, name] = Named(module, name, len(self.offsets))
                self.offsets.append(offset)

    def _trace(self) -> Trace:
        imports = [
            Import(
                named.module,
                named.name,
                self.where(self.offsets[named.number]),
                called=named.number in self.called,
                made=named.number in self.made,
                arguments=self.arguments.get(named.number, ""),
                nested=self.nested,
            )
            for named in self.names.values()
        ]
        return Trace(
            self.at,
            self.broken,
            self.protocol,
            tuple(imports),
            tuple(self.oddities),
            tuple(self.pieces),
            tuple(self.missing),
            tuple(self.refusals),
            self.operations,
        )


def _hidden(data: bytes, start: int, stop: int) -> Iterator[tuple[str, str, int]]:
    """Yield what could be globals in a run of bytes, wherever an opcode could begin: module, name and offset.

    Text before a line can be a module from any of its letters c and i on; of those that are judged alike the first is enough.
    """
    run = memoryview(data)[start:stop]
    for found in _CALLED_LINE.finditer(run):
        text, name = found[1][-_LONGEST:].decode("latin1"), found[2].decode("latin1")
        for at in _beginnings(text):
            yield text[at + 1 :], name, start + found.end(1) - len(text) + at
    for found in _CALLED_TEXTS.finditer(data, start, stop):
        yield found[2].decode("latin1"), found[4].decode("latin1"), found.start()


def _beginnings(text: str) -> Iterator[int]:
    """Yield the letters c and i of a text behind which a module is to be judged.

    They are those before a module told by its first part, and the first of the others, which has all parts of the rest.
    """
    from ckptlint.checks.trust import LONGEST_TOP, is_told

    tops = ((opens.start(), text[opens.end() :].partition(".")[0]) for opens in _OPENS.finditer(text))
    longest = next((at for at, top in tops if not is_told(top)), None)
    if longest is not None:
        yield longest
    begin = 0
    for part in text.split("."):
        end = begin + len(part)
        near = begin if part.endswith("__") else max(begin, end - LONGEST_TOP - 1)
        for opens in _OPENS.finditer(text, near, end):
            if is_told(text[opens.end() : end]):
                yield opens.start()
        begin = end + 1
