"""What commands say beside their output: on stderr, so that stdout stays data. Progress shows on terminals only."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_listener: ContextVar[list[str] | None] = ContextVar("listener", default=None)
_SMALL = 256 << 20  # bytes; below this a bar would only flash


def talk(text: str) -> None:
    """Say one line, to whom `overheard` gathers it for, else on stderr."""
    listener = _listener.get()
    if listener is None:
        sys.stderr.write(text + "\n")
    else:
        listener.append(text)


@contextmanager
def overheard() -> Iterator[list[str]]:
    """Gather what the body says, for a caller that is a program: nothing of it goes to stderr."""
    said: list[str] = []
    token = _listener.set(said)
    try:
        yield said
    finally:
        _listener.reset(token)


@contextmanager
def progress(total: int, label: str) -> Iterator[Callable[[int], object]]:
    """Show a bar of bytes while the body calls what this yields with each number of bytes moved."""
    if total < _SMALL or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn(label), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda moved: bar.update(task, advance=moved)
