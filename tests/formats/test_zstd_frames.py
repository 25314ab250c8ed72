"""A zstd stream that is cut off anywhere is refused, of one frame or several."""

import struct

import pytest
from formats.sources import Counted

from ckptlint.errors import FormatError
from ckptlint.formats.wrapped import unpack
from ckptlint.formats.zstd_frames import check_whole

SKIPPED = struct.pack("<II", 0x184D2A53, 4) + b"note"


def frame(*blocks, described=0x20, head=b"\x09"):
    """A frame of stored blocks; one that is a number is a byte repeated so often."""
    body = b""
    for number, block in enumerate(blocks):
        last = number == len(blocks) - 1
        length, kind, content = (block, 1, b"x") if isinstance(block, int) else (len(block), 0, block)
        body += (length << 3 | kind << 1 | last).to_bytes(3, "little") + content
    return struct.pack("<IB", 0xFD2FB528, described) + head + body


STREAMS = {
    "stored": frame(b"hello", b"more"),
    "repeated": frame(1000, b"end"),
    "a window, a dictionary and a size": frame(b"hello", described=0x42, head=b"\x00" + bytes(4)),
    "several": frame(b"one") + SKIPPED + frame(b"two"),
}


@pytest.mark.parametrize("name", STREAMS)
def test_every_cut_is_found(name):
    content = STREAMS[name]
    check_whole(Counted(content))
    ends = {length for length in range(len(content) + 1) if frame_ends(content, length)}
    for length in set(range(1, len(content))) - ends:
        with pytest.raises(FormatError, match="is cut off") as caught:
            check_whole(Counted(content[:length]))
        assert caught.value.rule == "CKC103"


def frame_ends(content, length):
    """Whether a frame ends there: what is left is whole."""
    return content[:length] in (
        b"",
        *(STREAMS["several"][:end] for end in (len(frame(b"one")), len(frame(b"one")) + len(SKIPPED))),
    )


def test_what_is_no_frame_is_left_to_the_decompressor():
    check_whole(Counted(frame(b"hello") + b"garbage"))


def test_a_stream_of_the_library_comes_out_or_is_refused():
    zstandard = pytest.importorskip("zstandard")
    content = bytes(range(256)) * 2000
    packed = zstandard.ZstdCompressor(write_checksum=True).compress(content)
    for stream, wanted in ((packed, content), (packed + SKIPPED + packed, 2 * content)):
        source = unpack(Counted(stream), "zstd")
        assert source.read(0, source.size) == wanted
        source.close()
    for length in range(4, len(packed)):
        with pytest.raises(FormatError, match="is cut off"):
            unpack(Counted(packed[:length]), "zstd")
