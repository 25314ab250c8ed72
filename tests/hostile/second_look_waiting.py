"""What only has to end in time and memory, whatever is found in it."""

import gzip
import lzma
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

from hostile.second_look_parts import (
    Builder,
    bomb,
    filed,
    gguf,
    harmless,
    put,
    safetensors,
    tarred,
    torch_zip,
    zipped,
)


def nested(wrap: Callable[[bytes], bytes], depth: int) -> Callable[[str], bytes]:
    """A bomb wrapped that often."""

    def content(marker: str) -> bytes:
        value = bomb(marker)
        for _ in range(depth):
            value = wrap(value)
        return value

    return content


def odd_folder(folder: Path, marker: str) -> Path:
    """A folder with a pipe, a link to itself, a link to an endless device and a hostile name."""
    root = folder / "odd"
    root.mkdir()
    os.mkfifo(root / "a.pt")
    (root / "loop").symlink_to(root)
    (root / "zero.bin").symlink_to("/dev/zero")
    put(root, "\x1b[2J\n.pt", torch_zip(bomb(marker)))
    return root


def zeros(size: int) -> bytes:
    """That many zero bytes in a gzip stream; the checksum behind them is wrong, which is as good, since nobody is to get there."""
    machine = zlib.compressobj(9, zlib.DEFLATED, 31)
    first = machine.compress(bytes(1 << 20)) + machine.flush(zlib.Z_FULL_FLUSH)
    more = machine.compress(bytes(1 << 20)) + machine.flush(zlib.Z_FULL_FLUSH)
    return first + more * ((size >> 20) - 1) + machine.flush()


def zip_of_zeros(count: int, size: int) -> bytes:
    """A zip of pickles that are nothing but zeros, the same record under many names."""
    machine = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = machine.compress(bytes(size)) + machine.flush()
    checksum = zlib.crc32(bytes(size))
    body, directory = b"", b""
    for number in range(count):
        name = f"{number}.pkl".encode()
        shared = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 0, checksum, len(packed), size, len(name), 0)
        directory += b"PK\1\2" + struct.pack("<H", 20) + shared + struct.pack("<HHHII", 0, 0, 0, 0, len(body)) + name
        body += b"PK\3\4" + shared + name + packed
    return body + directory + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, count, count, len(directory), len(body), 0)


WAITING: dict[str, Builder] = {
    "gz-deep": filed("a.gz", nested(lambda b: gzip.compress(b, 1), 300)),
    "zip-deep": filed("a.zip", nested(lambda b: zipped(("a.zip", b)), 200)),
    "tar-deep": filed("a.tar", nested(lambda b: tarred(("a.tar", b)), 60)),
    "pickle-deep": filed("a.pkl", nested(lambda b: b"\x80\x04B" + struct.pack("<I", len(b)) + b + b".", 3000)),
    "gz-bomb": filed("a.gz", lambda m: zeros(256 << 20)),
    "gz-gz-bomb": filed("a.gz", lambda m: gzip.compress(zeros(256 << 20))),
    "xz-bomb": filed("a.xz", lambda m: lzma.compress(bytes(1 << 24), preset=0) * 16),
    "xz-dictionary": filed("a.lzma", lambda m: b"\x5d" + struct.pack("<IQ", 0xFFFFFFFF, 1 << 40) + bytes(64)),
    "zst-window": filed("a.zst", lambda m: b"\x28\xb5\x2f\xfd\x00\xa8" + b"\x01\0\0"),
    "zip-bomb": filed("a.zip", lambda m: zip_of_zeros(8, 1 << 26)),
    "proto-flood": filed("a.bin", lambda m: b"\x80\x04" * 500_000),
    "global-flood": filed("a.bin", lambda m: b"cos\nsystem\n" * 100_000),
    "zip-flood": filed("a.bin", lambda m: b"PK\x03\x04" * 2_000_000),
    "npy-flood": filed("a.bin", lambda m: b"\x93NUMPY\x01\0" * 1_000_000),
    "gz-flood": filed("a.bin", lambda m: b"\x1f\x8b\x08\0" * 1_500_000),
    "mark-flood": filed("a.pkl", lambda m: b"\x80\x04" + b"(" * 2_000_000 + b"."),
    "digits": filed("a.pkl", lambda m: b"I" + b"9" * 2_000_000 + b"\n."),
    "laughs": filed(
        "a.pkl",
        lambda m: (
            b"\x80\x04]q\0"
            + b"".join(b"](" + b"h" + bytes([i]) + b"h" + bytes([i]) + b"eq" + bytes([i + 1]) for i in range(200))
            + b"."
        ),
    ),
    "bytes-shared": filed(
        "a.pkl",
        lambda m: b"\x80\x04]B" + struct.pack("<I", 1 << 20) + bytes(1 << 20) + b"q\0" + b"h\0a" * 50_000 + b".",
    ),
    "many-records": filed("a.pt", lambda m: torch_zip(harmless(), *((f"a/data/{i}", b"") for i in range(5_000)))),
    "deep-json": filed("a.safetensors", lambda m: safetensors(b'{"a":' + b"[" * 3_000_000, b"")),
    "deep-yaml": filed("a.yaml", lambda m: b"a: " + b"[" * 200_000),
    "template-flood": filed("a.gguf", lambda m: gguf({"tokenizer.chat_template": "{{" * 1_000_000})),
    "gguf-array": filed(
        "a.gguf",
        lambda m: (
            b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"a" + struct.pack("<IIQ", 9, 0, 1 << 61)
        ),
    ),
    "tar-size": filed("a.tar", lambda _: tarred(("a", b"abc"))[:124] + b"77777777777\0" + tarred(("a", b"abc"))[136:]),
    "odd-folder": odd_folder,
    "text-flood": filed("a.txt", lambda m: b"c" * 5_000_000),
    "line-flood": filed("a.txt", lambda m: b"c\n" * 3_000_000),
    "string-flood": filed("a.pkl", lambda m: b"\x80\x04]" + b"S''\na" * 40_000 + b"."),
    "code-flood": filed("config.json", lambda m: b'{"auto_map":{' + b'"auto_map":{' * 200_000),
    "fields-flood": filed("a.npy", lambda m: b"\x93NUMPY\x01\0\xf0\xff" + b"'descr':[" * 7_000),
    "python-flood": filed("a.py", lambda m: b"(" * 1_000_000),
}
