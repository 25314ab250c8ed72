"""Read Flax's msgpack: nested dicts whose arrays are extensions that hold shape, dtype and bytes. Array bytes are passed over, not read.

The parts of the tree that hold nothing but arrays become state dicts with dotted keys (`Dense_0.kernel`), as torch writes them. The decoder
is our own, of what Flax writes: no timestamps, no dates. Sources: the msgpack specification, and flax.serialization.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from typing import Final, NamedTuple

from ckptlint.core.checkpoint import ByteSource, Checkpoint
from ckptlint.core.dtype import BY_TORCH
from ckptlint.core.spec import contiguous
from ckptlint.core.tree import Dict, List, Storage, Tensor, Value
from ckptlint.errors import FormatError
from ckptlint.formats.cursor import Cursor

FORMAT = "flax"
_MOST_HEADER = 256 << 20  # bytes that are no arrays
_MOST_VALUES = 2_000_000
_DEEPEST = 100
_LONGEST_TEXT = 16 << 20  # bytes
_MOST_AXES = 64
_ARRAY, _COMPLEX, _SCALAR = 1, 2, 3  # Flax's extensions
_CHUNKED = "__msgpack_chunked_array__"
_PARTS = frozenset({"params", "batch_stats", "opt_state", "step"})  # of a train state; each is a section of its own
_CONSTANTS: Final[dict[int, Value]] = {0xC0: None, 0xC2: False, 0xC3: True}
_NUMBERS: Final = {
    0xCA: "f",
    0xCB: "d",
    0xCC: "B",
    0xCD: "H",
    0xCE: "I",
    0xCF: "Q",
    0xD0: "b",
    0xD1: "h",
    0xD2: "i",
    0xD3: "q",
}
_LENGTHS: Final = {
    0xD9: ("text", "B"),
    0xDA: ("text", "H"),
    0xDB: ("text", "I"),
    0xC4: ("bytes", "B"),
    0xC5: ("bytes", "H"),
    0xC6: ("bytes", "I"),
    0xDC: ("list", "H"),
    0xDD: ("list", "I"),
    0xDE: ("map", "H"),
    0xDF: ("map", "I"),
    0xC7: ("extension", "B"),
    0xC8: ("extension", "H"),
    0xC9: ("extension", "I"),
}
_FIXED_EXTENSIONS: Final = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}


class _Head(NamedTuple):
    """What stands before a value: its kind, and its length or the value itself."""

    kind: str
    length: int = 0
    value: Value = None


class _Reader:
    """Reads one document; arrays become tensors over their place in the file."""

    def __init__(self, source: ByteSource, part: int) -> None:
        self.cursor = Cursor(source, most=_MOST_HEADER, order=">", portion=512)
        self.storages: list[Storage] = []
        self._part = part
        self._values = 0
        self._readers: dict[str, Callable[[int, int], Value]] = {"list": self._list, "map": self._map}

    def value(self, depth: int = 0) -> Value:
        """Return the next value."""
        self._values += 1
        if depth > _DEEPEST or self._values > _MOST_VALUES:
            raise self.cursor.fail(f"is nested deeper than {_DEEPEST}, or has more than {_MOST_VALUES} values")
        head = self._head()
        if head.kind == "value":
            return head.value
        if head.kind in self._readers:
            return self._readers[head.kind](head.length, depth + 1)
        if head.kind == "extension":
            return self._extension(head.length)
        return self._content(head)

    def _head(self) -> _Head:
        code = self.cursor.take(1)[0]
        if code < 0x80 or code >= 0xE0:
            return _Head("value", value=code if code < 0x80 else code - 0x100)
        if code < 0xC0:
            kind, bits = ("text", 0x1F) if code >= 0xA0 else ("list", 0x0F) if code >= 0x90 else ("map", 0x0F)
            return _Head(kind, code & bits)
        if code in _CONSTANTS:
            return _Head("value", value=_CONSTANTS[code])
        if code in _NUMBERS:
            return _Head("value", value=self.cursor.numbers(_NUMBERS[code], 1)[0])
        if code in _FIXED_EXTENSIONS:
            return _Head("extension", _FIXED_EXTENSIONS[code])
        if code not in _LENGTHS:
            raise self.cursor.fail(f"has the code {code:#x}, which msgpack does not have")
        kind, width = _LENGTHS[code]
        return _Head(kind, self.cursor.number(width))

    def _content(self, head: _Head) -> str | bytes:
        if head.length > _LONGEST_TEXT:
            raise self.cursor.fail(f"has a {head.kind} of {head.length} bytes outside of its arrays")
        content = self.cursor.take(head.length)
        if head.kind == "bytes":
            return content
        try:
            return content.decode()
        except UnicodeDecodeError:
            raise self.cursor.fail("has a text that is not UTF-8") from None

    def _list(self, count: int, depth: int) -> List:
        self.cursor.check(count, 1)
        return List([self.value(depth) for _ in range(count)])

    def _map(self, count: int, depth: int) -> Dict:
        self.cursor.check(count, 2)
        items: list[tuple[Value, Value]] = []
        seen: set[Value] = set()
        for _ in range(count):
            key = self.value(depth)
            if not isinstance(key, str | int) or key in seen:
                raise self.cursor.fail("has a key that is neither a text nor a number, or is there twice")
            seen.add(key)
            items.append((key, self.value(depth)))
        if _CHUNKED in seen:
            raise self.cursor.fail(
                "has an array in chunks, which is not read", "save it again with less than 1 GiB an array"
            )
        return Dict(items)

    def _extension(self, length: int) -> Value:
        kind = self.cursor.number("b")
        end = self.cursor.position + length
        self.cursor.check(length, 1)
        if kind == _COMPLEX:
            made: Value = _complex(self.value(_DEEPEST - 1))
        else:
            made = self._array(kind)
        if self.cursor.position != end or made is None:
            raise self.cursor.fail("has an extension that is not as Flax writes it")
        return made

    def _array(self, kind: int) -> Tensor | None:
        if kind not in (_ARRAY, _SCALAR) or self._head() != _Head("list", 3):
            return None
        sizes, name, data = self.value(_DEEPEST - 1), self.value(_DEEPEST), self._head()
        dtype = BY_TORCH.get(name) if isinstance(name, str) else None
        shape = _shape(sizes)
        if shape is None:
            raise self.cursor.fail("has an array whose shape is none")
        if dtype is None or data.kind != "bytes":
            raise self.cursor.fail(f"has an array of the element type {str(name)[:40]!r}, which torch does not have")
        if dtype.nbytes(prod(shape)) != data.length:
            raise self.cursor.fail(f"has an array {dtype}{list(shape)} with {data.length} bytes")
        storage = Storage(str(len(self.storages)), dtype, prod(shape))
        storage.start, storage.part = self.cursor.position, self._part
        self.storages.append(storage)
        self.cursor.skip(data.length)
        return Tensor(storage, dtype, shape, contiguous(shape))


def read(source: ByteSource, *, part: int = 0) -> Checkpoint:
    """Read the tree; its storages say they are in `part`. Sections are not looked for here."""
    reader = _Reader(source, part)
    root = reader.value()
    if reader.cursor.left:
        raise reader.cursor.fail(
            f"has {reader.cursor.left} bytes behind its end", "it is no Flax checkpoint, or damaged"
        )
    if not isinstance(root, Dict) or not reader.storages:
        raise FormatError(
            "is msgpack data without arrays, so no checkpoint of Flax",
            where=source.name,
            hint="check that it is the right file",
            rule="CKC191",
        )
    return Checkpoint(
        root=_with_dotted_keys(root),
        sections=(),
        format=FORMAT,
        origin=source.name,
        parts=(source,),
        storages=tuple(reader.storages),
        notes={"checksums": "absent"},
    )


def _shape(sizes: Value) -> tuple[int, ...] | None:
    if not isinstance(sizes, List) or len(sizes.items) > _MOST_AXES:
        return None
    shape = tuple(size for size in sizes.items if type(size) is int and 0 <= size < 1 << 48)
    return shape if len(shape) == len(sizes.items) else None


def _complex(pair: Value) -> complex | None:
    match pair:
        case List(items=[int() | float() as real, int() | float() as imaginary]):
            return complex(real, imaginary)
    return None


def _with_dotted_keys(root: Dict) -> Value:
    """Join the keys of what holds nothing but arrays; of a train state each part by itself."""
    whole = not any(key in _PARTS for key, _ in root.items)
    if whole and _only_arrays(root):
        return _joined(root)
    return Dict([(key, _with_dotted_keys(value) if isinstance(value, Dict) else value) for key, value in root.items])


def _only_arrays(node: Value) -> bool:
    if isinstance(node, Dict):
        return all(_only_arrays(value) for _, value in node.items)
    return isinstance(node, Tensor)


def _joined(node: Dict) -> Value:
    """One mapping with dotted keys; the nested one where two arrays would have one key."""
    found = list(_dotted(node))
    return Dict([*found]) if len({key for key, _ in found}) == len(found) else node


def _dotted(node: Dict, prefix: str = "") -> Iterator[tuple[Value, Value]]:
    for key, value in node.items:
        if isinstance(value, Dict):
            yield from _dotted(value, f"{prefix}{key!s}.")
        else:
            yield f"{prefix}{key!s}", value
