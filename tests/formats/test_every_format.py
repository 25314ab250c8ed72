"""Every dtype in every way to lie in a storage, in every format that holds it: keys, shapes, dtypes and elements are those its own library reads.

Torch's own files are compared in test_torch_zoo.py, what several ranks write in test_distributed_runs.py.
"""

import io
import json
import pickle

import pytest

torch = pytest.importorskip("torch")
np = pytest.importorskip("numpy")
safetensors = pytest.importorskip("safetensors.torch")

from formats.dcp_folders import loaded, save  # noqa: E402  these need torch
from formats.ggufs import Entry, gguf  # noqa: E402
from formats.test_flax import pack  # noqa: E402
from torch_zoo import PLAIN, dense, saved  # noqa: E402
from torch_zoo import _views as views  # noqa: E402
from zoo_forms import elements  # noqa: E402

from ckptlint.formats import open_checkpoint  # noqa: E402
from ckptlint.formats.tensor_bytes import tensor_blocks  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # what torch says of types and formats that it is leaving behind
_GGUF = {"float32": 0, "float16": 1, "bfloat16": 30, "float64": 28, "int8": 24, "int16": 25, "int32": 26, "int64": 27}


def compact(state):
    return {key: tensor.contiguous().clone() for key, tensor in state.items()}


def one_file(path, state):
    path.write_bytes(safetensors.save(compact(state)))
    return lambda: safetensors.load(path.read_bytes())


def shards(write, read, suffix):
    def make(path, state):
        path.mkdir()
        keys = list(state)
        held = [keys[: len(keys) // 2], keys[len(keys) // 2 :]]
        names = [f"model-0000{number + 1}-of-00002{suffix}" for number in range(2)]
        for name, each in zip(names, held, strict=True):
            (path / name).write_bytes(write({key: state[key] for key in each}))
        index = {
            "metadata": {},
            "weight_map": {key: name for name, each in zip(names, held, strict=True) for key in each},
        }
        (path / f"model{suffix}.index.json").write_text(json.dumps(index))
        return lambda: {key: value for name in names for key, value in read((path / name).read_bytes()).items()}

    return make


def distributed(path, state):
    save(path, state)
    return lambda: loaded(path)


def module(state):
    made = torch.nn.Module()
    for key, tensor in state.items():
        made.register_buffer(key, tensor)
    return made


def scripted(path, state):
    torch.jit.script(module(state)).save(str(path))
    return lambda: torch.jit.load(path).state_dict()


def exported(path, state):
    class Program(torch.nn.Module):
        def forward(self, x):
            return x + 1

    program = Program()
    for key, tensor in state.items():
        program.register_buffer(key, tensor)
    torch.export.save(torch.export.export(program, (torch.ones(1),)), path)
    return lambda: torch.export.load(path).state_dict


def arrays(write):
    def make(path, state):
        write(path, {key: tensor.numpy() for key, tensor in state.items()})
        return lambda: {key: torch.from_numpy(np.load(path)[key]) for key in np.load(path)}

    return make


def pickled(path, state):
    path.write_bytes(pickle.dumps(state, 4))
    return lambda: pickle.loads(path.read_bytes())


def pickled_arrays(path, state):
    path.write_bytes(pickle.dumps({key: tensor.numpy() for key, tensor in state.items()}, 5))
    return lambda: {key: torch.from_numpy(array) for key, array in pickle.loads(path.read_bytes()).items()}


def ggml(path, state):
    """There are no tensors without dimensions, nor empty ones, nor of more than four."""
    kept = {key: tensor.contiguous() for key, tensor in state.items() if 0 < tensor.ndim < 5 and tensor.numel()}
    entries = [Entry(key, tuple(t.shape), _GGUF[str(t.dtype)[6:]], elements(t)) for key, t in kept.items()]
    path.write_bytes(gguf({}, entries))
    return lambda: kept


def msgpack(path, state):
    path.write_bytes(pack({key: (tuple(t.shape), str(t.dtype)[6:], elements(t)) for key, t in state.items()}))
    return lambda: compact(state)


FORMS = {  # how it is written, whether strides are kept, and how many dtypes it holds at the least
    "safetensors": (one_file, False, 18),
    "sharded safetensors": (
        shards(lambda state: safetensors.save(compact(state)), safetensors.load, ".safetensors"),
        False,
        18,
    ),
    "sharded bin": (shards(saved, lambda content: torch.load(io.BytesIO(content)), ".bin"), True, 27),
    "dcp": (distributed, False, 20),
    "torchscript": (scripted, True, 12),
    "torch-export": (exported, True, 18),
    "npz": (arrays(lambda path, state: np.savez(path.open("wb"), **state)), False, 14),
    "npz, compressed": (arrays(lambda path, state: np.savez_compressed(path.open("wb"), **state)), False, 14),
    "pickled tensors": (pickled, True, 12),
    "pickled arrays": (pickled_arrays, False, 14),
    "gguf": (ggml, False, 8),
    "flax": (msgpack, False, 10),
}


def holds(make, path, dtype):
    """Whether the format's own library writes and reads this dtype."""
    try:
        make(path, {"w": dense(dtype, 2, 3)})()
    except Exception:  # noqa: BLE001  each library has its own faults
        return False
    except BaseException as error:  # what torch.distributed.checkpoint raises is no Exception
        if isinstance(error, KeyboardInterrupt):
            raise
        return False
    return True


@pytest.mark.parametrize("form", FORMS)
def test_what_a_format_holds_is_what_its_own_library_reads(form, tmp_path):
    make, strided, least = FORMS[form]
    slow = form == "torch-export"  # it refuses the other dtypes, and takes its time for each tensor
    kept = PLAIN[:21] if slow else [dtype for dtype in PLAIN if holds(make, tmp_path / f"try-{dtype}", dtype)]
    assert len(kept) >= least, kept
    state = {
        f"{dtype}_{view.replace(' ', '_')}": tensor
        for dtype in kept
        for view, tensor in views(dtype).items()
        if not slow or view in ("tied", "transposed", "columns", "scalar", "empty")
    }
    theirs = make(tmp_path / "all", state)()
    checkpoint = open_checkpoint(tmp_path / "all")
    section = max(checkpoint.sections, key=lambda section: len(section.tensors))
    assert set(section.tensors) == set(theirs)
    for key, tensor in section.tensors.items():
        wanted = theirs[key]
        assert (key, tensor.dtype.torch, tensor.shape) == (key, str(wanted.dtype)[6:], tuple(wanted.shape))
        assert (key, b"".join(tensor_blocks(checkpoint, tensor))) == (key, elements(wanted))
        if strided:
            assert (key, tensor.stride, tensor.offset) == (key, wanted.stride(), wanted.storage_offset())
    checkpoint.close()
