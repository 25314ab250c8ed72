"""Whether a change of a file in place was finished: its journal lies beside it until it was."""

from __future__ import annotations

import os

from ckptlint.errors import FormatError


def journal_of(path: str) -> str:
    """The place of a file's journal; a symbolic link's is beside what it leads to."""
    folder, name = os.path.split(os.path.realpath(path))
    return os.path.join(folder, f".{name}.ckptlint-journal")


def check_settled(path: str) -> None:
    """`FormatError` where a change of the file was interrupted."""
    try:
        unsettled = os.path.lexists(journal_of(path))
    except (OSError, ValueError):
        return  # a name that cannot be: whoever opens it says so
    if unsettled:
        cure = f"`ckptlint recover {path}` finishes it, with --undo takes it back"
        raise FormatError("a change in place of this file was interrupted, or is under way", where=path, hint=cure)
