"""Lines of code: which of those an error passed is the user's own, and how it is written."""

from __future__ import annotations

import sys
import sysconfig
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

_INSTALLED = frozenset({"site-packages", "dist-packages"})


class Place(NamedTuple):
    """One line that was running."""

    file: str
    line: int
    function: str


@dataclass(frozen=True, slots=True)
class Project:
    """The user's own code: what lies below one of `roots`. Paths are shown relative to `folder`."""

    folder: Path
    roots: tuple[Path, ...]

    def show(self, file: str) -> str:
        path = Path(file)
        return str(path.relative_to(self.folder)) if path.is_relative_to(self.folder) else file

    def place(self, error: BaseException) -> str:
        """Return the last own line that an error passed, `models/vit.py:42 in Block.__init__`; "" where there is none."""
        found = self._last_own(places(error))
        return f"{self.show(found.file)}:{found.line} in {found.function}" if found else ""

    def _last_own(self, passed: Sequence[Place]) -> Place | None:
        seen = [place for place in passed if not _is_machinery(place.file)]
        own = [place for place in seen if any(_is_below(place.file, root) for root in self.roots)]
        foreign = [place for place in seen if not _is_library(place.file)]
        return next((group[-1] for group in (own, foreign, seen) if group), None)


def places(error: BaseException) -> list[Place]:
    """Every line that an error passed, outermost first."""
    walked = traceback.walk_tb(error.__traceback__)
    return [Place(frame.f_code.co_filename, line, _function(frame.f_code.co_qualname)) for frame, line in walked]


def _function(name: str) -> str:
    return "the module itself" if name == "<module>" else name.rpartition("<locals>.")[2]


def _is_below(file: str, root: Path) -> bool:
    path = Path(file)
    return path.is_relative_to(root) and not _INSTALLED & set(path.relative_to(root).parts)


def _is_machinery(file: str) -> bool:
    return file.startswith("<frozen ") or Path(file).parent == Path(__file__).parent


def _is_library(file: str) -> bool:
    paths = sysconfig.get_paths()
    torch = getattr(sys.modules.get("torch"), "__file__", None)
    homes = [Path(paths["stdlib"]), Path(paths["platstdlib"]), *([Path(torch).parent] if torch else [])]
    return any(_is_below(file, home) for home in homes)
