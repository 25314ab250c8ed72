"""Bring to an end what killed runs began at the place of an output: finish it, take it back, or clear it away."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack

from ckptlint.errors import OutputError, UsageError
from ckptlint.formats.finished import listed
from ckptlint.formats.leftovers import OLD, held, leftovers, remove
from ckptlint.formats.moving import finish_folder, under_way, undo_folder


def check_settled_output(path: str) -> None:
    """`UsageError` where a run was killed while it put its files in place: the user says which way it goes."""
    for place in leftovers(path):
        if _is_unsettled(place, path):
            hint = f"`ckptlint recover {path}` finishes it, with --undo takes it back"
            raise UsageError("was being put in place when a run was killed", where=path, hint=hint)


def clear(path: str, finished: str = "which --resume would have begun with") -> Iterator[str]:
    """Remove what killed runs left of an output that they had not begun to put in place; say so, one line each.

    `finished` says what of the files that were finished.
    """
    for place in list(leftovers(path)):
        files = len(list(listed(place)))
        freed = _removed(place, path)
        if freed is not None:
            some = f", {files} finished files, {finished}" if files else ""
            yield f"note: removed what a killed run left: {os.path.basename(place)}, {freed:,} bytes{some}"


def settle(path: str, *, undo: bool) -> bool:
    """Finish what a killed run was putting in place, or take it back, and clear away the rest; whether there was anything.

    Finished files that are in no place yet stay, unless the run is to be undone.
    """
    found = take_back(path) if undo else _ended(path, undo=False)
    for place in list(leftovers(path)):
        if undo or not any(listed(place)):
            found = _removed(place, path) is not None or found
    return found


def take_back(path: str) -> bool:
    """Take back what a killed run was putting in place; its files stay beside it. Whether there was such a run."""
    return _ended(path, undo=True)


def _ended(path: str, *, undo: bool) -> bool:
    found = False
    try:
        for place in list(leftovers(path)):
            work = place.removesuffix(OLD)
            with held(work if os.path.exists(work) else place) as free:
                if free and _is_unsettled(place, path):
                    _settle(work, os.path.realpath(path), undo=undo)
                    found = True
    except OSError as error:
        raise OutputError(f"cannot be put in place: {error.strerror or error}", where=path) from error
    return found


def _settle(work: str, path: str, *, undo: bool) -> None:
    moving = under_way(work)
    if moving is None:
        undo_folder(work, path) if undo else finish_folder(work, path)
    elif undo:
        moving.undo()
    else:
        moving.finish()
        moving.forget()


def _is_unsettled(place: str, path: str) -> bool:
    """Whether anything of this leftover is missed at its place."""
    if place.endswith(OLD):
        return not os.path.lexists(os.path.realpath(path)) or under_way(place.removesuffix(OLD)) is not None
    return under_way(place) is not None


def _removed(place: str, path: str) -> int | None:
    """Remove a leftover that nobody holds and nothing is missed of; return the bytes that it took, None where it stays."""
    with ExitStack() as stack:
        work = place.removesuffix(OLD)
        if not stack.enter_context(held(work if os.path.exists(work) else place)) or _is_unsettled(place, path):
            return None
        return remove(place)
