"""Headers alone are read to inspect and lint, and little beside its own bytes for one tensor of many or some rows: counted, not timed."""

import json
import pickle

import pytest

from ckptlint.core.tree import Tensor
from ckptlint.engine.lint import LintOptions, lint
from ckptlint.engine.tree_notation import tree_notation
from ckptlint.formats import open_checkpoint
from ckptlint.formats.byte_source import FileSource
from ckptlint.formats.tensor_bytes import tensor_blocks

torch = pytest.importorskip("torch")
np = pytest.importorskip("numpy")
save_file = pytest.importorskip("safetensors.torch").save_file

import tar_files  # noqa: E402  these need torch
from formats.dcp_folders import save as save_dcp  # noqa: E402
from formats.ggufs import Entry, gguf  # noqa: E402
from formats.test_flax import pack  # noqa: E402
from formats.zero_folders import save as save_zero  # noqa: E402

TENSORS, ROWS, WIDTH = 1000, 64, 64
KEY, NUMBER = "layers.150.weight", 150
FEW = {"torch-export": 200}  # tensors: torch takes its time to export a thousand
STATE = {f"layers.{number}.weight": torch.full((ROWS, WIDTH), float(number)) for number in range(TENSORS)}
NBYTES = ROWS * WIDTH * 4


def sharded(folder):
    folder.mkdir()
    keys = list(STATE)
    named = {key: f"model-{number // 250 + 1:05}-of-00004.safetensors" for number, key in enumerate(keys)}
    for name in set(named.values()):
        save_file({key: STATE[key] for key in keys if named[key] == name}, folder / name)
    index = {"metadata": {"total_size": TENSORS * NBYTES}, "weight_map": named}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def parts(folder):
    """What four ranks write through HuggingFaceStorageWriter, each its rows."""
    folder.mkdir()
    for rank in range(4):
        rows = {key: tensor[rank * 16 : rank * 16 + 16].clone() for key, tensor in STATE.items()}
        places = json.dumps({key: {"saved_offsets": [rank * 16, 0]} for key in rows})
        name = f"shard-{rank + 1:05}-model-00001-of-00001.safetensors"
        save_file(rows, folder / name, metadata={"DCP_SHARDING_INFO": places, "DCP_VERSION": "1.0"})


def exported(path):
    class Program(torch.nn.Module):
        def __init__(self):
            super().__init__()
            for number, tensor in enumerate(list(STATE.values())[: FEW["torch-export"]]):
                self.register_buffer(f"w{number}", tensor)

        def forward(self, x):
            return x + 1

    torch.export.save(torch.export.export(Program(), (torch.ones(1),)), path)


def scripted(path):
    module = torch.nn.Module()
    for number, tensor in enumerate(STATE.values()):
        module.register_buffer(f"w{number}", tensor)
    torch.jit.script(module).save(str(path))


def msgpack(path):
    layers = {
        str(number): {"weight": ((ROWS, WIDTH), "float32", raw(tensor))} for number, tensor in enumerate(STATE.values())
    }
    path.write_bytes(pack({"layers": layers}))


def raw(tensor):
    return tensor.numpy().tobytes()


FORMS = {
    "torch-zip": lambda path: torch.save(STATE, path),
    "torch-legacy": lambda path: torch.save(STATE, path, _use_new_zipfile_serialization=False),
    "torch-tar": lambda path: path.write_bytes(tar_files.saved(STATE)),
    "safetensors": lambda path: save_file(STATE, path),
    "sharded": sharded,
    "safetensors-parts": parts,
    "dcp": lambda path: save_dcp(path, dict(STATE)),
    "deepspeed": lambda path: save_zero(path, [STATE], stage=2, ranks=2),
    "torchscript": scripted,
    "torch-export": exported,
    "npz": lambda path: np.savez(path, **{key: tensor.numpy() for key, tensor in STATE.items()}),
    "gguf": lambda path: path.write_bytes(
        gguf({}, [Entry(key, (ROWS, WIDTH), 0, raw(tensor)) for key, tensor in STATE.items()])
    ),
    "flax": msgpack,
    "pickle": lambda path: path.write_bytes(pickle.dumps({key: tensor.numpy() for key, tensor in STATE.items()}, 4)),
}
HEADER = {
    "torch-tar": 0.07,
    "safetensors-parts": 0.04,
    "dcp": 0.03,
    "torchscript": 0.05,
    "torch-export": 0.08,
    "npz": 0.07,
}
HEADER |= {"deepspeed": 0.03, "flax": 0.05, "pickle": 0.05}  # of the files, whose tensors are small here
BESIDE = {"dcp": 24_000}  # bytes beside a tensor's own: the end of its chunk, which is an archive


class Taken:
    """Bytes that were read of files."""

    def __init__(self, patch):
        self.bytes = 0
        read = FileSource.read

        def counted(source, offset, length):
            self.bytes += length
            return read(source, offset, length)

        patch.setattr(FileSource, "read", counted)


@pytest.mark.filterwarnings("ignore")  # what torch says of its own ways to save
@pytest.mark.parametrize("form", FORMS)
def test_inspect_and_lint_read_the_header_alone_and_a_tensor_its_own_bytes(form, tmp_path, monkeypatch):
    path = tmp_path / ("model.npz" if form == "npz" else "model")
    FORMS[form](path)
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    taken = Taken(monkeypatch)
    checkpoint = open_checkpoint(path)
    section = max(checkpoint.sections, key=lambda section: len(section.tensors))
    assert (checkpoint.format, len(section.tensors)) == (form, FEW.get(form, TENSORS))
    header = taken.bytes
    assert header < sum(file.stat().st_size for file in files) * HEADER.get(form, 0.02)
    assert len(tree_notation(checkpoint.root)) >= (
        len(section.tensors) if form != "torchscript" else 1
    )  # a module is one place
    lint(section.schema(), section.schema(), (), LintOptions(form))
    assert taken.bytes == header
    wanted = section.tensors.get(KEY) or section.tensors[f"w{NUMBER}"]
    assert isinstance(wanted, Tensor)
    assert b"".join(tensor_blocks(checkpoint, wanted)) == raw(STATE[KEY])
    assert NBYTES <= taken.bytes - header <= NBYTES + BESIDE.get(form, 0)
    before = taken.bytes
    start = (wanted.offset + 8 * WIDTH) * 4
    assert checkpoint.read(wanted.storage, start, 3 * WIDTH * 4) == raw(STATE[KEY][8:11])
    assert taken.bytes - before == 3 * WIDTH * 4
    checkpoint.close()
