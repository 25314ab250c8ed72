"""Files that other programs really write are called by their names; an archive is encrypted where its flags say so."""

import io
import lzma
import sqlite3
import struct
import sys
import wave
import zipfile
import zlib
from pathlib import Path

import pytest

from ckptlint.errors import FormatError
from ckptlint.formats import open_checkpoint


def sqlite(path):
    base = sqlite3.connect(path)
    base.execute("create table t (a)")
    base.commit()
    base.close()


def png(path):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head, rows = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0), zlib.compress(b"\0\0\0\0")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))


def sound(path):
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", "not compressed"))
        file.writeframes(bytes(100))


def wheel(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("pkg/__init__.py", "")
        archive.writestr("pkg-1.dist-info/WHEEL", "Wheel-Version: 1.0\n")


def document(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("[Content_Types].xml", "<x/>")


def encrypted(path):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("m/data.pkl", bytes(20))
    content = bytearray(out.getvalue())
    content[6] |= 1  # the local header's flags, and the directory's
    content[content.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)


def text_in(compress):
    return lambda path: path.write_bytes(compress(b"just notes\n"))


REAL = {
    "CKC134": sqlite,
    "CKC131": png,
    "CKC133": wheel,
    "CKC132": document,
    "CKC124": encrypted,
    "CKC115": text_in(lzma.compress),
    "CKC116": lambda path: path.write_bytes(Path(__file__).read_bytes()),
}


@pytest.mark.parametrize("rule", REAL)
def test_a_real_file_is_called_by_its_rule(tmp_path, rule):
    path = tmp_path / "model.pt"
    REAL[rule](path)
    with pytest.raises(FormatError) as caught:
        open_checkpoint(path)
    assert caught.value.rule == rule, caught.value
    assert caught.value.hint


def test_sound_and_programs_are_called_so(tmp_path):
    sound(tmp_path / "a.pt")
    with pytest.raises(FormatError, match="is audio or video"):
        open_checkpoint(tmp_path / "a.pt")
    (tmp_path / "b.pt").write_bytes(Path(sys.executable).read_bytes()[:5000])
    with pytest.raises(FormatError, match="is a program or library"):
        open_checkpoint(tmp_path / "b.pt")
