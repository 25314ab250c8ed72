"""What torch.save writes is read as torch.load reads it, and what torch.load should have refused is refused."""

import io
import json
import pickle
from collections import OrderedDict

import pytest
from formats.sources import Counted
from formats.zips import Member, archive

from ckptlint.core.tree import Tensor
from ckptlint.engine.tree_notation import tree_notation
from ckptlint.errors import FormatError
from ckptlint.formats import torch_zip
from ckptlint.formats.tensor_bytes import tensor_blocks

torch = pytest.importorskip("torch")


def saved(value, **options):
    file = io.BytesIO()
    torch.save(value, file, **options)
    return file.getvalue()


def read(content):
    return torch_zip.read(Counted(content))


def tensors(checkpoint):
    return {key: value for key, value in checkpoint.root.items if isinstance(value, Tensor)}


def raw(tensor):
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""


DTYPES = [
    name
    for name in [
        "float64",
        "float32",
        "float16",
        "bfloat16",
        "float8_e4m3fn",
        "float8_e5m2",
        "float8_e4m3fnuz",
        "float8_e5m2fnuz",
        "float8_e8m0fnu",
        "int64",
        "int32",
        "int16",
        "int8",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "bool",
        "complex64",
        "complex128",
        "complex32",
        "float4_e2m1fn_x2",
    ]
    if hasattr(torch, name)
]


def example(name, *shape):
    count = 1
    for size in shape:
        count *= size
    bits = (
        torch.arange(count * getattr(torch, name).itemsize, dtype=torch.int64)
        .remainder(2 if name == "bool" else 251)
        .to(torch.uint8)
    )
    return bits.view(getattr(torch, name)).reshape(shape)


def views(name):
    base = example(name, 6, 4)
    return {
        "whole": base,
        "transposed": base.t(),
        "rows": base[2:4],
        "columns": base[:, 1:3],
        "every second": base[::2],
        "expanded": base[:1].expand(3, 4),
        "permuted": example(name, 2, 3, 4).permute(2, 0, 1),
        "scalar": example(name),
        "empty": example(name, 0, 5),
    }


@pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental")
@pytest.mark.parametrize("name", DTYPES)
def test_every_dtype_and_view_is_read_as_torch_loads_it(name):
    content = saved(views(name))
    checkpoint = read(content)
    loaded = torch.load(io.BytesIO(content), weights_only=True)
    found = tensors(checkpoint)
    assert list(found) == list(loaded)
    for key, tensor in loaded.items():
        mine = found[key]
        assert (mine.dtype.torch, mine.shape, mine.stride, mine.offset) == (
            name,
            tuple(tensor.shape),
            tensor.stride(),
            tensor.storage_offset(),
        ), key
        assert b"".join(tensor_blocks(checkpoint, mine)) == raw(tensor), key


def test_names_of_one_tensor_are_ties_and_views_share_a_storage():
    weight = torch.arange(6.0)
    found = tensors(read(saved({"a": weight, "b": weight, "c": weight[:2], "d": weight.clone(), "e": weight.view(6)})))
    assert found["a"].identity == found["b"].identity == found["e"].identity
    assert found["a"].storage is found["c"].storage
    assert found["a"].identity != found["c"].identity
    assert found["a"].storage is not found["d"].storage


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_the_tree_beside_the_tensors_is_read(protocol):
    value = OrderedDict(
        epoch=3,
        rate=1e-3,
        name="é",
        nothing=None,
        flags=[True, {}, (), [1, (2, "x")]],
        raw=b"\0\xff",
        z=1 + 2j,
        many={1, 2},
    )
    value["state"] = {0: {"exp_avg": torch.zeros(2)}, "size": torch.Size([2, 3])}
    checkpoint = read(saved(value, pickle_protocol=protocol))
    assert checkpoint.notes["protocol"] == str(protocol)
    assert json.loads(json.dumps(tree_notation(checkpoint.root))) == {
        "/epoch": {"value": 3},
        "/rate": {"value": 0.001},
        "/name": {"value": "é"},
        "/nothing": {"value": None},
        "/flags/0": {"value": True},
        "/flags/1": {"empty": "dict"},
        "/flags/2": {"empty": "tuple"},
        "/flags/3/0": {"value": 1},
        "/flags/3/1/0": {"value": 2},
        "/flags/3/1/1": {"value": "x"},
        "/raw": {"value": {"bytes": "00ff"}},
        "/z": {"value": {"complex": "1+2j"}},
        "/many": {"opaque": "builtins.set"},
        "/state/0/exp_avg": {"tensor": ["float32", [2]]},
        "/state/size/0": {"value": 2},
        "/state/size/1": {"value": 3},
    }


