"""Places in source text: where a key is defined, and how one gets there from the model's own class."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """A range of a text file; lines and columns count from 1, columns in characters, the end column is one behind the last.

    `said` names what stands there (`Block: self.conv1 = nn.Conv2d(3, 8, 1)`), `revision` the git revision whose text it is, '' for
    the work tree.
    """

    path: str
    line: int
    column: int = 1
    end_line: int = 0
    end_column: int = 0
    said: str = ""
    revision: str = ""

    def __str__(self) -> str:
        return f"{self.path}@{self.revision}:{self.line}" if self.revision else f"{self.path}:{self.line}"


@dataclass(frozen=True, slots=True)
class Definition:
    """Where a key is defined: `place`, the way there from the model's class (`flow`, outermost first, `place` among it), and other places.

    `related` are other branches that may define it, and what it was before. `sure` is False where only the neighbourhood is known.
    """

    place: Place
    flow: tuple[Place, ...] = ()
    related: tuple[Place, ...] = ()
    sure: bool = True
