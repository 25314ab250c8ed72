"""The opcodes that put one scalar on the stack, as the tracer follows them."""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from struct import Struct
from typing import Final

from ckptlint.formats.pickles import opcodes as op
from ckptlint.formats.scanning.tracer import BrokenError, Tracer
from ckptlint.formats.scanning.values import Box, Thing

_U2, _I4, _F8 = (Struct(form).unpack_from for form in ("<H", "<i", ">d"))
_SPELLED = re.compile(rb"gA[I-X][A-Za-z0-9+/=\s]{13,}$|800[2-5](?:[0-9a-fA-F]{2}){6,}$")
_MOST_DIGITS = 4000  # of an integer; Python refuses more
_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|[0-7]{1,3}|[^x0-7])", re.DOTALL)
_SIMPLE: Final = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"a": b"\a", b"b": b"\b", b"f": b"\f", b"v": b"\v", b"\n": b""}

Handler = Callable[[Tracer, int], int]


def constant(value: Thing) -> Handler:
    def push(tracer: Tracer, position: int) -> int:
        tracer.stack.append(value)
        return position

    return push


def _packed(unpack: Callable[[bytes, int], tuple[int | float, ...]], size: int) -> Handler:
    def push(tracer: Tracer, position: int) -> int:
        tracer.stack.append(unpack(tracer.data, position)[0])
        return position + size

    return push


def _byte(tracer: Tracer, position: int) -> int:
    tracer.stack.append(tracer.data[position])
    return position + 1


def _sized(head: int, make: Callable[[Tracer, bytes], Thing]) -> Handler:
    """A value behind its length of `head` bytes."""

    def push(tracer: Tracer, position: int) -> int:
        start = position + head
        if start > len(tracer.data):
            raise BrokenError("it ends within a length")
        length = int.from_bytes(tracer.data[position:start], "little")
        content, end = tracer.block(start, length)
        tracer.stack.append(make(tracer, content))
        return end

    return push


def utf8(tracer: Tracer, content: bytes) -> Thing:
    try:
        text = str(content, "utf-8", "surrogatepass")
    except UnicodeDecodeError:
        raise BrokenError("a string is not UTF-8") from None
    if _SPELLED.match(content):
        _keep_spelled(tracer, content)
    return text


def _keep_spelled(tracer: Tracer, content: bytes) -> None:
    """Text that spells a pickle in base64 or hexadecimal digits may be one for somebody."""
    try:
        tracer.keep(binascii.a2b_base64(content) if content[:1] == b"g" else binascii.unhexlify(content))
    except binascii.Error:
        return


def _old_string(tracer: Tracer, content: bytes) -> Thing:
    """A string of Python 2: text where the loader's encoding can decode it, else bytes."""
    tracer.keep(content)
    try:
        return content.decode("ascii")
    except UnicodeDecodeError:
        return content


def _bytes(tracer: Tracer, content: bytes) -> Thing:
    return tracer.keep(content)


def _bytearray(tracer: Tracer, content: bytes) -> Thing:
    tracer.keep(content)
    return Box("builtins.bytearray")


def _long(_: Tracer, content: bytes) -> Thing:
    return int.from_bytes(content, "little", signed=True)


def _text_line(make: Callable[[Tracer, bytes], Thing]) -> Handler:
    def push(tracer: Tracer, position: int) -> int:
        text, end = tracer.line(position)
        tracer.stack.append(make(tracer, text))
        return end

    return push


def _decimal(_: Tracer, text: bytes) -> Thing:
    if text in (b"00", b"01"):
        return text == b"01"
    if len(text) > _MOST_DIGITS:
        raise BrokenError("an integer has more digits than Python reads")
    digits = text.strip().removesuffix(b"L")
    for base in (0, 8):  # C reads 010 as octal, Python refuses it
        try:
            return int(digits, base)
        except ValueError:
            continue
    raise BrokenError("a number is none")


def _float(_: Tracer, text: bytes) -> Thing:
    try:
        return float(text)
    except ValueError:
        raise BrokenError("a number is none") from None


def _quoted(tracer: Tracer, text: bytes) -> Thing:
    text = text.strip()
    if len(text) < 2 or text[:1] != text[-1:] or text[:1] not in (b"'", b'"'):
        raise BrokenError("a string is not in quotes")
    return _old_string(tracer, _ESCAPE.sub(_unescape, text[1:-1]))


def _unescape(found: re.Match[bytes]) -> bytes:
    code = found[1]
    if code[:1] == b"x":
        return bytes([int(code[1:], 16)])
    if code[0] in b"01234567":
        return bytes([int(code, 8) & 0xFF])
    return _SIMPLE.get(code, code if code in (b"\\", b"'", b'"') else b"\\" + code)


def _raw_unicode(_: Tracer, text: bytes) -> Thing:
    try:
        return str(text, "raw-unicode-escape")
    except UnicodeDecodeError:
        raise BrokenError("a string is not raw-unicode-escape") from None


LITERALS: Final[dict[int, Handler]] = {
    op.NONE: constant(None), op.NEWTRUE: constant(value=True), op.NEWFALSE: constant(value=False),
    op.INT: _text_line(_decimal), op.LONG: _text_line(_decimal), op.FLOAT: _text_line(_float),
    op.BININT: _packed(_I4, 4), op.BININT1: _byte, op.BININT2: _packed(_U2, 2), op.BINFLOAT: _packed(_F8, 8),
    op.LONG1: _sized(1, _long), op.LONG4: _sized(4, _long),
    op.STRING: _text_line(_quoted), op.BINSTRING: _sized(4, _old_string), op.SHORT_BINSTRING: _sized(1, _old_string),
    op.UNICODE: _text_line(_raw_unicode), op.BINUNICODE: _sized(4, utf8), op.SHORT_BINUNICODE: _sized(1, utf8),
    op.BINUNICODE8: _sized(8, utf8), op.BINBYTES: _sized(4, _bytes), op.SHORT_BINBYTES: _sized(1, _bytes),
    op.BINBYTES8: _sized(8, _bytes), op.BYTEARRAY8: _sized(8, _bytearray),
}  # fmt: skip
