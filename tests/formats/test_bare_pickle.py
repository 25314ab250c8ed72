"""Bare pickles of arrays and tensors are read as they were pickled, and their elements stay in the file."""

import collections
import pickle

import pytest
from formats.joblib_file import JOBLIB, JOBLIB_OBJECTS
from formats.sources import Counted

from ckptlint import inspect, migrate
from ckptlint.core.tree import Opaque, Tensor
from ckptlint.engine.find_sections import find_sections
from ckptlint.errors import FormatError
from ckptlint.formats import READERS, bare_pickle, open_checkpoint
from ckptlint.formats.pickles import Limits
from ckptlint.formats.tensor_bytes import tensor_blocks
from ckptlint.formats.triage import recognise

np = pytest.importorskip("numpy")
PROTOCOLS = pytest.mark.parametrize("protocol", range(6))
ARRAYS = {
    **{
        code: np.arange(400).astype(code) for code in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")
    },
    **{code: np.arange(400).astype(code) for code in ("c8", "c16", "?")},
    "short": np.arange(3, dtype="f4"),
    "matrix": np.arange(600.0).reshape(20, 30),
    "by columns": np.asfortranarray(np.arange(600, dtype="f4").reshape(20, 30)),
    "cut out": np.arange(600, dtype="i2").reshape(20, 30)[::2, 3:],
    "big-endian": np.arange(300, dtype=">f4"),
    "scalar": np.array(2.5),
    "empty": np.zeros((0, 4)),
    "large": np.arange(20_000),
}


def read(content):
    source = Counted(content)
    return READERS[recognise(source)](source), source


def elements(checkpoint, tensor):
    return b"".join(tensor_blocks(checkpoint, tensor))


def wanted(array):
    return np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes()


@PROTOCOLS
def test_arrays_are_what_numpy_pickled(protocol):
    value = {
        "model": ARRAYS,
        "author": "x" * 300,
        "again": ARRAYS["matrix"],
        "raw": b"\xff" * 300,
        "more": bytearray(300),
    }
    checkpoint, _ = read(pickle.dumps(value, protocol))
    model = checkpoint.root.get("model")
    assert checkpoint.format == "pickle"
    assert [key for key, _ in model.items] == list(ARRAYS)
    for key, tensor in model.items:
        array = ARRAYS[key]
        assert (tensor.dtype.torch, tensor.shape) == (array.dtype.name, array.shape)
        assert elements(checkpoint, tensor) == wanted(array)
    assert checkpoint.root.get("again") is model.get("matrix")
    assert checkpoint.root.get("author") == "x" * 300
    assert checkpoint.root.get("raw") == b"\xff" * 300
    assert checkpoint.root.get("more").content == bytes(300)


@PROTOCOLS
def test_what_torch_has_no_type_for_stays_what_it_is(protocol):
    odd = {"text": np.array(["a", "b" * 90]), "objects": np.array([None, 1], object), "dates": np.zeros(50, "M8[s]")}
    owner = collections.deque([np.arange(400)])  # an object of its own: nobody puts tensors into it
    checkpoint, _ = read(pickle.dumps({"w": np.ones(3), "odd": odd, "owner": owner}, protocol))
    assert [type(value) for _, value in checkpoint.root.get("odd").items] == [Opaque] * 3
    inside = [part for change in checkpoint.root.get("owner").changes for part in change[1:]]
    assert [type(part) for part in inside] == [Opaque]


@PROTOCOLS
def test_tensors_that_python_pickled_are_what_they_were(protocol, tmp_path):
    torch = pytest.importorskip("torch")
    state = torch.nn.Sequential(torch.nn.Linear(30, 40), torch.nn.BatchNorm1d(40)).state_dict()
    state["tied"], state["turned"] = state["0.weight"], state["0.weight"].t()
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({"model": state}, protocol))
    checkpoint = open_checkpoint(path)
    (section,) = checkpoint.sections
    assert section.path == "/model"
    for key, tensor in section.tensors.items():
        assert (tensor.shape, tensor.stride) == (tuple(state[key].shape), state[key].stride())
        assert elements(checkpoint, tensor) == state[key].contiguous().numpy().tobytes()
    assert section.schema().ties == (("0.weight", "tied"),)
    assert section.versions == {"": 1, "0": 1, "1": 2}
    checkpoint.close()
    (tmp_path / "keep.yaml").write_text("ckptlint: 1\nsummary: nothing changes\nrest: keep\n")
    migrate(path, tmp_path / "keep.yaml", tmp_path / "new.pt")
    again = torch.load(tmp_path / "new.pt", weights_only=True)["model"]
    assert again._metadata == state._metadata
    assert list(again) == list(state)
    assert all(torch.equal(again[key], state[key]) for key in state)


