"""Pieces of a tensor: which box of it each is, and where its elements lie."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from ckptlint.core.checkpoint import ByteSource
from ckptlint.core.pieces import Range


class Located(NamedTuple):
    """Elements in a file: the first is at byte `start`, `strides` count elements.

    `record` is the run of bytes that they are part of, with its checksum, where the file has one.
    """

    source: ByteSource
    start: int
    strides: tuple[int, ...]
    swapped: bool = False
    record: Range | None = None


@dataclass(frozen=True)  # not slots: `located` is kept in the instance
class Patch:
    """A box of a tensor, from index `offsets` on, `sizes` long, whose elements are where `locate` says."""

    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    locate: Callable[[], Located]

    @cached_property
    def located(self) -> Located:
        return self.locate()
