"""What torch.save wrote before 1.6 is read as torch.load reads it."""

import io
import pickle
import sys

import pytest
from formats.sources import Counted

from ckptlint.core.tree import Tensor
from ckptlint.engine.tree_notation import tree_notation
from ckptlint.errors import FormatError
from ckptlint.formats import legacy_pickle
from ckptlint.formats.tensor_bytes import tensor_blocks

torch = pytest.importorskip("torch")


def saved(value, **options):
    file = io.BytesIO()
    torch.save(value, file, _use_new_zipfile_serialization=False, **options)
    return file.getvalue()


def read(content):
    return legacy_pickle.read(Counted(content))


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_tensors_are_read_as_torch_loads_them(protocol):
    base = torch.arange(24.0).reshape(6, 4)
    value = {
        "whole": base,
        "tied": base,
        "transposed": base.t(),
        "rows": base[2:4],
        "half": base.half(),
        "int": torch.tensor([1, 2]),
        "flag": torch.tensor(True),
        "none": torch.zeros(0, 3),
    }
    content = saved(value | {"epoch": 3}, pickle_protocol=protocol)
    checkpoint = read(content)
    tensors = {key: found for key, found in checkpoint.root.items if isinstance(found, Tensor)}
    for key, tensor in torch.load(io.BytesIO(content), weights_only=False).items():
        if key == "epoch":
            continue
        mine = tensors[key]
        assert (mine.dtype.torch, mine.shape, mine.stride, mine.offset) == (
            str(tensor.dtype)[6:],
            tuple(tensor.shape),
            tensor.stride(),
            tensor.storage_offset(),
        )
        assert b"".join(tensor_blocks(checkpoint, mine)) == tensor.contiguous().numpy().tobytes()
    assert tensors["whole"].identity == tensors["tied"].identity
    assert (checkpoint.notes["protocol"], checkpoint.format) == (str(protocol), "torch-legacy")


def test_a_pickled_module_is_read_with_the_source_that_it_carries():
    checkpoint = read(saved(torch.nn.Linear(2, 3)))
    assert tree_notation(checkpoint.root) == {"/": {"opaque": "torch.nn.modules.linear.Linear"}}
    assert len(checkpoint.storages) == 2


def test_only_the_header_is_read():
    source = Counted(saved({f"layer.{number}": torch.zeros(1 << 20, dtype=torch.uint8) for number in range(20)}))
    legacy_pickle.read(source)
    assert (source.taken < 300_000, source.reads) == (True, 21)


def test_a_header_longer_than_the_first_portion_is_read():
    value = {"w": torch.ones(2), "text": "x" * 3_000_000}
    assert dict(read(saved(value)).root.items)["text"] == value["text"]


def five(**changed):
    names = ("magic", "version", "facts", "body", "keys")
    values = {
        "magic": 0x1950A86A20F9469CFC6C,
        "version": 1001,
        "facts": {"protocol_version": 1001, "little_endian": True, "type_sizes": {}},
        "body": {"w": 1},
        "keys": [],
    } | changed
    return b"".join(pickle.dumps(values[name], 2) for name in names)


class Runs:
    def __reduce__(self):
        return sys.exit, (3,)


def test_a_big_endian_machine_writes_the_same_bytes():
    assert tree_notation(read(five(facts={"little_endian": False})).root) == {"/w": {"value": 1}}


def test_an_object_without_tensors_is_read():
    assert tree_notation(read(five()).root) == {"/w": {"value": 1}}


BROKEN = {
    "has the format version 1002": five(version=1002),
    "does not say on what machine it was saved": five(facts=[]),
    "lists 1 storages, and its tensors lie in 0": five(keys=["0"]),
    "lists 2 storages": five(keys=[3, "0"]),
    "does not list its storages": five(keys=7),
    "the pickle of the magic number names sys.exit": five(magic=Runs()),
    "the pickle of the system facts names sys.exit": five(facts=Runs()),
    "the pickle of the storage keys names sys.exit": five(keys=Runs()),
    "has 2 bytes behind its last storage": five() + b"xx",
}


@pytest.mark.parametrize("message", BROKEN)
def test_a_file_that_lies_is_refused(message):
    with pytest.raises(FormatError, match=message):
        read(BROKEN[message])


def test_a_storage_has_the_length_that_the_object_says():
    content = saved({"w": torch.ones(3)})
    at = len(content) - 12 - 8
    with pytest.raises(FormatError, match="has 4 elements; the object says 3"):
        read(content[:at] + (4).to_bytes(8, "little") + content[at + 8 :])


def test_every_truncation_is_an_error():
    content = saved({"w": torch.ones(3), "v": torch.ones(1)})
    for length in range(len(content)):
        with pytest.raises(FormatError):
            read(content[:length])
