"""Opcodes that push one scalar or name: numbers, strings, bytes, globals."""

from __future__ import annotations

import re
from struct import Struct
from typing import Final

from ckptlint.core.tree import Bytes, Global, Value
from ckptlint.formats.pickles import opcodes as op
from ckptlint.formats.pickles.state import Handler, State

_U2 = Struct("<H").unpack_from
U4: Final = Struct("<I").unpack_from
_U8 = Struct("<Q").unpack_from
_I4 = Struct("<i").unpack_from
_F8 = Struct(">d").unpack_from
_DIGITS = re.compile(rb"[+-]?[0-9]+")
_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|[0-7]{1,3}|.)", re.DOTALL)
_ESCAPED: Final = {
    b"n": b"\n",
    b"r": b"\r",
    b"t": b"\t",
    b"a": b"\a",
    b"b": b"\b",
    b"f": b"\f",
    b"v": b"\v",
    b"\n": b"",
}


def _none(state: State, position: int) -> int:
    state.stack.append(None)
    return position


def _true(state: State, position: int) -> int:
    state.stack.append(True)
    return position


def _false(state: State, position: int) -> int:
    state.stack.append(False)
    return position


def _binint1(state: State, position: int) -> int:
    state.stack.append(state.data[position])
    return position + 1


def _binint2(state: State, position: int) -> int:
    state.stack.append(_U2(state.data, position)[0])
    return position + 2


def _binint(state: State, position: int) -> int:
    state.stack.append(_I4(state.data, position)[0])
    return position + 4


def _binfloat(state: State, position: int) -> int:
    state.stack.append(_F8(state.data, position)[0])
    return position + 8


def _long1(state: State, position: int) -> int:
    return _long(state, position + 1, state.data[position])


def _long4(state: State, position: int) -> int:
    return _long(state, position + 4, U4(state.data, position)[0])


def _long(state: State, position: int, length: int) -> int:
    stop = state.reach(position, length, "an integer")
    if length > state.limits.integer:
        raise state.fail(f"an integer of {length} bytes is larger than {state.limits.integer}", position)
    state.stack.append(int.from_bytes(state.data[position:stop], "little", signed=True))
    return stop


def _decimal(state: State, text: bytes, position: int) -> int:
    if _DIGITS.fullmatch(text) is None or len(text) > 2 * state.limits.integer:
        raise state.fail(f"{text[:40]!r} is not an integer", position)
    return int(text)


def _text_int(state: State, position: int) -> int:
    text, stop = state.line(position)
    truth = {b"00": False, b"01": True}.get(text)
    state.stack.append(_decimal(state, text, position) if truth is None else truth)
    return stop


def _text_long(state: State, position: int) -> int:
    text, stop = state.line(position)
    state.stack.append(_decimal(state, text.removesuffix(b"L"), position))
    return stop


def _text_float(state: State, position: int) -> int:
    text, stop = state.line(position)
    try:
        state.stack.append(float(text))
    except ValueError:
        raise state.fail(f"{text[:40]!r} is not a number", position) from None
    return stop


def decode(state: State, content: bytes | bytearray | memoryview, position: int) -> str:
    """Return UTF-8 as text; lone surrogates pass, as they do when Python writes them."""
    try:
        return str(content, "utf-8", "surrogatepass")
    except UnicodeDecodeError:
        raise state.fail("a string is not UTF-8", position) from None


def _binunicode(state: State, position: int) -> int:
    start = position + 4
    stop: int = start + U4(state.data, position)[0]
    if stop > state.end:
        raise state.ended("a string ends behind the data", position)
    try:
        state.stack.append(str(state.data[start:stop], "utf-8", "surrogatepass"))
    except UnicodeDecodeError:
        raise state.fail("a string is not UTF-8", position) from None
    return stop


def _short_binunicode(state: State, position: int) -> int:
    stop = state.reach(position + 1, state.data[position], "a string")
    state.stack.append(decode(state, state.data[position + 1 : stop], position))
    return stop


def _binunicode8(state: State, position: int) -> int:
    stop = state.reach(position + 8, _U8(state.data, position)[0], "a string")
    state.stack.append(decode(state, state.data[position + 8 : stop], position))
    return stop


def _text_unicode(state: State, position: int) -> int:
    text, stop = state.line(position)
    try:
        state.stack.append(str(text, "raw-unicode-escape"))
    except UnicodeDecodeError:
        raise state.fail("a string is not raw-unicode-escape", position) from None
    return stop


