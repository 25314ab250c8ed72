"""Pickles, read and written without running anything in them."""

from ckptlint.formats.pickles.limits import Limits
from ckptlint.formats.pickles.machine import GlobalUse, Pickle, read
from ckptlint.formats.pickles.pickler import write
from ckptlint.formats.pickles.state import Note

__all__ = ["GlobalUse", "Limits", "Note", "Pickle", "read", "write"]
