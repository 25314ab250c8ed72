"""NumPy's files are read as NumPy reads them, and their headers by a grammar, never by Python."""

import io
import struct
import zipfile

import numpy as np
import pytest
from formats.sources import Counted
from hypothesis import given
from hypothesis import strategies as st

from ckptlint.core.tree import Opaque
from ckptlint.errors import FormatError
from ckptlint.formats import npy, open_checkpoint
from ckptlint.formats.tensor_bytes import tensor_blocks

DTYPES = ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "c8", "c16", "b1"]


def saved(array, **options):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, **options)
    return file.getvalue()


def laid(text, version=(1, 0), data=b""):
    text = text if isinstance(text, bytes) else text.encode()
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H" if version[0] == 1 else "<I", len(text)) + text + data


@given(
    st.sampled_from(DTYPES),
    st.sampled_from("<>"),
    st.lists(st.integers(0, 4), max_size=3),
    st.booleans(),
    st.sampled_from([(1, 0), (2, 0), (3, 0)]),
)
def test_an_array_is_read_as_numpy_reads_it(kind, order, shape, fortran, version):
    numbers = np.random.default_rng(1).integers(0, 2, shape).astype(order + kind)
    array = np.asfortranarray(numbers) if fortran else numbers
    checkpoint = npy.read(Counted(saved(array, version=version)))
    tensor = checkpoint.root.get("array")
    assert tensor.shape == array.shape
    assert tensor.dtype.bits == 8 * array.itemsize
    assert b"".join(tensor_blocks(checkpoint, tensor)) == np.ascontiguousarray(array.astype("<" + kind)).tobytes()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_archive_is_a_mapping_of_its_arrays(tmp_path, save):
    arrays = {"w": np.arange(50_000, dtype="f4").reshape(50, 1000), "b": np.ones(3, "f2"), "a/b.c": np.array(2)}
    save(tmp_path / "m.npz", **arrays, words=np.array(["one", "two"]))
    checkpoint = open_checkpoint(tmp_path / "m.npz")
    (section,) = checkpoint.sections
    assert {key: tensor.shape for key, tensor in section.tensors.items()} == {k: v.shape for k, v in arrays.items()}
    for key, array in arrays.items():
        assert b"".join(tensor_blocks(checkpoint, section.tensors[key])) == array.tobytes()
    assert isinstance(section.others["words"], Opaque)
    checkpoint.close()


def test_the_values_of_an_archive_are_not_read_for_its_header(tmp_path):
    np.savez(tmp_path / "m.npz", w=np.zeros(1_000_000))
    source = Counted((tmp_path / "m.npz").read_bytes())
    from ckptlint.formats.zip_container import Archive

    npy.read_archive(Archive(source), source)
    assert source.taken < 300_000


PLAIN = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }"
BROKEN = {
    "does not start with its magic": b"\x93NUMPX\1\0",
    "the npy version 9.0": laid(PLAIN, (9, 0)),
    "says its header has 4294967295 bytes": b"\x93NUMPY\2\0" + b"\xff" * 4,
    "is cut off": laid(PLAIN)[:-5],
    "is cut off: 7[0-9] of 75 bytes": laid(PLAIN, data=bytes(7)),
    "has 1 bytes behind its array": laid(PLAIN, data=bytes(9)),
    "no dict of descr": laid("__import__('os').system('touch x')"),
    "no dict of descr, fortran_order and shape: .*os": laid(PLAIN.replace("False", "__import__('os')")),
    "no dict of descr, fortran_order and shape: .*1e9": laid(PLAIN.replace("2,", "1e9,")),
    "no dict of descr, fortran_order and shape: .*-2": laid(PLAIN.replace("2,", "-2,")),
    "no dict of descr, fortran_order and shape: .*extra": laid(PLAIN.replace("'shape'", "'extra': 1, 'shape'")),
    "no dict of descr, fortran_order and shape: .*descr.*descr": laid("{'descr': '<f4', 'descr': '<f4', }"),
    "has a header with descr; it needs": laid("{'descr': '<f4'}"),
    "no dict of descr, fortran_order and shape: '\\(\\(\\(": laid("(" * 50_000),
    "whose values are of the wrong kind": laid("{'descr': True, 'fortran_order': False, 'shape': (2,), }"),
    "an impossible shape": laid(PLAIN.replace("2,", "9223372036854775807, 9223372036854775807,")),
    "has an impossible": laid(PLAIN.replace("2,", "1," * 65)),
    "a shape that is no tuple": laid(PLAIN.replace("2,", "2")),
    "the element type 'f4'": laid(PLAIN.replace("<f4", "f4")),
    "is an array of records": laid(PLAIN.replace("'<f4'", "[('a', '<f4')]")),
    "is an array of Python objects": saved(np.array([{}], dtype=object)),
    "is no text": laid(b"\xff\xfe", (3, 0)),
}


@pytest.mark.parametrize("message", BROKEN)
def test_a_header_that_is_none_is_refused(message):
    with pytest.raises(FormatError, match=message):
        npy.read(Counted(BROKEN[message]))


def packed(name, content, method=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path):
    path = tmp_path / "m.npz"
    honest = packed("w.npy", saved(np.zeros(1 << 20)))
    size = struct.pack("<I", len(saved(np.zeros(1 << 20))))
    path.write_bytes(honest.replace(size, struct.pack("<I", 0x7FFFFFFF)))
    with pytest.raises(FormatError, match="would grow from"):
        open_checkpoint(path)


def test_compressed_values_that_are_damaged_are_refused_when_they_are_read(tmp_path):
    path = tmp_path / "m.npz"
    content = bytearray(packed("w.npy", saved(np.random.default_rng(0).normal(size=20_000))))
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    checkpoint = open_checkpoint(path)
    with pytest.raises(FormatError, match=r"the compressed record w\.npy"):
        b"".join(tensor_blocks(checkpoint, checkpoint.sections[0].tensors["w"]))
    checkpoint.close()


def test_an_archive_with_objects_is_refused(tmp_path):
    np.savez(tmp_path / "m.npz", w=np.ones(2), o=np.array([{}], dtype=object))
    with pytest.raises(FormatError, match="is an array of Python objects") as caught:
        open_checkpoint(tmp_path / "m.npz")
    assert caught.value.rule == "CKC701"
    assert "o.npy" in caught.value.where
