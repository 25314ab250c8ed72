"""The pieces of the next storages are made while those before are being written.

Gathering and computing need the processor, writing the disk. One batch is made ahead and no more: memory stays at what one block takes to
be made, and one that is being written.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TypeAlias

from ckptlint.core.pieces import Check, Piece, Range, Supply
from ckptlint.core.tree import Storage

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

_MANY: Final = 256  # pieces of a batch, since handing over costs more than a range does
_LARGE: Final = 64 << 10  # bytes of computed pieces that end a batch


class _End:
    """Comes after the last piece of a storage."""


_END: Final = _End()
_Item: TypeAlias = Piece | Check | _End


class Ahead:
    """A context; `pieces()` gives those of the next of `storages` each time. What making them raises comes out of iterating over them."""

    def __init__(self, supply: Supply, storages: Iterable[Storage]) -> None:
        self._items = _items(supply, storages)
        self._pool: ThreadPoolExecutor | None = None
        self._ready: deque[_Item] = deque()
        self._making: Future[list[_Item]] | None = None

    def __enter__(self) -> Self:
        if hasattr(os, "pread"):  # where reads move a position, two threads would be in each other's way
            from concurrent.futures import ThreadPoolExecutor  # a change in place, and a dry run, need none

            self._pool = ThreadPoolExecutor(1, "pieces")
            self._making = self._pool.submit(_batch, self._items)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del kind, error, trace
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def pieces(self) -> Iterator[Piece | Check]:
        """Return the pieces of the next storage; they are to be used up before those of another are asked for."""
        while not isinstance(item := self._next(), _End):
            yield item

    def _next(self) -> _Item:
        if not self._ready:
            if self._pool is None or self._making is None:
                self._ready.extend(_batch(self._items))
            else:
                batch = self._making.result()
                self._making = self._pool.submit(_batch, self._items)
                self._ready.extend(batch)
        return self._ready.popleft()


def _items(supply: Supply, storages: Iterable[Storage]) -> Iterator[_Item]:
    for storage in storages:
        yield from supply(storage)
        yield _END


def _batch(items: Iterator[_Item]) -> list[_Item]:
    batch: list[_Item] = []
    nbytes = 0
    for item in items:
        batch.append(item)
        if not isinstance(item, Range | Check | _End):
            nbytes += len(item) if isinstance(item, bytes) else item.nbytes
        if nbytes >= _LARGE or len(batch) >= _MANY:
            break
    return batch
