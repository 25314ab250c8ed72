"""Pickles assembled opcode by opcode: any protocol, any spelling of a name, nothing imported, so that they can say what no pickler would."""

import struct
from dataclasses import dataclass


@dataclass(frozen=True)
class Name:
    """A global: `spell` says how it gets onto the stack."""

    module: str
    name: str
    spell: str = ""  # GLOBAL or STACK_GLOBAL by protocol; else one of SPELLINGS


@dataclass(frozen=True)
class Call:
    """REDUCE."""

    function: object
    arguments: tuple = ()


@dataclass(frozen=True)
class New:
    """NEWOBJ, or NEWOBJ_EX with keywords."""

    owner: object
    arguments: tuple = ()
    keywords: dict | None = None


@dataclass(frozen=True)
class Old:
    """INST (by name) or OBJ (by value)."""

    owner: Name
    arguments: tuple = ()
    by_value: bool = False


@dataclass(frozen=True)
class Build:
    """BUILD on a value."""

    target: object
    state: object


@dataclass(frozen=True)
class Pid:
    """A persistent id."""

    value: object


@dataclass(frozen=True)
class Raw:
    """Opcodes as they are."""

    code: bytes


def _text(value: str, protocol: int) -> bytes:
    content = value.encode("utf-8", "surrogatepass")
    if protocol == 0:
        return b"V" + value.encode("raw-unicode-escape").replace(b"\n", b"\\u000a") + b"\n"
    if protocol >= 4 and len(content) < 256:
        return b"\x8c" + bytes([len(content)]) + content
    return b"X" + struct.pack("<I", len(content)) + content


def _number(value: int, protocol: int) -> bytes:
    if protocol == 0:
        return f"L{value}L\n".encode() if abs(value) >> 31 else f"I{value}\n".encode()
    if 0 <= value < 256:
        return b"K" + bytes([value])
    if 0 <= value < 1 << 16:
        return b"M" + struct.pack("<H", value)
    if -(1 << 31) <= value < 1 << 31:
        return b"J" + struct.pack("<i", value)
    size = value.bit_length() // 8 + 1
    return b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)


def _bytes(value: bytes, protocol: int) -> bytes:
    if protocol < 3:
        return encode(Call(Name("_codecs", "encode"), (value.decode("latin1"), "latin1")), protocol)
    if len(value) < 256:
        return b"C" + bytes([len(value)]) + value
    return b"B" + struct.pack("<I", len(value)) + value


def _name(value: Name, protocol: int) -> bytes:
    spell = value.spell or ("stack" if protocol >= 4 else "global")
    return SPELLINGS[spell](value, protocol)


def _octal(text: str) -> bytes:
    return b"S'" + "".join(f"\\x{ord(c):02x}" for c in text).encode() + b"'\n"


def _unicode_escape(text: str) -> bytes:
    return b"V" + "".join(f"\\u{ord(c):04x}" for c in text).encode() + b"\n"


def _memo(value: Name, protocol: int) -> bytes:
    """The two names are stored in the memo first, thrown away, and fetched in the wrong order."""
    module, name = _text(value.module, max(protocol, 1)), _text(value.name, max(protocol, 1))
    return name + b"r\x40\x01\x00\x000" + module + b"r\x41\x01\x00\x000" + b"j\x41\x01\x00\x00j\x40\x01\x00\x00\x93"


SPELLINGS = {
    "global": lambda v, p: b"c" + v.module.encode() + b"\n" + v.name.encode() + b"\n",
    "stack": lambda v, p: _text(v.module, max(p, 1)) + _text(v.name, max(p, 1)) + b"\x93",
    "memo": _memo,
    "octal": lambda v, p: _octal(v.module) + _octal(v.name) + b"\x93",
    "unicode": lambda v, p: _unicode_escape(v.module) + _unicode_escape(v.name) + b"\x93",
    "long": lambda v, p: (
        b"".join(b"\x8d" + struct.pack("<Q", len(part)) + part.encode() for part in (v.module, v.name)) + b"\x93"
    ),
    "binstring": lambda v, p: (
        b"".join(b"T" + struct.pack("<I", len(part)) + part.encode() for part in (v.module, v.name)) + b"\x93"
    ),
}


def _sequence(start: bytes, items, end: bytes, protocol: int) -> bytes:
    return start + b"(" + b"".join(encode(item, protocol) for item in items) + end if items else start


def encode(value, protocol: int) -> bytes:  # noqa: C901, PLR0911, PLR0912  one line a type
    """Return the opcodes that push a value."""
    if isinstance(value, Raw):
        return value.code
    if value is None:
        return b"N"
    if isinstance(value, bool):
        return (b"\x88" if value else b"\x89") if protocol >= 2 else (b"I01\n" if value else b"I00\n")
    if isinstance(value, int):
        return _number(value, protocol)
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value) if protocol else f"F{value!r}\n".encode()
    if isinstance(value, str):
        return _text(value, protocol)
    if isinstance(value, bytes):
        return _bytes(value, protocol)
    if isinstance(value, tuple):
        return b"(" + b"".join(encode(item, protocol) for item in value) + b"t"
    if isinstance(value, list):
        return b"(" + b"".join(encode(item, protocol) for item in value) + b"l"
    if isinstance(value, dict):
        flat = [part for pair in value.items() for part in pair]
        return _sequence(b"}", flat, b"u", protocol) if protocol else b"(" + b"".join(encode(x, 0) for x in flat) + b"d"
    if isinstance(value, Name):
        return _name(value, protocol)
    if isinstance(value, Call):
        return encode(value.function, protocol) + encode(tuple(value.arguments), protocol) + b"R"
    if isinstance(value, New):
        end = b"\x81" if value.keywords is None else encode(value.keywords, protocol) + b"\x92"
        return encode(value.owner, protocol) + encode(tuple(value.arguments), protocol) + end
    if isinstance(value, Old):
        arguments = b"".join(encode(item, protocol) for item in value.arguments)
        if value.by_value:
            return b"(" + encode(value.owner, protocol) + arguments + b"o"
        return b"(" + arguments + b"i" + value.owner.module.encode() + b"\n" + value.owner.name.encode() + b"\n"
    if isinstance(value, Build):
        return encode(value.target, protocol) + encode(value.state, protocol) + b"b"
    if isinstance(value, Pid):
        return encode(value.value, protocol) + b"Q"
    raise TypeError(type(value))


def dump(value, protocol: int = 2) -> bytes:
    """Return the whole pickle."""
    head = b"\x80" + bytes([protocol]) if protocol >= 2 else b""
    return head + encode(value, protocol) + b"."


def storage(key: str, numel: int, kind: str = "FloatStorage") -> Pid:
    return Pid(("storage", Name("torch", kind), key, "cpu", numel))


def tensor(key: str, shape: tuple, numel: int | None = None, *, stride=None, offset=0, kind="FloatStorage"):
    """A tensor as torch.save writes it."""
    count = 1
    strides = []
    for size in reversed(shape):
        strides.insert(0, count)
        count *= size
    stored = storage(key, count if numel is None else numel, kind)
    hooks = Call(Name("collections", "OrderedDict"))
    return Call(
        Name("torch._utils", "_rebuild_tensor_v2"),
        (stored, offset, tuple(shape), tuple(strides) if stride is None else tuple(stride), False, hooks),
    )
