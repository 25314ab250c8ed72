"""Files of torch before 0.1.10 are read as today's torch still loads them."""

import io
import pickle
import struct
import warnings

import pytest
from formats.sources import Counted

from ckptlint import migrate
from ckptlint.errors import FormatError
from ckptlint.formats import READERS, torch_tar
from ckptlint.formats.triage import recognise

torch = pytest.importorskip("torch")

from tar_files import saved  # noqa: E402  after torch is known to be there
from zoo_forms import by_ckptlint, by_torch  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # of typed storages
BASE = torch.arange(24.0).reshape(4, 6)
VALUES = {
    "plain": lambda: {"w": BASE, "n": 3, "text": "é"},
    "tied": lambda: {"a": BASE, "b": BASE, "c": BASE[1:], "d": BASE.t()},
    "dtypes": lambda: [torch.ones(3, dtype=each) for each in (torch.float64, torch.int64, torch.uint8, torch.float16)],
    "scalar and empty": lambda: {"s": torch.tensor(2.0), "e": torch.zeros(0, 3)},
    "nested": lambda: {"state": {"model": [{"w": BASE[:, 1:3]}]}, 0: (BASE[2],)},
    "module": lambda: torch.nn.Linear(2, 3).state_dict(),
    "large": lambda: {"text": "x" * 5000, "w": torch.zeros(5000)},
}


def read(content):
    source = Counted(content)
    assert recognise(source) == "torch-tar"
    return torch_tar.read(source)


def loaded(content, path):
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.load(path, weights_only=False)  # it must be a real file


@pytest.mark.parametrize("name", VALUES)
def test_a_file_is_read_as_torch_loads_it(name, tmp_path):
    content = saved(VALUES[name]())
    theirs = by_torch(loaded(content, tmp_path / "old.pt"))
    assert by_ckptlint(read(content)) == theirs


def test_a_storage_that_is_a_part_of_another(tmp_path):
    part = BASE.view(-1)[6:18]
    content = saved({"w": part}, views=[(77, part, 6, 12)])
    (mine,) = by_ckptlint(read(content)).values()
    (theirs,) = by_torch(loaded(content, tmp_path / "old.pt")).values()
    assert mine[:3] == theirs[:3]
    assert mine[-1] == theirs[-1]


def test_a_file_migrates_to_a_new_one(tmp_path):
    path, out, migration = tmp_path / "old.pt", tmp_path / "new.pt", tmp_path / "m.yaml"
    path.write_bytes(saved({"a.w": BASE, "a.tied": BASE, "a.turned": BASE.t()}))
    migration.write_text('ckptlint: 1\nsummary: a becomes b\nrewrites:\n  - rename: {"a.{p:path}": "b.{p}"}\n')
    migrate(path, migration, out)
    found = torch.load(out, weights_only=True)
    assert list(found) == ["b.w", "b.tied", "b.turned"]
    assert torch.equal(found["b.turned"], BASE.t())
    assert found["b.w"].data_ptr() == found["b.tied"].data_ptr()


class Runs:
    def __reduce__(self):
        return print, ("ran",)


def _storages(numel=24, key=1, owner=torch.FloatStorage, views=()):
    head = pickle.dumps(1, 2) + pickle.dumps((key, "cpu", owner), 2) + struct.pack("<q", numel)
    return head + bytes(96) + pickle.dumps(list(views), 2)


def _tensors(shape=(4, 6), stride=(6, 1), offset=0, root=1):
    numbers = struct.pack(f"<{len(shape) + len(stride)}q", *shape, *stride) + struct.pack("<q", offset)
    return pickle.dumps(1, 2) + pickle.dumps((5, root, None), 2) + struct.pack("<i", len(shape)) + bytes(4) + numbers


def made(**changed):
    parts = {"storages": _storages(), "tensors": _tensors(), "pickle": b"\x80\x02K\x05Q."} | changed
    return saved({}, **parts)


def test_the_files_below_lie_in_one_place_only():
    (found,) = by_ckptlint(read(made())).values()
    assert found[:4] == ("float32", (4, 6), (6, 1), 0)


BROKEN = {
    "has no member 'tensors'": saved({}, names=("sys_info", "pickle", "storages")),
    "has the member 'tensors' twice": saved({}, names=("sys_info", "pickle", "tensors", "tensors", "storages")),
    "there is no object '7' beside the pickle": made(pickle=b"\x80\x02K\x07Q."),
    "1 bytes follow the pickle's STOP": made(pickle=b"\x80\x02K\x05Q.N"),
    "bytes follow the last object": made(tensors=_tensors() + b"x"),
    "reaches beyond its storage": made(tensors=_tensors(offset=1)),
    r"stride \[-6, 1\] from element 0 reaches": made(tensors=_tensors(stride=(-6, 1))),
    "a tensor of 2 dimensions is in storage '2'": made(tensors=_tensors(root=2)),
    "from byte [0-9]+: byte 0: 0x00 is no pickle opcode": made(storages=_storages(numel=23)),
    "reach behind the end of the member": made(storages=_storages(numel=1 << 40)),
    "a storage has -1 elements": made(storages=_storages(numel=-1)),
    "is of an unknown class": made(storages=_storages(owner=torch.FloatTensor)),
    "is no key": made(storages=_storages(key=None)),
    "storage 9 is a part of 8": made(storages=_storages(views=[(9, 8, 0, 1)])),
    "storage 9 is a part of 1": made(storages=_storages(views=[(9, 1, 20, 5)])),
    "names builtins.print": made(tensors=pickle.dumps(Runs(), 4)),
    "does not say how many": made(tensors=pickle.dumps("x", 2)),
}


@pytest.mark.parametrize("message", BROKEN)
def test_a_file_that_lies_is_refused(message):
    with pytest.raises(FormatError, match=message):
        read(BROKEN[message])


def test_what_the_pickle_would_run_is_named_and_not_run(capsys):
    body = io.BytesIO()
    pickle.Pickler(body, 4).dump({"x": Runs()})
    checkpoint = read(saved({}, pickle=body.getvalue()))
    assert "builtins.print" in checkpoint.notes["globals"]
    assert capsys.readouterr().out == ""


def test_every_truncation_is_an_error():
    content = saved({"w": torch.ones(3)}).rstrip(b"\0") + bytes(1024)
    for length in range(0, len(content), 7):
        with pytest.raises(FormatError):
            READERS[recognise(Counted(content[:length]))](Counted(content[:length]))


def test_only_the_header_is_read():
    content = saved({f"w{number}": torch.zeros(1 << 18) for number in range(8)})
    source = Counted(content)
    torch_tar.read(source)
    assert source.taken < len(content) / 100
