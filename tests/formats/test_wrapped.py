"""Compressed checkpoints are unpacked to a file without a name, within bounds."""

import bz2
import gzip
import lzma
import os
import zlib

import pytest
from formats.sources import Counted

from ckptlint.errors import FormatError
from ckptlint.formats import open_checkpoint
from ckptlint.formats.wrapped import unpack

CONTENT = os.urandom(1_200_000)
PACK = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress}
ALONE = {"lzma": lambda content: lzma.compress(content, lzma.FORMAT_ALONE), "zlib": zlib.compress}
kinds = pytest.mark.parametrize("kind", PACK)


@kinds
def test_what_was_packed_comes_out(kind, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    source = unpack(Counted(PACK[kind](CONTENT)), kind)
    assert source.read(0, source.size) == CONTENT
    assert list(tmp_path.iterdir()) == []
    source.close()


@pytest.mark.parametrize("kind", ALONE)
def test_streams_that_joblib_writes_come_out(kind):
    source = unpack(Counted(ALONE[kind](CONTENT)), kind)
    assert source.read(0, source.size) == CONTENT
    source.close()
    with pytest.raises(FormatError, match="is cut off: its compressed data does not end"):
        unpack(Counted(ALONE[kind](CONTENT)[:-700]), kind)
    with pytest.raises(FormatError, match=r"the compressed data is damaged|its compressed data does not end"):
        unpack(Counted(ALONE[kind](CONTENT) + b"more"), kind)


@kinds
def test_several_streams_are_one_file(kind):
    source = unpack(Counted(PACK[kind](b"one") + PACK[kind](b"two")), kind)
    assert source.read(0, source.size) == b"onetwo"
    source.close()


@kinds
@pytest.mark.parametrize("length", [3, 12, 1_000_000, -1, -5])
def test_a_stream_that_is_cut_off_is_refused(kind, length):
    with pytest.raises(FormatError, match="is cut off: its compressed data does not end"):
        unpack(Counted(PACK[kind](CONTENT)[:length]), kind)


@kinds
def test_a_damaged_stream_is_refused(kind):
    packed = bytearray(PACK[kind](b"hello" * 1000))
    packed[len(packed) // 2] ^= 0xFF
    with pytest.raises(FormatError, match="the compressed data is damaged"):
        unpack(Counted(bytes(packed)), kind)


def test_a_wrong_checksum_is_refused():
    packed = gzip.compress(b"hello", mtime=0)
    wrong = packed[:-8] + (zlib.crc32(b"hello") ^ 1).to_bytes(4, "little") + packed[-4:]
    with pytest.raises(FormatError, match="damaged: CRC"):
        unpack(Counted(wrong), "gzip")


@kinds
def test_the_size_is_bounded(kind):
    packed = PACK[kind](bytes(1000))
    unpack(Counted(packed), kind, most=1000).close()
    with pytest.raises(FormatError, match="unpacks to more than 999 bytes"):
        unpack(Counted(packed), kind, most=999)


def test_without_a_limit_a_bomb_is_bounded_by_its_own_size(monkeypatch):
    monkeypatch.setattr("ckptlint.formats.wrapped._FREELY", 1000)
    packed = gzip.compress(bytes(1 << 20))
    with pytest.raises(FormatError, match=f"unpacks to more than {100 * len(packed)} bytes"):
        unpack(Counted(packed), "gzip")


def test_a_packed_checkpoint_is_a_checkpoint(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"w": torch.arange(3.0)}, tmp_path / "m.pt")
    packed = tmp_path / "m.pt.gz"
    packed.write_bytes(gzip.compress((tmp_path / "m.pt").read_bytes()))
    checkpoint = open_checkpoint(packed)
    assert (checkpoint.origin, checkpoint.notes["unpacked"]) == (str(packed), "gzip")
    assert checkpoint.read(checkpoint.storages[0], 4, 4) == b"\0\0\x80\x3f"
    checkpoint.close()


@pytest.mark.parametrize("inner", [gzip.compress(b"x", mtime=0), b'{"weight_map": {"a": "b"}}'])
def test_what_is_packed_twice_is_refused(tmp_path, inner):
    path = tmp_path / "m.gz"
    path.write_bytes(gzip.compress(inner, mtime=0))
    with pytest.raises(FormatError, match="where a compressed file holds a checkpoint"):
        open_checkpoint(path)


def test_zstd_says_what_would_do(tmp_path):
    path = tmp_path / "m.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd rest")
    with pytest.raises(FormatError) as caught:
        open_checkpoint(path)
    assert "zstd" in str(caught.value) or "damaged" in str(caught.value)
