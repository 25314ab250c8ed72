"""Work beside the copying: checksums, in the order they were asked for, on a thread of their own.

Python lets go of its lock while it reads and sums, so that on a machine with two cores the sums cost no time.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

_LAG = 16  # tasks that may wait: a disk that is read twice should still have the first reading in memory


class Aside:
    """A context in which `add` runs tasks one after the other; what a task raises comes out of a later call of `add` or `finish`."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: deque[Future[None]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del kind, error, trace
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def add(self, task: Callable[[], None]) -> None:
        """Have a task done after all that were added before."""
        if not hasattr(os, "pread"):
            task()  # where reads move a position, two threads would be in each other's way
            return
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor  # a change in place, and a dry run, need none

            self._pool = ThreadPoolExecutor(1, "checksums")
        self._waiting.append(self._pool.submit(task))
        while len(self._waiting) > _LAG:
            self._waiting.popleft().result()

    def finish(self) -> None:
        """Wait until everything is done."""
        while self._waiting:
            self._waiting.popleft().result()
