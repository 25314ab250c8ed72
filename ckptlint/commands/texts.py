"""Text files that commands write: whole or not at all, and never in the place of anything but a file."""

from __future__ import annotations

from pathlib import Path

from ckptlint.errors import OutputError, UsageError


def put(path: Path, text: str, *, new: bool = False) -> None:
    """Write a text, and the folders it is in. `OutputError` where it cannot be.

    A `new` file takes nobody's place: `UsageError` where one is there.
    """
    from ckptlint.formats.atomic import AtomicFile, check_output

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"its folder cannot be made: {error.strerror}", where=str(path)) from error
    if new and path.exists():
        raise UsageError("is there already", where=str(path), hint="take it away, or choose another name")
    if not new:
        check_output(str(path), (), force=True)
    with AtomicFile(str(path), replace=not new) as out:
        out.file.write(text.encode())
        out.commit()
