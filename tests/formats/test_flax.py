"""Flax's msgpack files: arrays by their place, keys joined by dots, every length doubted."""

import struct

import pytest
from formats.sources import Counted

from ckptlint.errors import FormatError
from ckptlint.formats import flax, open_checkpoint
from ckptlint.formats.tensor_bytes import tensor_blocks


def pack(value):  # noqa: PLR0911  one a type
    """msgpack, as its specification says, of what Flax writes; (shape, dtype, bytes) is an array."""
    if value is None or isinstance(value, bool):
        return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value]
    if isinstance(value, int):
        return bytes([value]) if 0 <= value < 128 else b"\xd3" + struct.pack(">q", value)
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        text = value.encode()
        return (bytes([0xA0 | len(text)]) if len(text) < 32 else b"\xda" + struct.pack(">H", len(text))) + text
    if isinstance(value, bytes):
        return b"\xc6" + struct.pack(">I", len(value)) + value
    if isinstance(value, list):
        return bytes([0x90 | len(value)]) + b"".join(map(pack, value))
    if isinstance(value, complex):
        return extension(2, pack([value.real, value.imag]))
    if isinstance(value, tuple):
        return extension(1, pack([list(value[0]), *value[1:]]))
    return b"\xde" + struct.pack(">H", len(value)) + b"".join(pack(k) + pack(v) for k, v in value.items())


def extension(kind, content):
    return b"\xc9" + struct.pack(">Ib", len(content), kind) + content


KERNEL = ((2, 3), "float32", struct.pack("<6f", *range(6)))
HALF = ((4,), "bfloat16", bytes(8))
MODEL = {"encoder": {"layer_0": {"kernel": KERNEL, "bias": HALF}}, "head": {"kernel": KERNEL}}
STATE = {
    "step": 7,
    "params": MODEL,
    "opt_state": {"0": {"count": ((), "int32", bytes(4)), "mu": MODEL}},
    "note": [1.5, None, 1 + 2j],
}


def test_a_model_is_one_state_dict_with_dotted_keys(tmp_path):
    path = tmp_path / "flax_model.msgpack"
    path.write_bytes(pack(MODEL))
    checkpoint = open_checkpoint(path)
    assert checkpoint.format == "flax"
    (section,) = checkpoint.sections
    assert {key: str(tensor.spec) for key, tensor in section.tensors.items()} == {
        "encoder.layer_0.kernel": "f32[2,3]",
        "encoder.layer_0.bias": "bf16[4]",
        "head.kernel": "f32[2,3]",
    }
    assert b"".join(tensor_blocks(checkpoint, section.tensors["head.kernel"])) == KERNEL[2]
    checkpoint.close()


def test_a_train_state_keeps_its_parts(tmp_path):
    path = tmp_path / "checkpoint_7"
    path.write_bytes(pack(STATE))
    checkpoint = open_checkpoint(path)
    assert "/params" in [section.path for section in checkpoint.sections]
    assert checkpoint.root.get("step") == 7
    assert checkpoint.root.get("note").items == [1.5, None, 1 + 2j]
    checkpoint.close()


def test_what_msgpack_itself_writes_is_read():
    msgpack = pytest.importorskip("msgpack")
    array = msgpack.ExtType(1, msgpack.packb(((2, 2), "float16", bytes(8)), use_bin_type=True))
    content = msgpack.packb({"a" * 300: {"b": array}, "n": array}, use_bin_type=True)
    assert [key for key, _ in flax.read(Counted(content)).root.items] == ["a" * 300 + ".b", "n"]


def test_arrays_are_not_read():
    source = Counted(pack({f"w{number}": ((1 << 18,), "float32", bytes(1 << 20)) for number in range(8)}))
    assert len(flax.read(source).storages) == 8
    assert source.taken < 100_000


BROKEN = {
    "is cut off": pack(MODEL)[:-1],
    "has 1 bytes behind its end": pack(MODEL) + b"\0",
    "is msgpack data without arrays": pack({"a": 1}),
    "the code 0xc1": pack({"a": 1})[:-1] + b"\xc1",
    "is nested deeper": b"\x81\xa1a" * 1000,
    "an array f32\\[2, 4\\] with 24 bytes": pack({"w": ((2, 4), "float32", bytes(24))}),
    "the element type 'object'": pack({"w": ((2,), "object", bytes(16))}),
    "an array whose shape is none": pack({"w": ((-2,), "float32", bytes(8))}),
    "not as Flax writes it": pack({"w": 1})[:-1] + extension(1, pack([[2], "float32", bytes(8)]) + b"\0"),
    "has an extension that is not": pack({"w": 1})[:-1] + extension(9, b"x"),
    "not UTF-8": b"\x81\xa1\xff\x01",
    "is there twice": b"\x82\xa1a\x01\xa1a\x01",
    "is cut off: .* of at least 4,29": b"\xdd" + b"\xff" * 4,
    "an array in chunks": pack({"w": {"__msgpack_chunked_array__": True, "shape": {"0": 1}, "chunks": {}}}),
}


@pytest.mark.parametrize("message", BROKEN)
def test_what_is_no_checkpoint_of_flax_is_refused(message):
    with pytest.raises(FormatError, match=message):
        flax.read(Counted(BROKEN[message]))
