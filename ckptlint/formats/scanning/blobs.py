"""A run of bytes that is searched, wherever it lies, and what the search of one file has found so far."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Protocol

from ckptlint.core.checkpoint import ByteSource
from ckptlint.core.survey import Import, Odd, Oddity
from ckptlint.errors import FormatError
from ckptlint.formats.scanning.tracer import Trace

DEEPEST = 8  # containers inside each other
MOST_IN_MEMORY = 96 << 20  # bytes of one pickle, or unpacked from one record
_MOST_SEARCHED = 20_000  # blobs of one file that are more than storages
_MOST_ODDITIES = 200  # of one kind, so that many of a harmless kind never crowd out a grave one


class Readable(Protocol):
    """What can be read by ranges: a byte source, or bytes in memory."""

    size: int

    def read(self, offset: int, length: int) -> bytes: ...


class Memory:
    """Bytes in memory, read by ranges; what lies outside is not there."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.size = len(content)

    def read(self, offset: int, length: int) -> bytes:
        return self._content[offset : offset + length]


class _Whole:
    """A blob as a byte source: what is not there is an error."""

    def __init__(self, blob: Blob) -> None:
        self._blob = blob
        self.name = blob.place
        self.size = blob.length

    def read(self, offset: int, length: int) -> bytes:
        content = self._blob.read(offset, length) if offset >= 0 <= length else b""
        if len(content) != length:
            raise FormatError("ends early", where=f"{self.name}: byte {offset}")
        return content

    def fileno(self) -> int | None:
        return None

    def check_unchanged(self) -> None:
        """It is read once."""


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes `start` to `start + length` of a source. `place` names it for people, `depth` counts the containers around it.

    `nested` where it is a value inside a pickle or array, which nobody unpickles unasked; `main` where it is the file itself, or what that
    unpacks to, and not one of several in it; `name` is its own name without folders.
    """

    source: Readable
    start: int
    length: int
    place: str
    depth: int = 0
    nested: bool = False
    main: bool = False
    name: str = ""

    def read(self, offset: int, length: int) -> bytes:
        """Return what there is of `length` bytes."""
        length = max(0, min(length, self.length - offset))
        return self.source.read(self.start + offset, length) if length else b""

    def source_of_all(self) -> ByteSource:
        """Return the whole of it as what the readers of checkpoints read."""
        return _Whole(self)

    def part(self, offset: int, length: int, name: str, place: str) -> Blob:
        """Return a run inside it, one container deeper."""
        start = self.start + offset
        return replace(self, start=start, length=length, place=place, name=name, depth=self.depth + 1, main=False)

    def unpacked(self, content: bytes, name: str) -> Blob:
        """Return what the whole of it unpacks to, which stands for it."""
        inner = self.holding(content, name, self.place)
        return replace(inner, main=self.main)

    def holding(self, content: bytes, name: str, place: str, *, nested: bool = False) -> Blob:
        """Return bytes that came out of it: a record, or a value."""
        return Blob(Memory(content), 0, len(content), place, self.depth + 1, nested=self.nested or nested, name=name)


@dataclass(slots=True)
class Finds:
    """What was found so far in one file; `missing` and `refusals` are those of the pickles that torch.load itself would run."""

    imports: dict[tuple[str, str], Import] = field(default_factory=dict)
    oddities: list[Oddity] = field(default_factory=list)
    missing: dict[str, None] = field(default_factory=dict)
    refusals: dict[str, None] = field(default_factory=dict)
    kinds: list[str] = field(default_factory=list)
    pickles: int = 0
    searched: int = 0
    counts: Counter[Odd] = field(default_factory=Counter)

    def odd(self, kind: Odd, text: str, place: str) -> None:
        self._add(Oddity(kind, text, place))

    def _add(self, oddity: Oddity) -> None:
        self.counts[oddity.kind] += 1
        if self.counts[oddity.kind] <= _MOST_ODDITIES:
            self.oddities.append(oddity)

    def room(self, blob: Blob) -> bool:
        """Whether there is any left for another blob; where not, that is found, too."""
        self.searched += 1
        if blob.depth <= DEEPEST and self.searched <= _MOST_SEARCHED:
            return True
        if blob.depth == DEEPEST + 1 or self.searched == _MOST_SEARCHED + 1:
            self.odd(Odd.NOT_SEARCHED, "holds more files inside of files than are searched", blob.place)
        return False

    def take(self, trace: Trace, *, main: bool) -> None:
        """Add what a pickle names. Of several uses of a name the worst counts."""
        self.pickles += 1
        for oddity in trace.oddities:
            self._add(oddity)
        for each in trace.imports:
            known = self.imports.get((each.module, each.name))
            if known is None or (known.nested and not each.nested):
                self.imports[each.module, each.name] = each
            elif each.called and not known.called:
                self.imports[each.module, each.name] = replace(known, called=True, arguments=each.arguments)
        if main:
            self.missing |= dict.fromkeys(trace.missing)
            self.refusals |= dict.fromkeys(trace.refusals)
