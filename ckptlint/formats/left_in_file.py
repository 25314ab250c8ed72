"""What was left in the file when a pickle was read: long byte strings, and arrays behind their descriptions."""

from __future__ import annotations

from ckptlint.core.tree import Node


class Left(Node):
    """A byte string that was left in the file: `kind` is `bytes`, `bytearray` or `text` (Python 2's, which may be either)."""

    __slots__ = ("kind", "length", "start")

    def __init__(self, kind: str, start: int, length: int) -> None:
        self.kind = kind
        self.start = start
        self.length = length


class Behind(Node):
    """What `joblib` writes behind the object that describes an array: from byte `start` on."""

    __slots__ = ("start",)

    def __init__(self, start: int) -> None:
        self.start = start
