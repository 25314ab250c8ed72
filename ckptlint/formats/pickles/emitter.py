"""The bytes of a pickle as they are written: opcodes, scalars, names, and the memo that equal and identical values share."""

from __future__ import annotations

from struct import Struct

from ckptlint.core.tree import Global, Node
from ckptlint.errors import OutputError
from ckptlint.formats.pickles import opcodes as op
from ckptlint.formats.pickles.names import modern

_U4 = Struct("<I").pack
_I4 = Struct("<i").pack
_U8 = Struct("<Q").pack
_F8 = Struct(">d").pack
_SINGLE = tuple(bytes([code]) for code in range(256))


class Emitter:
    """Appends opcodes to `out`. Nodes are remembered by identity, text, byte strings and names by value."""

    def __init__(self, protocol: int) -> None:
        self.protocol = protocol
        self.out = bytearray(_SINGLE[op.PROTO] + _SINGLE[protocol])
        self._count = 0
        self._nodes: dict[Node, int] = {}  # by identity; and they stay alive
        self._texts: dict[str, int] = {}
        self._bytes: dict[bytes, int] = {}
        self._names: dict[tuple[str, str], int] = {}

    def code(self, *codes: int) -> None:
        """Write opcodes that have no argument."""
        self.out += bytes(codes)

    def put(self) -> int:
        """Memoize the value on top of the stack; return its number."""
        index = self._count
        self._count += 1
        if self.protocol >= 4:
            self.out += b"\x94"
        elif index < 256:
            self.out += b"q" + _SINGLE[index]
        else:
            self.out += b"r" + _U4(index)
        return index

    def get(self, index: int) -> None:
        """Push a memoized value."""
        self.out += b"h" + _SINGLE[index] if index < 256 else b"j" + _U4(index)

    def remember(self, node: Node) -> None:
        self._nodes[node] = self.put()

    def knows(self, node: Node) -> bool:
        return node in self._nodes

    def recall(self, node: Node) -> bool:
        """Push a node again if it was written before; return whether it was."""
        index = self._nodes.get(node)
        if index is None:
            return False
        self.get(index)
        return True

    def boolean(self, value: bool) -> None:  # noqa: FBT001  the value is what is written
        self.out += b"\x88" if value else b"\x89"

    def integer(self, value: int) -> None:
        if 0 <= value < 0x100:
            self.out += b"K" + _SINGLE[value]
        elif 0 <= value < 0x10000:
            self.out += b"M" + value.to_bytes(2, "little")
        elif -0x80000000 <= value < 0x80000000:
            self.out += b"J" + _I4(value)
        else:
            # a sign bit more; of a negative number, which fits without, the superfluous byte goes
            content = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
            if value < 0 and content[-1] == 0xFF and content[-2] & 0x80:
                content = content[:-1]
            head = b"\x8a" + _SINGLE[len(content)] if len(content) < 256 else b"\x8b" + _U4(len(content))
            self.out += head + content

    def real(self, value: float) -> None:
        self.out += b"G" + _F8(value)

    def text(self, value: str) -> None:
        index = self._texts.get(value)
        if index is not None:
            self.get(index)
            return
        content = value.encode("utf-8", "surrogatepass")
        if self.protocol >= 4 and len(content) < 256:
            self.out += b"\x8c" + _SINGLE[len(content)] + content
        elif len(content) >> 32 == 0:
            self.out += b"X" + _U4(len(content)) + content
        elif self.protocol >= 4:
            self.out += b"\x8d" + _U8(len(content)) + content
        else:
            raise OutputError(f"a text of {len(content)} bytes does not fit protocol {self.protocol}")
        self._texts[value] = self.put()

    def bytestring(self, value: bytes) -> None:
        index = self._bytes.get(value)
        if index is not None:
            self.get(index)
            return
        if self.protocol < 3:
            self._encoded(value)
        elif len(value) < 256:
            self.out += b"C" + _SINGLE[len(value)] + value
        elif len(value) >> 32 == 0:
            self.out += b"B" + _U4(len(value)) + value
        elif self.protocol >= 4:
            self.out += b"\x8e" + _U8(len(value)) + value
        else:
            raise OutputError(f"{len(value)} bytes do not fit protocol {self.protocol}")
        self._bytes[value] = self.put()

    def _encoded(self, value: bytes) -> None:
        """Write bytes as protocols 0 to 2 must: as text, with the call that makes them bytes again."""
        self.name("_codecs", "encode")
        self.text(value.decode("latin1"))
        self.text("latin1")
        self.code(op.TUPLE2)
        self.put()
        self.code(op.REDUCE)

    def bytearray(self, value: bytes) -> None:
        if self.protocol >= 5:
            self.out += b"\x96" + _U8(len(value)) + value
            return
        self.name("builtins", "bytearray")
        if self.protocol >= 3:
            self.bytestring(value)
            self.code(op.TUPLE1, op.REDUCE)
        else:
            self.text(value.decode("latin1"))
            self.text("latin-1")
            self.code(op.TUPLE2, op.REDUCE)

    def complex(self, value: complex) -> None:
        self.name("builtins", "complex")
        self.real(value.real)
        self.real(value.imag)
        self.code(op.TUPLE2, op.REDUCE)

    def globals(self, node: Global) -> None:
        self.name(node.module, node.name)

    def name(self, module: str, name: str) -> None:
        """Write a global. From protocol 3 on Python knows its own names only; before, either."""
        if self.protocol >= 3:
            module, name = modern(module, name)
        elif module == "builtins":
            module = "__builtin__"
        index = self._names.get((module, name))
        if index is not None:
            self.get(index)
            return
        if "\n" in module or "\n" in name:
            raise OutputError(f"{module!r}, {name!r} cannot name a class: it has a line break")
        if self.protocol >= 4:
            self.text(module)
            self.text(name)
            self.code(op.STACK_GLOBAL)
        elif "." in name:
            self._nested(module, name)
        else:
            self.out += b"c" + module.encode() + b"\n" + name.encode() + b"\n"
        self._names[module, name] = self.put()

    def _nested(self, module: str, name: str) -> None:
        """Write a class inside a class for protocols that know no dotted names: `getattr(Outer, "Inner")`."""
        outer, *inner = name.split(".")
        for _ in inner:
            self.name("builtins", "getattr")
        self.name(module, outer)
        for part in inner:
            self.text(part)
            self.code(op.TUPLE2, op.REDUCE)