def _byte_string(content: bytes) -> str | bytes:
    """Return a Python 2 `str` as torch reads it: text where it is UTF-8; else it can only be bytes."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content


def _binstring(state: State, position: int) -> int:
    length = _I4(state.data, position)[0]
    if length < 0:
        raise state.fail("a string has a negative length", position)
    stop = state.reach(position + 4, length, "a string")
    state.stack.append(_byte_string(bytes(state.data[position + 4 : stop])))
    return stop


def _short_binstring(state: State, position: int) -> int:
    stop = state.reach(position + 1, state.data[position], "a string")
    state.stack.append(_byte_string(bytes(state.data[position + 1 : stop])))
    return stop


def _unescape(escape: re.Match[bytes]) -> bytes:
    code = escape[1]
    if code[:1] == b"x" and len(code) == 3:
        return bytes([int(code[1:], 16)])
    if code.isdigit() and code[:1] < b"8":
        return bytes([int(code, 8) & 0xFF])
    return _ESCAPED.get(code, code if code in {b"\\", b"'", b'"'} else b"\\" + code)


def _text_string(state: State, position: int) -> int:
    text, stop = state.line(position)
    text = text.strip()
    if len(text) < 2 or text[:1] != text[-1:] or text[:1] not in {b"'", b'"'}:
        raise state.fail("the string after STRING is not in quotes", position)
    state.stack.append(_byte_string(_ESCAPE.sub(_unescape, text[1:-1])))
    return stop


def _binbytes(state: State, position: int) -> int:
    return _bytes(state, position + 4, U4(state.data, position)[0])


def _short_binbytes(state: State, position: int) -> int:
    return _bytes(state, position + 1, state.data[position])


def _binbytes8(state: State, position: int) -> int:
    return _bytes(state, position + 8, _U8(state.data, position)[0])


def _bytes(state: State, position: int, length: int) -> int:
    stop = state.reach(position, length, "a byte string")
    state.stack.append(bytes(state.data[position:stop]))
    return stop


def _bytearray8(state: State, position: int) -> int:
    stop = state.reach(position + 8, _U8(state.data, position)[0], "a byte array")
    state.stack.append(Bytes(bytes(state.data[position + 8 : stop])))
    return stop


def name_at(state: State, position: int) -> tuple[Global, int]:
    """Read the two lines of a global: its module and its name."""
    module, middle = state.line(position)
    name, stop = state.line(middle)
    return named(state, decode(state, module, position), decode(state, name, middle), position), stop


def named(state: State, module: Value, name: Value, position: int) -> Global:
    """Return the one node of a global. Names are never looked up, only kept and written back."""
    if type(module) is not str or type(name) is not str:
        raise state.fail("a class is named by something that is not text", position)
    known = state.globals.get((module, name))
    if known is None:
        for part in (module, name):
            if not part.isprintable() or not 0 < len(part) <= state.limits.name:
                raise state.fail(f"{part[:40]!a} cannot name a class or function", position)
        known = state.globals[module, name] = Global(module, name)
    return known


def _global(state: State, position: int) -> int:
    found, stop = name_at(state, position)
    state.stack.append(found)
    return stop


def _stack_global(state: State, position: int) -> int:
    name = state.stack.pop()
    state.stack[-1] = named(state, state.stack[-1], name, position)
    return position


LITERALS: dict[int, Handler] = {
    op.NONE: _none,
    op.NEWTRUE: _true,
    op.NEWFALSE: _false,
    op.BININT: _binint,
    op.BININT1: _binint1,
    op.BININT2: _binint2,
    op.BINFLOAT: _binfloat,
    op.LONG1: _long1,
    op.LONG4: _long4,
    op.INT: _text_int,
    op.LONG: _text_long,
    op.FLOAT: _text_float,
    op.STRING: _text_string,
    op.UNICODE: _text_unicode,
    op.BINSTRING: _binstring,
    op.SHORT_BINSTRING: _short_binstring,
    op.BINUNICODE: _binunicode,
    op.SHORT_BINUNICODE: _short_binunicode,
    op.BINUNICODE8: _binunicode8,
    op.BINBYTES: _binbytes,
    op.SHORT_BINBYTES: _short_binbytes,
    op.BINBYTES8: _binbytes8,
    op.BYTEARRAY8: _bytearray8,
    op.GLOBAL: _global,
    op.STACK_GLOBAL: _stack_global,
}