def test_arrays_become_tensors_that_torch_loads(tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "model_final.pkl"
    blobs = {"conv1_w": ARRAYS["by columns"], "conv1_b": ARRAYS["big-endian"], "fc_w": ARRAYS["cut out"]}
    path.write_bytes(pickle.dumps({"model": blobs, "__author__": "Caffe2", "matching_heuristics": True}, 2))
    (tmp_path / "keep.yaml").write_text("ckptlint: 1\nsummary: nothing changes\nrest: keep\n")
    migrate(path, tmp_path / "keep.yaml", tmp_path / "new.pt")
    loaded = torch.load(tmp_path / "new.pt", weights_only=True)
    assert (loaded["__author__"], loaded["matching_heuristics"]) == ("Caffe2", True)
    assert all(np.array_equal(loaded["model"][key].numpy(), blobs[key]) for key in blobs)
    assert inspect(path).format == "pickle"


def test_python_2s_strings_hold_arrays(tmp_path):
    """`cPickle.dump({"blobs": {"w": array}}, file, 2)` of Python 2, whose bytes are a str."""
    content = np.arange(100, dtype="f4").tobytes()
    dtype = b"cnumpy\ndtype\nq\x04U\x02f4K\x00K\x01\x87Rq\x05(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b\x87Rq\x03(K\x01K\x0aK\x0a\x86"
    body = array + dtype + b"\x89T" + len(content).to_bytes(4, "little") + content + b"tb"
    checkpoint, _ = read(b"\x80\x02}q\x00U\x05blobs}U\x01w" + body + b"ss.")
    tensor = checkpoint.root.get("blobs").get("w")
    assert (str(tensor.spec), tensor.storage.part) == ("f32[10,10]", 0)
    assert elements(checkpoint, tensor) == content


def test_what_joblib_writes_behind_its_descriptions_is_read():
    checkpoint, _ = read(JOBLIB)
    tensors = {key: value for key, value in checkpoint.root.items if isinstance(value, Tensor)}
    assert {key: str(tensor.spec) for key, tensor in tensors.items()} == {"w": "f32[2,3]", "b": "f64[2]"}
    assert elements(checkpoint, tensors["w"]) == np.arange(6, dtype="f4").tobytes()
    assert checkpoint.root.get("note") == "x"
    for length in range(20, len(JOBLIB), 7):
        with pytest.raises(FormatError):
            read(JOBLIB[:length])


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_elements_stay_in_the_file(protocol):
    """Of a thousand arrays of 16 KB, opening reads a few hundred bytes each, and one array costs its own bytes."""
    content = pickle.dumps({"model": {f"w.{number}": np.full(4096, number, "f4") for number in range(1000)}}, protocol)
    checkpoint, source = read(content)
    (section,) = find_sections(checkpoint.root)
    assert len(section.tensors) == 1000
    assert source.taken < len(content) * 0.05
    before = source.taken
    assert elements(checkpoint, section.tensors["w.500"]) == np.full(4096, 500, "f4").tobytes()
    assert source.taken - before == 4096 * 4


def test_an_array_whose_content_is_too_short_is_refused():
    content = pickle.dumps({"w": np.arange(400, dtype="f4")}, 4)
    with pytest.raises(FormatError, match="content has another length"):
        read(content.replace(b"M\x90\x01\x85", b"M\x91\x01\x85"))


def test_a_pickle_of_very_many_objects_is_given_up(monkeypatch):
    monkeypatch.setattr(bare_pickle, "_LIMITS", Limits(operations=1000))
    with pytest.raises(FormatError, match=r"is a bare pickle, .* more than 1000 operations"):
        read(pickle.dumps([(number,) for number in range(2000)], 4))


@pytest.mark.parametrize("protocol", [2, 4])
def test_bytes_behind_the_pickle_are_refused(protocol):
    with pytest.raises(FormatError, match="4 bytes follow the pickle's STOP"):
        read(pickle.dumps({"w": np.ones(300)}, protocol) + b"more")


def test_a_frame_holds_whole_operations():
    content = pickle.dumps({"w": np.ones(300), "b": np.ones(4)}, 4)
    assert content[2] == 0x95
    for length in (600, len(content), 1 << 40):
        with pytest.raises(FormatError):
            read(content[:3] + length.to_bytes(8, "little") + content[11:])


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_every_cut_is_a_format_error(protocol):
    content = pickle.dumps({"w": np.ones(40), "text": "x" * 300, "list": [1, -5, 2**70, 1.5, (1,), {2}]}, protocol)
    for length in range(2, len(content), 3):
        with pytest.raises(FormatError):
            bare_pickle.read(Counted(content[:length]))


def test_an_array_of_objects_that_joblib_wrote_is_passed_over_as_the_pickle_that_it_is():
    checkpoint, _ = read(JOBLIB_OBJECTS)
    found = {key: type(value) for key, value in checkpoint.root.items}
    assert found == {"w": Tensor, "o": Opaque, "b": Tensor}
    elements = b"".join(bytes(block) for block in tensor_blocks(checkpoint, checkpoint.root.get("b")))
    assert elements == np.ones(2).tobytes()
    for length in range(20, len(JOBLIB_OBJECTS), 7):
        with pytest.raises(FormatError):
            read(JOBLIB_OBJECTS[:length])
