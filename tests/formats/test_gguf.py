"""GGUF files are read as written, and every count in them is doubted."""

import struct

import pytest
from formats.ggufs import Entry, gguf
from formats.sources import Counted

from ckptlint.core.tree import List
from ckptlint.errors import FormatError
from ckptlint.formats import gguf as reader
from ckptlint.formats import open_checkpoint
from ckptlint.formats.tensor_bytes import tensor_blocks

F32, F16, Q4_0, Q4_K, I32, BF16 = 0, 1, 2, 12, 26, 30
METADATA = {
    "general.architecture": ("text", "llama"),
    "llama.block_count": ("u32", 2),
    "llama.rope.freq_base": ("f32", 0.5),
    "flag": ("bool", True),
    "big": ("u64", 2**63),
    "tokens": ("array", ("text", ["a", "é", b"\xff"])),
    "scores": ("array", ("i16", [1, -2, 3])),
}
PLAIN = Entry("output_norm.weight", (3,), F32, struct.pack("<3f", 1, 2, 3))
PACKED = Entry("blk.0.attn_q.weight", (2, 64), Q4_0, bytes(range(72)))
SUPER = Entry("blk.0.ffn.weight", (1, 256), Q4_K, bytes(144))
ENTRIES = [PLAIN, PACKED, SUPER, Entry("half", (2, 1), BF16, b"\x80\x3f\x00\x40")]


def read(content):
    return reader.read(Counted(content))


def test_metadata_is_the_tree_and_tensors_are_a_section(tmp_path):
    path = tmp_path / "m.bin"
    path.write_bytes(gguf(METADATA, ENTRIES))
    checkpoint = open_checkpoint(path)
    metadata = dict(checkpoint.root.get("metadata").items)
    lists = {key: value.items for key, value in metadata.items() if isinstance(value, List)}
    assert lists == {"tokens": ["a", "é", b"\xff"], "scores": [1, -2, 3]}
    assert {key: value for key, value in metadata.items() if key not in lists} == {
        "general.architecture": "llama",
        "llama.block_count": 2,
        "llama.rope.freq_base": 0.5,
        "flag": True,
        "big": 2**63,
    }
    (section,) = checkpoint.sections
    assert section.path == "/tensors"
    assert [f"{key}: {tensor.spec}" for key, tensor in section.tensors.items()] == [
        "output_norm.weight: f32[3]",
        "blk.0.attn_q.weight: q4_0[2,64]",
        "blk.0.ffn.weight: q4_k[1,256]",
        "half: bf16[2,1]",
    ]
    assert [storage.nbytes for storage in checkpoint.storages] == [12, 72, 144, 4]
    assert [checkpoint.read(s, 0, s.nbytes) for s in checkpoint.storages] == [entry.content for entry in ENTRIES]
    checkpoint.close()


def test_big_endian_files_are_read_as_well():
    entries = [Entry("w", (2, 3), F32, struct.pack(">6f", *range(6)))]
    checkpoint = read(gguf({"n": ("u32", 7)}, entries, order=">"))
    assert checkpoint.root.get("metadata").get("n") == 7
    assert b"".join(tensor_blocks(checkpoint, checkpoint.root.get("tensors").get("w"))) == struct.pack("<6f", *range(6))


def test_another_alignment_is_followed():
    checkpoint = read(gguf({"general.alignment": ("u32", 128)}, [PLAIN, PACKED], alignment=128))
    assert [storage.start % 128 for storage in checkpoint.storages] == [0, 0]