def test_stored_checksums_are_those_of_the_storages():
    import zlib

    content = saved({"a": torch.arange(5.0), "b": torch.arange(3)})
    checkpoint = read(content)
    assert len(checkpoint.checksums) == 2
    for storage in checkpoint.storages:
        stored = content[storage.start : storage.start + storage.nbytes]
        assert checkpoint.checksums[(0, storage.start)] == zlib.crc32(stored)


def test_big_endian_elements_are_turned():
    value = {"f": torch.tensor([1.5, -2.0]), "c": torch.tensor([1 + 2j]), "b": torch.tensor([1, 2], dtype=torch.int8)}
    big = _turned(saved(value))
    checkpoint = read(big)
    assert checkpoint.notes["byteorder"] == "big"
    loaded = torch.load(io.BytesIO(big), weights_only=True)
    for key, tensor in tensors(checkpoint).items():
        assert b"".join(tensor_blocks(checkpoint, tensor)) == raw(value[key]) == raw(loaded[key])


def _turned(content):
    """The same archive as a big-endian machine writes it."""
    import zipfile

    import numpy as np

    units = {"data/0": 4, "data/1": 4, "data/2": 1}
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w") as new:
        for entry in old.infolist():
            data = old.read(entry)
            name = entry.filename.partition("/")[2]
            if name in units:
                data = np.frombuffer(data, f"u{units[name]}").byteswap().tobytes()
            new.writestr(entry.filename, b"big" if name == "byteorder" else data)
    return file.getvalue()


class Stranger:
    """An object whose class the reader never looks up."""

    def __init__(self):
        self.lr = 0.1


def test_unknown_objects_are_named_and_kept():
    checkpoint = read(saved({"cfg": Stranger(), "w": torch.zeros(1)}))
    assert tree_notation(checkpoint.root)["/cfg"] == {"opaque": f"{Stranger.__module__}.Stranger"}
    assert f"{Stranger.__module__}.Stranger" in checkpoint.notes["globals"]


# archives that lie, assembled by hand around a pickle that torch could have written


class _Storage:
    def __init__(self, key="0", kind="FloatStorage", numel=6):
        self.pid = ("storage", getattr(torch, kind), key, "cpu", numel)


class _View:
    def __init__(self, storage, offset=0, size=(2, 3), stride=(3, 1)):
        self.arguments = (storage, offset, size, stride, False, OrderedDict())

    def __reduce__(self):
        return torch._utils._rebuild_tensor_v2, self.arguments


class _Pickler(pickle.Pickler):
    def persistent_id(self, value):
        return value.pid if isinstance(value, _Storage) else None


def pickled(value):
    file = io.BytesIO()
    _Pickler(file, 2).dump(value)
    return file.getvalue()


def made(*members, root=None, **records):
    value = {"w": _View(_Storage())} if root is None else root
    small = {"data.pkl": pickled(value), "byteorder": b"little", "version": b"3\n"} | records
    listed = [Member(b"r/" + name.encode(), content) for name, content in small.items() if content is not None]
    return archive(*listed, *members)


DATA = Member(b"r/data/0", bytes(24))


def test_the_archives_below_lie_in_one_place_only():
    checkpoint = read(made(DATA, Member(b"r/.ckptlint/revisions.json", b'{"/": "0001-abc"}')))
    assert tree_notation(checkpoint.root) == {"/w": {"tensor": ["float32", [2, 3]]}}
    assert checkpoint.notes["revisions"] == '{"/": "0001-abc"}'
    assert "unreferenced" not in checkpoint.notes
    assert list(torch.load(io.BytesIO(made(DATA)), weights_only=False)) == ["w"]


