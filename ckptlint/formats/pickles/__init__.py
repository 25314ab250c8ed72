"""Pickles, read and written without running anything in them. The pickler is imported when something is to be written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ckptlint.formats.pickles.limits import Limits
from ckptlint.formats.pickles.machine import GlobalUse, Pickle, read
from ckptlint.formats.pickles.state import Note

if TYPE_CHECKING:
    from ckptlint.formats.pickles.pickler import write

__all__ = ["GlobalUse", "Limits", "Note", "Pickle", "read", "write"]


def __getattr__(name: str) -> object:
    if name == "write":
        from ckptlint.formats.pickles.pickler import write

        return write
    raise AttributeError(name)
