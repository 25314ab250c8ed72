"""What safetensors writes is read as safetensors reads it; a header that promises what the file does not hold is refused."""

import json

import pytest
from formats.sources import Counted

from ckptlint.core.tree import Tensor
from ckptlint.errors import FormatError
from ckptlint.formats import safetensors
from ckptlint.formats.tensor_bytes import tensor_blocks


def laid(header, data=b"", *, length=None, pad=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    text += pad
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(dtype="F32", shape=(2,), begin=0, end=8, **more):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end], **more}


def read(content):
    return safetensors.read(Counted(content))


def test_it_reads_what_the_library_writes(tmp_path):
    torch = pytest.importorskip("torch")
    library = pytest.importorskip("safetensors.torch")
    from safetensors import safe_open

    names = [n for n in library._TYPES if isinstance(n, str)]
    value = {"scalar": torch.tensor(3.5), "empty": torch.zeros(0, 4), "é/~ key": torch.arange(6).reshape(2, 3)}
    for name in names:
        dtype = library._TYPES[name]
        value[name] = torch.arange(4 * dtype.itemsize, dtype=torch.uint8).remainder(2).view(dtype)
    path = tmp_path / "m.safetensors"
    library.save_file(value, path, metadata={"format": "pt", "who": "me"})
    checkpoint = read(path.read_bytes())
    with safe_open(path, "pt") as opened:
        assert {key for key, _ in checkpoint.root.items} == set(opened.keys())
        for key, tensor in checkpoint.root.items:
            theirs = opened.get_tensor(key)
            assert (tensor.dtype.torch, tensor.shape) == (str(theirs.dtype).removeprefix("torch."), tuple(theirs.shape))
            mine = b"".join(tensor_blocks(checkpoint, tensor))
            assert mine == (theirs.reshape(-1).view(torch.uint8).numpy().tobytes() if theirs.numel() else b"")
    assert (checkpoint.notes["metadata.format"], checkpoint.notes["metadata.who"]) == ("pt", "me")


def test_keys_keep_the_order_of_the_header_and_own_their_storage():
    content = laid({"z": entry(begin=8, end=16), "a": entry("I64", (1,))}, bytes(16), pad=b"  \n")
    checkpoint = read(content)
    data = len(content) - 16
    assert [(key, t.storage.key, t.storage.start - data, str(t.spec)) for key, t in checkpoint.root.items] == [
        ("z", "z", 8, "f32[2]"),
        ("a", "a", 0, "i64[1]"),
    ]


def test_values_of_four_bits_are_counted_in_pairs_as_torch_does():
    checkpoint = read(laid({"w": entry("F4", (2, 6), 0, 6), "odd": entry("F4", (2, 1), 6, 7)}, bytes(7)))
    assert [(t.dtype.name, t.shape) for _, t in checkpoint.root.items] == [("f4e2m1x2", (2, 3)), ("f4", (2, 1))]


def test_recorded_ties_are_one_tensor_again():
    ties = json.dumps([["a", "b", "gone"], ["c", "a"], ["gone"]])
    header = {
        "__metadata__": {"ckptlint.ties": ties, "ckptlint": '{"/": "0002-f00"}'},
        "a": entry(),
        "b": entry(begin=8, end=16),
        "c": entry("I64", (1,), 16, 24),
    }
    checkpoint = read(laid(header, bytes(24)))
    found = dict(checkpoint.root.items)
    assert found["a"] is found["b"]
    assert found["c"] is not found["a"]  # another shape: somebody wrote to the file since
    assert [storage.key for storage in checkpoint.storages] == ["a", "b", "c"]
    assert checkpoint.notes["revisions"] == '{"/": "0002-f00"}'


def test_only_the_header_is_read():
    source = Counted(laid({"w": entry("U8", (1 << 20,), 0, 1 << 20)}, bytes(1 << 20)))
    safetensors.read(source)
    assert (source.reads, source.taken < 100) == (2, True)


def test_metadata_may_be_null():
    assert isinstance(read(laid({"__metadata__": None, "w": entry()}, bytes(8))).root.items[0][1], Tensor)


