"""What a look for danger found in a file: what it names, and what about its form is odd. The file need not be readable."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Odd(StrEnum):
    """What can be odd about a file's form; each is the `kind` of a rule of family CKC."""

    # what it is
    NO_CHECKPOINT = "no-checkpoint"
    DISGUISED = "disguised"
    UNREADABLE = "unreadable"
    NOT_SEARCHED = "not-searched"
    # archives
    REPEATED_RECORD = "repeated-record"
    CASE_COLLISION = "case-collision"
    HEADER_DISAGREES = "header-disagrees"
    OVERLAP = "overlap"
    HIDDEN_RECORD = "hidden-record"
    OUTSIDE = "outside"
    CHECKSUM = "checksum"
    BOMB = "bomb"
    LEADS_OUT = "leads-out"
    ENCRYPTED = "encrypted"
    CODE = "code"
    PROGRAM = "program"
    STRAY = "stray"
    # pickles
    COMPUTED_CALL = "computed-call"
    CODE_ARGUMENT = "code-argument"
    EXTENSION = "extension"
    SECOND_PICKLE = "second-pickle"
    TRAILING = "trailing"
    HASH_BOMB = "hash-bomb"
    MEMORY_BOMB = "memory-bomb"
    MALFORMED = "malformed"
    FRAME = "frame"
    PATCHES = "patches"
    # tensors
    EXPANSION = "expansion"


@dataclass(frozen=True, slots=True)
class Import:
    """A class or function that a pickle names. `place` is where (`model/data.pkl: byte 12`), `path` where in the tree, if anywhere.

    `called` where the pickle asks for its call, `made` where it asks for an instance; `arguments` is a short text of what it is given.
    `nested` where the pickle lies inside a value, so that torch.load alone does not run it.
    """

    module: str
    name: str
    place: str
    called: bool = False
    made: bool = False
    path: str = ""
    arguments: str = ""
    nested: bool = False

    @property
    def full(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(frozen=True, slots=True)
class Oddity:
    """Something odd: `text` says what, as a sentence without a subject where the file is the subject, `place` where."""

    kind: Odd
    text: str
    place: str


@dataclass(frozen=True, slots=True)
class Survey:
    """All of it for one file. `kind` names what the file is, empty where nobody knows; `pickles` counts those that were traced.

    `missing` are the globals that `torch.load(weights_only=True)` would have to be told to trust, `refusals` the reasons why it refuses the
    file whatever it is told (empty together: it loads).
    """

    origin: str
    kind: str = ""
    pickles: int = 0
    imports: tuple[Import, ...] = ()
    oddities: tuple[Oddity, ...] = ()
    missing: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default_factory=tuple)