BROKEN = {
    "values in the record r/data/0, which the archive does not have": made(),
    "the record r/data/0 has 23 bytes; the pickle says 24": made(Member(b"r/data/0", bytes(23))),
    "the record r/data/0 has 25 bytes; the pickle says 24": made(Member(b"r/data/0", bytes(25))),
    "the values in r/data/0 are compressed": made(Member(b"r/data/0", bytes(24), method=8)),
    "has no record r/version": made(DATA, version=None),
    "container version '99'": made(DATA, version=b"99"),
    "container version 'x'": made(DATA, version=b"x"),
    "r/version is not a text": made(DATA, version=b"\xff"),
    "the byte order 'middle'": made(DATA, byteorder=b"middle"),
    "2 bytes follow the pickle's STOP": made(DATA, **{"data.pkl": pickled({"w": _View(_Storage())}) + b"N."}),
    "holds 's/x' beside its folder 'r/'": made(DATA, Member(b"s/x")),
    "is a torch.package archive": made(DATA, **{".data/extern_modules": b""}),
    "reaches beyond": made(DATA, root={"w": _View(_Storage(), offset=1)}),
    "shape .* reaches beyond": made(DATA, root={"w": _View(_Storage(), size=(3, 3))}),
    "stride .* something else": made(DATA, root={"w": _View(_Storage(), stride=(-3, 1))}),
    "impossible offset": made(DATA, root={"w": _View(_Storage(), offset=-1)}),
    "not as many strides as sizes": made(DATA, root={"w": _View(_Storage(), stride=(1,))}),
    "6 elements of i32 here and 6 of f32 before": made(
        DATA, root=[_View(_Storage()), _View(_Storage(kind="IntStorage"))]
    ),
    "is not the name of a storage": made(DATA, root={"w": _View(_Storage(key="../../x"))}),
    "impossible length": made(DATA, root={"w": _View(_Storage(numel=-1))}),
}


@pytest.mark.parametrize("message", BROKEN)
def test_an_archive_that_lies_is_refused(message):
    with pytest.raises(FormatError, match=message):
        read(BROKEN[message])


OTHERS = {
    "is an empty ZIP archive": archive(),
    "has its data.pkl at 'a/b/data.pkl'": archive(Member(b"a/b/data.pkl")),
    "no checkpoint: it has no data.pkl, only notes.txt": archive(Member(b"notes.txt")),
    "is a Keras model": archive(Member(b"metadata.json"), Member(b"config.json"), Member(b"model.weights.h5")),
    "is a Python wheel": archive(Member(b"p/__init__.py"), Member(b"p-1.dist-info/WHEEL")),
}


@pytest.mark.parametrize("message", OTHERS)
def test_other_archives_are_named(message):
    with pytest.raises(FormatError, match=message):
        read(OTHERS[message])


def test_records_that_nothing_points_to_are_noted():
    checkpoint = read(made(DATA, Member(b"r/data/7", b"x"), Member(b"r/run.py", b"x")))
    assert checkpoint.notes["unreferenced"] == "r/data/7, r/run.py"


def test_a_file_without_checksums_says_so():
    torch.serialization.set_crc32_options(False)
    try:
        content = saved({"w": torch.ones(3)})
    finally:
        torch.serialization.set_crc32_options(True)
    checkpoint = read(content)
    assert (checkpoint.notes["checksums"], checkpoint.checksums) == ("absent", {})


def test_a_flipped_bit_in_the_pickle_is_noticed():
    content = bytearray(saved({"weight": torch.ones(3)}))
    content[content.index(b"weight")] ^= 1
    with pytest.raises(FormatError, match=r"data\.pkl is damaged: its CRC-32"):
        read(bytes(content))


def test_every_truncation_is_an_error():
    content = saved({"w": torch.ones(3), "epoch": 1})
    for length in range(len(content)):
        with pytest.raises(FormatError):
            read(content[:length])


def test_only_the_header_is_read():
    content = saved({f"layer.{number}.weight": torch.zeros(100_000, dtype=torch.uint8) for number in range(50)})
    source = Counted(content)
    assert len(torch_zip.read(source).root.items) == 50
    assert source.taken < len(content) / 30
    assert source.reads < 50 + 10
