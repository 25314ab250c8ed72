"""Colour for terminals, where it is wanted."""

from __future__ import annotations

import os
import sys


def painter(*, colour: bool | None = None) -> Paint:
    """Return what colours text; None asks the terminal."""
    return Paint(colour=_wants_colour() if colour is None else colour)


class Paint:
    """Puts ANSI colour around text, or nothing."""

    def __init__(self, *, colour: bool) -> None:
        self._colour = colour

    def __call__(self, text: str, style: str) -> str:
        return f"\033[{style}m{text}\033[0m" if self._colour else text


def _wants_colour() -> bool:
    """On a terminal, unless NO_COLOR says no; everywhere if FORCE_COLOR says so."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or sys.stdout.isatty()