HUGE = 2**60
BROKEN = {
    "has the GGUF version 1;": gguf({}, [], version=1),
    "has the GGUF version 9;": gguf({}, [], version=9),
    "says it holds 1152921504606846976 tensors": gguf({}, [], tensors=HUGE),
    "and 1152921504606846976 metadata values": gguf({}, [], pairs=HUGE),
    "is cut off: .* of at least 13,0": gguf({}, [], pairs=1000),
    "a metadata key of 0 bytes": gguf({"": ("u8", 1)}, []),
    "a metadata key of 4611686018427387904 bytes": b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**62) + bytes(30),
    "the metadata key 'a' twice": gguf([("a", ("u8", 1)), ("a", ("u8", 2))], []),
    "the tensor 'output_norm.weight' twice": gguf({}, [PLAIN, PLAIN]),
    "a text of 1152921504606846976 bytes": gguf({"a": ("u64", HUGE)}, []).replace(b"\x0a\0\0\0", b"\x08\0\0\0"),
    "an array of 1099511627776 values": gguf({"a": ("array", ("u8", []))}, []).replace(
        struct.pack("<IIQ", 9, 0, 0), struct.pack("<IIQ", 9, 0, 2**40)
    ),
    "arrays in an array": gguf({"a": ("array", ("array", [("u8", [1])]))}, []),
    "a value of the unknown type 13": gguf({"a": ("u32", 1)}, []).replace(b"a\x04\0\0\0", b"a\x0d\0\0\0"),
    "has 2147483648 dimensions": gguf({}, [Entry("w", (2,), F32, bytes(8), axes=2**31)]),
    "the type number 4,": gguf({}, [Entry("w", (2,), 4, bytes(8))]),
    "the impossible shape": gguf({}, [Entry("w", (2**40, 2**40), F32, b"")]),
    "has rows of 33 elements, but q4_0 packs 32": gguf({}, [Entry("w", (33,), Q4_0, bytes(36))]),
    "is a single element": gguf({}, [Entry("w", (), Q4_0, bytes(18))]),
    "the alignment 33,": gguf({"general.alignment": ("u32", 33)}, []),
    "the alignment 0,": gguf({"general.alignment": ("u32", 0)}, []),
    "is said to begin at data byte 0, .* 32 is next": gguf({}, [PLAIN, Entry("b", (3,), F32, bytes(12), offset=0)]),
    "is said to begin at data byte 64, .* 32 is next": gguf({}, [PLAIN, Entry("b", (3,), F32, bytes(12), offset=64)]),
    "is cut off: 96 of 108 bytes": gguf({}, [Entry("weights", (11,), F32, bytes(44))])[:-32],
    "has 64 bytes behind its last tensor": gguf({}, [PLAIN], tail=bytes(64)),
    "which has a NUL in it": gguf({}, [Entry("a\0b", (3,), F32, bytes(12))]),
    "which is not UTF-8": gguf({b"\xff": ("u8", 1)}, []),
}


@pytest.mark.parametrize("message", BROKEN)
def test_what_contradicts_itself_is_refused(message):
    with pytest.raises(FormatError, match=message) as caught:
        read(BROKEN[message])
    assert "byte" in caught.value.where


def test_every_beginning_is_cut_off():
    content = gguf(METADATA, ENTRIES)
    needed = len(content) - 28  # the padding behind the last tensor may be missing
    for size in range(12, needed):
        with pytest.raises(FormatError) as caught:
            read(content[:size])
        assert caught.value.rule == "CKC103"
    read(content[:needed])


def test_only_the_header_is_read():
    source = Counted(gguf(METADATA, [Entry("w", (1 << 20,), F32, bytes(4 << 20))]))
    reader.read(source)
    assert source.taken <= 1 << 16


def test_what_the_reference_writes_is_read(tmp_path):
    written = pytest.importorskip("gguf")
    import numpy as np

    writer = written.GGUFWriter(tmp_path / "m.gguf", "llama")
    writer.add_block_count(3)
    writer.add_token_list(["a", "b"])
    tensors = {"w": np.arange(12, dtype="f4").reshape(3, 4), "h": np.ones((2, 2), "f2"), "i": np.arange(5, dtype="i8")}
    for name, array in tensors.items():
        writer.add_tensor(name, array)
    packed = written.quants.quantize(
        np.random.default_rng(0).normal(size=(4, 64)).astype("f4"), written.GGMLQuantizationType.Q8_0
    )
    writer.add_tensor("q", packed, raw_dtype=written.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    checkpoint = open_checkpoint(tmp_path / "m.gguf")
    found = checkpoint.sections[0].tensors
    for name, array in tensors.items():
        assert found[name].shape == array.shape
        assert b"".join(tensor_blocks(checkpoint, found[name])) == array.tobytes()
    assert str(found["q"].spec) == "q8_0[4,64]"
    assert checkpoint.read(found["q"].storage, 0, found["q"].storage.nbytes) == packed.tobytes()
    checkpoint.close()
