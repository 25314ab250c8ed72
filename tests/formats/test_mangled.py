"""What befell a checkpoint on its way is told from what merely broke, and what is said to undo it does."""

import base64
import io
import zipfile

import pytest
from hostile.assemble import dump
from hostile.containers import legacy, torch_zip
from hostile.payloads import W

from ckptlint.errors import FormatError
from ckptlint.formats import open_checkpoint

ZIP = torch_zip(dump({"w": W, "text": "a\nb\nc\nd\n", "numbers": list(range(128, 200))}))
OLD = legacy(dump({"w": W}), keys=("0",))
HEADER = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n"


def behind(content: bytes, front: bytes) -> bytes:
    """An archive whose offsets count what stands before it, as tools for self-extracting archives write it."""
    out = io.BytesIO()
    out.write(front)
    with zipfile.ZipFile(io.BytesIO(content)) as inner, zipfile.ZipFile(out, "a") as outer:
        for name in inner.namelist():
            outer.writestr(zipfile.ZipInfo(name), inner.read(name))
    return out.getvalue()


CHANGED = {
    "base64": (base64.b64encode(ZIP), "written as base64", "base64 -d"),
    "old, base64 in lines": (base64.encodebytes(OLD), "written as base64", "base64 -d"),
    "hexadecimal": (ZIP.hex().encode(), "written as hexadecimal digits", "xxd -r -p"),
    "UTF-8": (ZIP.decode("latin1").encode(), "every byte from 128 on became two", "iconv -f UTF-8"),
    "old, UTF-8": (OLD.decode("latin1").encode(), "written as UTF-8", "iconv -f UTF-8"),
    "UTF-8 with losses": (ZIP.decode("utf-8", "replace").encode(), "bytes of it are lost", "fetch it again"),
    "line ends": (ZIP.replace(b"\n", b"\r\n"), "line ends changed", "binary"),
    "answer": (HEADER + ZIP, "behind the header of a server's answer", f"tail -c +{len(HEADER) + 1} "),
    "script": (b"#!/bin/sh\n" + ZIP, "behind 10 other bytes", "tail -c +11 "),
    "script, with its offsets": (behind(ZIP, b"#!/bin/sh\n"), "behind 10 other bytes", "zip -0"),
}


@pytest.mark.parametrize("name", CHANGED)
def test_what_befell_it_is_said_with_the_cure(tmp_path, name):
    content, what, cure = CHANGED[name]
    (tmp_path / "m.pt").write_bytes(content)
    with pytest.raises(FormatError) as raised:
        open_checkpoint(tmp_path / "m.pt")
    assert raised.value.rule == "CKC108"
    assert what in raised.value.message
    assert cure in raised.value.hint


@pytest.mark.parametrize("name", ["whole", "cut off", "flipped", "a text", "letters"])
def test_nothing_else_is_called_that(tmp_path, name):
    flipped = bytearray(ZIP)
    flipped[len(ZIP) // 2] ^= 4
    others = {
        "whole": ZIP,
        "cut off": ZIP[:-9],
        "flipped": bytes(flipped),
        "a text": "Grüße\r\n".encode() * 9,
        "letters": b"UEsDB" * 9,
    }
    (tmp_path / "m.pt").write_bytes(others[name])
    assert refusal(tmp_path / "m.pt") != "CKC108"


def refusal(path):
    """The rule that a file is refused for; nothing where it is read."""
    try:
        open_checkpoint(path).close()
    except FormatError as error:
        return error.rule
    return ""


def commented(comment: bytes) -> bytes:
    out = io.BytesIO(ZIP)
    with zipfile.ZipFile(out, "a") as archive:
        archive.comment = comment
    return out.getvalue()


def test_a_comment_may_hold_the_signature_of_an_end_where_no_reader_could_take_it_for_one(tmp_path):
    (tmp_path / "m.pt").write_bytes(commented(b"made by hand, PK\5\6 and no more"))
    open_checkpoint(tmp_path / "m.pt").close()
    for comment in (b"PK\5\6 and so on, for more than twenty-two bytes", b"x" + b"PK\5\6" + bytes(18)):
        (tmp_path / "m.pt").write_bytes(commented(comment))  # torch looks for the last signature alone
        with pytest.raises(FormatError, match="two end records"):
            open_checkpoint(tmp_path / "m.pt")


def test_a_method_that_torch_does_not_read_is_named(tmp_path):
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(ZIP)) as inner, zipfile.ZipFile(out, "w", zipfile.ZIP_BZIP2) as outer:
        for name in inner.namelist():
            outer.writestr(zipfile.ZipInfo(name), inner.read(name), zipfile.ZIP_BZIP2)
    (tmp_path / "m.pt").write_bytes(out.getvalue())
    with pytest.raises(FormatError, match=r"compressed with bzip2 \(12\)"):
        open_checkpoint(tmp_path / "m.pt")


def test_what_befell_an_index_is_not_said_of_its_shards(tmp_path):
    header = b'{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'
    (tmp_path / "m-1.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    index = '{\r\n"metadata": {"größe": "ÄÖÜäöüßé"},\r\n"weight_map": {\r\n"w": "m-1.safetensors"\r\n}\r\n}\r\n'
    (tmp_path / "model.safetensors.index.json").write_bytes(index.encode())
    with pytest.raises(FormatError, match="is cut off") as caught:
        open_checkpoint(tmp_path / "model.safetensors.index.json")
    assert "m-1.safetensors" in caught.value.where


def test_a_cut_off_file_of_names_that_are_no_ascii_is_cut_off(tmp_path):
    header = '{"größe_ÄÖÜäöüé":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'.encode()
    (tmp_path / "m.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(FormatError, match="is cut off"):
        open_checkpoint(tmp_path / "m.safetensors")
