"""Whether a zstd stream is all there: its frames, walked by their block headers, since the decompressor takes any beginning of one for all.

Source: RFC 8878, 3.1.
"""

from __future__ import annotations

from typing import Final

from ckptlint.core.checkpoint import ByteSource
from ckptlint.formats.cursor import Cursor

_FRAME: Final = 0xFD2FB528
_SKIPPABLE: Final = 0x184D2A50  # and the 15 numbers after it
_MOST: Final = 1 << 30  # bytes of headers
_PORTION: Final = 16
_DICTIONARY: Final = (0, 1, 2, 4)  # bytes of its id
_CONTENT_SIZE: Final = (0, 2, 4, 8)
_RUN, _RESERVED = 1, 3  # kinds of blocks: one byte repeated, and none yet


def check_whole(source: ByteSource) -> None:
    """`FormatError` where the last frame of a stream is cut off. What is no frame is left for the decompressor to refuse."""
    cursor = Cursor(source, most=_MOST, portion=_PORTION)
    while cursor.left:
        magic = int(cursor.number("I"))
        if magic & ~0xF == _SKIPPABLE:
            cursor.skip(int(cursor.number("I")))
        elif magic != _FRAME or not _frame(cursor):
            return


def _frame(cursor: Cursor) -> bool:
    """Pass over a frame; whether it is one."""
    described = cursor.take(1)[0]
    single = bool(described & 0x20)
    sizes = _CONTENT_SIZE[described >> 6] or int(single)
    cursor.skip((not single) + _DICTIONARY[described & 3] + sizes)
    last = False
    while not last:
        block = int.from_bytes(cursor.take(3), "little")
        last = bool(block & 1)
        kind = block >> 1 & 3
        if kind == _RESERVED:
            return False
        cursor.skip(1 if kind == _RUN else block >> 3)
    cursor.skip(4 if described & 4 else 0)
    return True
