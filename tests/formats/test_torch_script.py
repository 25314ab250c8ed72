"""TorchScript archives hold the state dict that torch.jit.load gives, and nothing of their code is run to see it."""

import io
import json

import pytest
from formats.sources import Counted
from formats.zips import Member, archive

from ckptlint import lint, migrate
from ckptlint.engine.find_sections import find_sections
from ckptlint.errors import FormatError
from ckptlint.formats import torch_zip
from ckptlint.formats.tensor_bytes import tensor_blocks

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore")  # torch.jit is deprecated, and says so in many ways


class Inner(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = torch.nn.Linear(2, 3)
        self.register_buffer("scale", torch.arange(2.0))
        self.register_buffer("unsaved", torch.ones(2), persistent=False)
        self.k: int = 3
        self.names = ["a", "b"]
        self.tied = self.lin.weight
        self.plain = torch.zeros(3)

    def forward(self, x):
        return self.lin(x) + self.scale.sum() + self.k + self.plain


class Outer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.seq = torch.nn.Sequential(Inner(), torch.nn.ReLU(), torch.nn.Linear(3, 3, bias=False))
        self.norm = torch.nn.BatchNorm1d(3)
        self.table = {"x": 1}

    def forward(self, x):
        return self.norm(self.seq(x)) + torch.tensor([1.0, 2.0, 3.0])


MADE = {
    "script": lambda: torch.jit.script(Outer()),
    "trace": lambda: torch.jit.trace(Outer().eval(), torch.ones(2, 2)),
    "half": lambda: torch.jit.script(Outer()).half(),
}


def saved(module):
    file = io.BytesIO()
    torch.jit.save(module, file)
    return file.getvalue()


def read(content):
    return torch_zip.read(Counted(content))


def raw(tensor):
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


@pytest.mark.parametrize("name", MADE)
def test_a_script_holds_the_state_dict_that_torch_loads(name):
    content = saved(MADE[name]())
    checkpoint = read(content)
    (section,) = find_sections(checkpoint.root)
    loaded = torch.jit.load(io.BytesIO(content))
    state = loaded.state_dict()
    assert (checkpoint.format, section.path, section.module) == ("torchscript", "/", True)
    assert list(section.tensors) == list(state)
    assert list(section.parameters) == [key for key, _ in loaded.named_parameters()]
    for key, tensor in state.items():
        mine = section.tensors[key]
        assert (mine.dtype.torch, mine.shape, mine.stride) == (
            str(tensor.dtype)[6:],
            tuple(tensor.shape),
            tensor.stride(),
        )
        assert b"".join(tensor_blocks(checkpoint, mine)) == raw(tensor)
    assert section.schema().ties == (
        (("seq.0.tied", "seq.0.lin.weight"),) if name == "script" else section.schema().ties
    )


def test_a_frozen_script_shows_the_constants_of_its_code():
    checkpoint = read(saved(torch.jit.freeze(torch.jit.script(Outer().eval()))))
    (section,) = find_sections(checkpoint.root)
    assert section.tensors
    assert all(key.startswith("CONSTANTS.c") for key in section.tensors)


def test_a_script_for_phones_is_read_without_code(tmp_path):
    path = tmp_path / "phone.ptl"
    module = torch.jit.script(Outer())
    module._save_for_lite_interpreter(str(path))
    (section,) = find_sections(read(path.read_bytes()).root)
    assert set(module.state_dict()) <= set(section.tensors)


def test_a_script_migrates_to_a_state_dict(tmp_path):
    path, out, migration = tmp_path / "model.pt", tmp_path / "weights.pt", tmp_path / "m.yaml"
    module = torch.jit.script(Outer())
    torch.jit.save(module, path)
    migration.write_text(
        'ckptlint: 1\nsummary: norm renamed\nrewrites:\n  - rename: {"norm.{p:path}": "bn.{p}"}\nrest: keep\n'
    )
    migrate(path, migration, out)
    found = torch.load(out, weights_only=True)
    assert [key.replace("bn.", "norm.") for key in found] == list(module.state_dict())
    assert all(torch.equal(tensor, found[key.replace("norm.", "bn.")]) for key, tensor in module.state_dict().items())


def test_a_script_is_linted_against_the_model(tmp_path):
    path, lock = tmp_path / "model.pt", tmp_path / "schema.json"
    module = torch.jit.script(Outer())
    torch.jit.save(module, path)
    lock.write_text(json.dumps({key: list(value.shape) for key, value in module.state_dict().items()}))
    report = lint(path, lock)
    assert (report.coverage.tensors, report.coverage.of_tensors) == (len(module.state_dict()),) * 2


def test_every_truncation_is_an_error():
    content = saved(torch.jit.script(torch.nn.Linear(1, 1)))
    for length in range(0, len(content), 3):
        with pytest.raises(FormatError):
            read(content[:length])


def test_the_form_of_torch_1_0_is_named():
    old = archive(Member(b"r/version", b"1"), Member(b"r/model.json", b"{}"))
    with pytest.raises(FormatError, match=r"TorchScript archive of torch 1\.0 or 1\.1"):
        read(old)