TWICE = b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"w":{"dtype":"I32","shape":[2],"data_offsets":[0,8]}}'
BROKEN = {
    "5 of at least 10 bytes": b"12345",
    "says its header has 18446744073709551615 bytes": b"\xff" * 8 + b'{"a',
    "says its header has 100000001 bytes": laid({}, length=100_000_001),
    "is cut off: 10 of at least 107 bytes are there \\(9.3 %\\), which is less than its header": laid({}, length=99),
    "does not start with '{'": laid(b'["w"]'),
    "is not JSON": laid(b'{"w": '),
    "nested too deeply": laid(b'{"w":' * 100_000),
    "is not UTF-8": laid(b'{"\xff": 1}'),
    "the key 'w' twice": laid(TWICE, bytes(8)),
    "the key 'dtype' twice": laid(b'{"w":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}', bytes(8)),
    "half a surrogate pair": laid(b'{"\\ud800":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', bytes(8)),
    "__metadata__ is not an object": laid({"__metadata__": ["x"]}),
    "__metadata__\\['x'\\] is not a text": laid({"__metadata__": {"x": 1}}),
    "has no fields; it must have": laid({"w": 3}),
    "has dtype, shape, data_offsets, extra; it must": laid({"w": entry(extra=1)}, bytes(8)),
    "has dtype, shape; it must": laid({"w": {"dtype": "F32", "shape": [2]}}, bytes(8)),
    "the dtype 'F31'": laid({"w": entry("F31")}, bytes(8)),
    "the dtype 32, which": laid({"w": entry(32)}, bytes(8)),
    "the dtype \\[\\], which": laid({"w": entry([])}, bytes(8)),
    "'w' has a shape that is": laid({"w": entry(shape=[True, 2])}, bytes(8)),
    "'v' has a shape that is": laid({"v": entry(shape=[2.0])}, bytes(8)),
    "'n' has a shape that is": laid({"n": entry(shape=[-2])}, bytes(8)),
    "'h' has a shape that is": laid({"h": entry(shape=[2**63])}, bytes(8)),
    "'r' has a shape that is": laid({"r": entry(shape=[1] * 65)}, bytes(8)),
    "'w' has data_offsets that": laid({"w": entry(begin=8, end=0)}, bytes(8)),
    "'v' has data_offsets that": laid({"v": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8, 9]}}, bytes(8)),
    "12 bytes, but has 8 bytes of data": laid({"w": entry(shape=[3])}, bytes(8)),
    "but has 8 bytes of data": laid({"w": entry(shape=[2**62, 2**62])}, bytes(8)),
    "1.5 bytes, but has 1 bytes": laid({"w": entry("F4", [3], 0, 1)}, bytes(1)),
    "'w' leaves a hole of 4 bytes": laid({"w": entry(begin=4, end=12)}, bytes(12)),
    "'v' leaves a hole of 8 bytes": laid({"w": entry(), "v": entry(begin=16, end=24)}, bytes(24)),
    "'v' overlaps 'w' by 4 bytes": laid({"w": entry(), "v": entry(begin=4, end=12)}, bytes(12)),
    "of 77 bytes are there": laid({"w": entry()}, bytes(7)),
    "has 1 bytes behind its last tensor": laid({"w": entry()}, bytes(9)),
    "is not a list of lists of keys": laid({"__metadata__": {"ckptlint.ties": "[[1]]"}}),
    "ckptlint.ties.*is not JSON": laid({"__metadata__": {"ckptlint.ties": "[["}}),
}


@pytest.mark.parametrize("message", BROKEN)
def test_a_header_that_promises_too_much_is_refused(message):
    with pytest.raises(FormatError, match=message) as caught:
        read(BROKEN[message])
    assert caught.value.where.startswith("file")


def test_every_truncation_is_an_error():
    content = laid({"w": entry(), "v": entry("U8", (3,), 8, 11)}, bytes(11))
    for length in range(len(content)):
        with pytest.raises(FormatError):
            read(content[:length])


SUB_BYTE = {
    "F4": ([2, 4], 4),
    "F6_E2M3": ([4, 2], 6),
    "F6_E3M2": ([2, 2, 1], 3),
    "F8_E8M0": ([3], 3),
    "F8_E4M3FNUZ": ([3], 3),
}


@pytest.mark.parametrize("name", SUB_BYTE)
def test_small_types_take_the_bytes_that_the_reference_gives_them(name):
    reference = pytest.importorskip("safetensors")
    shape, length = SUB_BYTE[name]
    content = laid({"w": entry(name, shape, 0, length)}, bytes(range(length)))
    (_, wanted) = reference.deserialize(content)[0]
    checkpoint = read(Counted(content))
    tensor = checkpoint.root.get("w")
    assert (tensor.dtype.bits * tensor.spec.numel, tensor.storage.nbytes) == (8 * length, length)
    assert checkpoint.read(tensor.storage, 0, length) == bytes(wanted["data"])
    assert list(tensor.shape) == (shape if name != "F4" else [2, 2])  # torch counts pairs
