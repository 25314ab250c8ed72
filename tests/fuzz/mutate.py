"""Mutations of a file: bits and blocks as every fuzzer has them, and tokens of our formats, so that most mutants get past the first check."""

import random
import re
import struct
import zlib

_NUMBERS = (0, 1, 2, 7, 8, 127, 128, 255, 256, 1000, 32767, 65535, 65536, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)
_WIDE = (*_NUMBERS, 1 << 32, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
_DIGITS = re.compile(rb"-?[0-9]+")
_TOKENS = (
    b"N", b"(", b")", b"]", b"}", b"t", b"\x85", b"\x86", b"\x87", b"R", b"b", b"u", b"s", b"e", b"a", b"0", b"1", b"2",
    b"q\x00", b"h\x00", b"j\xff\xff\xff\xff", b"\x94", b"\x81", b"\x92", b"\x93", b"\x8f", b"\x90", b"\x91", b"Q", b".",
    b"\x80\x05", b"\x95\x00\x00\x00\x00\x00\x00\x00\x00", b"K\x01", b"M\x00\x01", b"\x8a\x00", b"\x8a\x01\xff", b"\x88",
    b"C\x00", b"\x96\x01\x00\x00\x00\x00\x00\x00\x00a", b"\x97", b"\x98", b"\x82\x01", b"I00\n", b"L5L\n", b"Fnan\n",
    b"S'a'\n", b"Va\n", b"p0\n", b"g0\n", b"P0\n", b"d", b"l", b"o", b"ios\nsystem\n", b"cbuiltins\nset\n",
    b"ctorch\nSize\n", b"ccollections\nOrderedDict\n", b"c_codecs\nencode\n", b"\x8c\x01a", b"X\x01\x00\x00\x00a",
    b"{", b"[", b'"', b":", b",", b"null", b"true", b"-1", b"1e999", b"NaN", b"\\u0000", b"\xff", b"\xed\xa0\x80",
    b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"\n", b"\n  ", b"- ", b"&a ", b"*a", b"!!t ",
    b"{x}", b"{i:int}", b"{p:path}", b"..", b"/", b"**", b"'", b"|", b">", b"#", b"\t", b"? ", b"%", b"~",
)  # fmt: skip
_LONG = 1 << 16  # bytes; mutants that grow past this are cut


def mutate(random_: random.Random, seed: bytes, others: list[bytes]) -> bytes:
    """Return a mutant: one to six steps, each at a place of its own."""
    mutant = bytearray(seed)
    for _ in range(random_.choice((1, 1, 1, 2, 2, 3, 6))):
        random_.choice(_STEPS)(random_, mutant, others)
        del mutant[_LONG:]
    if random_.random() < 0.5:
        mend_checksums(mutant)
    return bytes(mutant)


def _at(random_: random.Random, mutant: bytearray) -> int:
    return random_.randrange(len(mutant) + 1)


def _flip(random_, mutant, others):
    if mutant:
        mutant[random_.randrange(len(mutant))] ^= 1 << random_.randrange(8)


def _byte(random_, mutant, others):
    if mutant:
        mutant[random_.randrange(len(mutant))] = random_.randrange(256)


def _cut(random_, mutant, others):
    at = _at(random_, mutant)
    del mutant[at : at + random_.choice((1, 1, 2, 4, 8, 64, 1024))]


def _truncate(random_, mutant, others):
    del mutant[_at(random_, mutant) :]


def _token(random_, mutant, others):
    at = _at(random_, mutant)
    token = random_.choice(_TOKENS)
    end = at + (len(token) if random_.random() < 0.5 else 0)
    mutant[at:end] = token * random_.choice((1, 1, 1, 2, 40))


def _integer(random_, mutant, others):
    form = random_.choice(("<H", "<I", "<Q", "<I", ">I"))
    at = _at(random_, mutant)
    packed = struct.pack("<Q", random_.choice(_WIDE))[: struct.calcsize(form)]
    mutant[at : at + len(packed)] = packed


def _digits(random_, mutant, others):
    found = list(_DIGITS.finditer(mutant))
    if found:
        chosen = random_.choice(found)
        value = random_.choice((*_WIDE, -1, int(chosen[0][:18]) + 1, int(chosen[0][:18]) - 1))
        mutant[chosen.start() : chosen.end()] = str(value).encode()


def _move(random_, mutant, others):
    start, length, to = _at(random_, mutant), random_.choice((1, 4, 16, 200)), _at(random_, mutant)
    block = bytes(mutant[start : start + length])
    mutant[to:to] = block


def _splice(random_, mutant, others):
    other = random_.choice(others)
    start = random_.randrange(len(other) + 1)
    length = random_.choice((1, 8, 64, 512, len(other)))
    at = _at(random_, mutant)
    mutant[at : at + random_.choice((0, length))] = other[start : start + length]


_STEPS = (_flip, _flip, _byte, _cut, _truncate, _token, _token, _token, _integer, _digits, _move, _splice)


def mend_checksums(mutant: bytearray) -> None:
    """Give the stored records of a ZIP the CRC-32 of what they hold now, so that a mutated pickle is read at all."""
    if not mutant.startswith(b"PK\3\4"):
        return
    at = mutant.find(b"PK\1\2")
    while 0 <= at <= len(mutant) - 46:
        header = int.from_bytes(mutant[at + 42 : at + 46], "little")
        size = int.from_bytes(mutant[at + 20 : at + 24], "little")
        names = mutant[header + 26 : header + 30]
        if len(names) == 4:
            start = header + 30 + sum(struct.unpack("<HH", names))
            checksum = struct.pack("<I", zlib.crc32(mutant[start : start + size]))
            mutant[at + 16 : at + 20] = checksum
            if len(mutant) >= header + 18:
                mutant[header + 14 : header + 18] = checksum
        at = mutant.find(b"PK\1\2", at + 1)
