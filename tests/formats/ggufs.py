"""GGUF files for tests, written field by field as ggml's specification says."""

import struct
from dataclasses import dataclass

TYPES = {"u8": 0, "i8": 1, "u16": 2, "i16": 3, "u32": 4, "i32": 5, "f32": 6, "bool": 7, "text": 8, "array": 9}
TYPES |= {"u64": 10, "i64": 11, "f64": 12}
CODES = {"u8": "B", "i8": "b", "u16": "H", "i16": "h", "u32": "I", "i32": "i", "f32": "f", "bool": "?"}
CODES |= {"u64": "Q", "i64": "q", "f64": "d"}


def text(value, order="<"):
    content = value if isinstance(value, bytes) else value.encode()
    return struct.pack(order + "Q", len(content)) + content


def value(kind, given, order="<"):
    """A value of a type; an array is `("array", (kind of the members, members))`."""
    if kind == "text":
        return text(given, order)
    if kind == "array":
        inner, members = given
        return struct.pack(order + "IQ", TYPES[inner], len(members)) + b"".join(value(inner, m, order) for m in members)
    return struct.pack(order + CODES[kind], given)


@dataclass
class Entry:
    """A tensor: its shape as torch writes it, ggml's number of its type, its bytes."""

    name: str
    shape: tuple
    number: int
    content: bytes
    offset: int | None = None
    axes: int | None = None


def gguf(metadata, entries, *, order="<", version=3, alignment=32, tensors=None, pairs=None, tail=b""):
    """The file; `metadata` is {key: (kind, value)}, or a list of such pairs. The keywords tell lies."""
    given = list(metadata.items() if isinstance(metadata, dict) else metadata)
    head = b"GGUF" + struct.pack(
        order + "IQQ", version, len(entries) if tensors is None else tensors, len(given) if pairs is None else pairs
    )
    for key, (kind, stored) in given:
        head += text(key, order) + struct.pack(order + "I", TYPES[kind]) + value(kind, stored, order)
    data = b""
    for entry in entries:
        offset = len(data) if entry.offset is None else entry.offset
        axes = len(entry.shape) if entry.axes is None else entry.axes
        head += text(entry.name, order) + struct.pack(order + "I", axes)
        head += b"".join(struct.pack(order + "Q", size) for size in reversed(entry.shape))
        head += struct.pack(order + "IQ", entry.number, offset)
        data += entry.content + bytes(-len(entry.content) % alignment)
    return head + bytes(-len(head) % alignment) + data + tail
