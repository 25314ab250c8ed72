"""torch.export archives hold the state dict of the exported program."""

import io
import json
import zipfile

import pytest
from formats.sources import Counted

from ckptlint.core.tree import Dict, Tensor
from ckptlint.engine.find_sections import find_sections
from ckptlint.errors import FormatError
from ckptlint.formats import torch_zip
from ckptlint.formats.tensor_bytes import tensor_blocks

torch = pytest.importorskip("torch")
pytest.importorskip("torch.export.pt2_archive", reason="torch.export writes another format before 2.7")
pytestmark = pytest.mark.filterwarnings("ignore")  # what torch.export says of itself


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = torch.nn.Linear(2, 3)
        self.register_buffer("scale", torch.arange(2.0))
        self.register_buffer("unsaved", torch.ones(2), persistent=False)
        self.turned = torch.nn.Parameter(torch.arange(4.0).reshape(2, 2).to(torch.bfloat16).t(), requires_grad=False)
        self.tied = self.lin.weight
        self.register_buffer("view", torch.arange(6.0)[2:4])
        self.register_buffer("count", torch.tensor(7))

    def forward(self, x):
        return self.lin(x) + self.scale.sum() + self.view.sum() + self.turned.sum() + self.unsaved.sum() + self.count


@pytest.fixture(scope="module")
def exported():
    program = torch.export.export(Model(), (torch.ones(2, 2),))
    file = io.BytesIO()
    torch.export.save(program, file)
    return file.getvalue()


def read(content):
    return torch_zip.read(Counted(content))


def raw(tensor):
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def changed(content, ending, change, compressed=zipfile.ZIP_STORED):
    """The archive with one record changed."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w", compressed) as new:
        for name in old.namelist():
            new.writestr(name, change(old.read(name)) if name.endswith(ending) else old.read(name))
    return file.getvalue()


def config(change):
    """A change of one entry of the weights config."""

    def of_record(content):
        parsed = json.loads(content)
        change(parsed["config"])
        return json.dumps(parsed).encode()

    return of_record


def test_an_exported_program_holds_its_state_dict(exported):
    checkpoint = read(exported)
    (section,) = find_sections(checkpoint.root)
    state = torch.export.load(io.BytesIO(exported)).state_dict
    assert (checkpoint.format, section.path, list(section.tensors)) == ("torch-export", "/", list(state))
    for key, tensor in state.items():
        mine = section.tensors[key]
        assert (mine.dtype.torch, mine.shape, mine.stride, mine.offset) == (
            str(tensor.dtype)[6:],
            tuple(tensor.shape),
            tensor.stride(),
            tensor.storage_offset(),
        )
        assert b"".join(tensor_blocks(checkpoint, mine)) == raw(tensor)
    assert {frozenset(group) for group in section.schema().ties} == {frozenset({"tied", "lin.weight"})}
    assert len(checkpoint.checksums) == len(checkpoint.storages)


def test_constants_are_named_and_not_read(exported):
    program = torch.export.load(io.BytesIO(exported))
    assert read(exported).notes["constants"].split(", ") == list(program.constants)
    with pytest.raises(FormatError, match="constants config"):
        read(changed(exported, "_constants_config.json", lambda _: b"[]"))


def test_a_weight_that_is_pickled_is_read_where_it_lies(exported):
    inside = io.BytesIO()
    torch.save(torch.nn.Parameter(torch.arange(3.0)), inside)

    def pickled(weights):
        weights["lin.bias"] = {"path_name": "weight_9", "is_param": True, "use_pickle": True, "tensor_meta": None}

    content = changed(exported, "_weights_config.json", config(pickled))
    file = io.BytesIO(content)
    with zipfile.ZipFile(file, "a") as more:
        root = more.namelist()[0].partition("/")[0]
        more.writestr(f"{root}/data/weights/weight_9", inside.getvalue())
    checkpoint = read(file.getvalue())
    tensor = dict(checkpoint.root.items)["lin.bias"]
    assert b"".join(tensor_blocks(checkpoint, tensor)) == raw(torch.arange(3.0))
    assert (tensor.storage.part, tensor.storage.start) in checkpoint.checksums


def test_the_form_of_torch_2_6_is_read():
    inside = io.BytesIO()
    state = {"lin.weight": torch.arange(6.0).reshape(3, 2)}
    torch.save(state, inside)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as old:
        old.writestr("version", "8.2")
        old.writestr("serialized_exported_program.json", "{}")
        old.writestr("serialized_state_dict.pt", inside.getvalue())
    checkpoint = read(file.getvalue())
    assert isinstance(checkpoint.root, Dict)
    tensor = dict(checkpoint.root.items)["lin.weight"]
    assert isinstance(tensor, Tensor)
    assert b"".join(tensor_blocks(checkpoint, tensor)) == raw(state["lin.weight"])


def _set(key, name, value):
    def change(weights):
        weights[key]["tensor_meta"][name] = value

    return change


BROKEN = {
    "reaches beyond the record": _set("lin.weight", "storage_offset", {"as_int": 1}),
    "reaches beyond the": _set("lin.weight", "sizes", [{"as_int": 3}]),
    "has dtype 99": _set("lin.weight", "dtype", 99),
    "layout 2": _set("lin.weight", "layout", 2),
    "'s0' where a number": _set("lin.weight", "sizes", [{"as_int": "s0"}, {"as_int": 2}]),
    "'-1' where a number": _set("lin.weight", "sizes", [{"as_int": -1}, {"as_int": 2}]),
    "are no list": _set("lin.weight", "sizes", 3),
    "is no JSON object": _set("lin.weight", "storage_offset", 0),
    "'gone', which is not there": lambda weights: weights["lin.weight"].update(path_name="gone"),
    "is i32, and its record": _set("lin.weight", "dtype", 4),
}


@pytest.mark.parametrize("message", BROKEN)
def test_an_archive_that_lies_is_refused(message, exported):
    with pytest.raises(FormatError, match=message):
        read(changed(exported, "_weights_config.json", config(BROKEN[message])))


def test_every_truncation_is_an_error(exported):
    for length in range(0, len(exported), 11):
        with pytest.raises(FormatError):
            read(exported[:length])
