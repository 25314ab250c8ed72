"""Nothing that hides gets by: what some loader would run is called dangerous, whatever it is wrapped in; and honest neighbours of it are not."""

import gzip

import pytest
from hostile.assemble import Build, Call, Name, Old, dump, tensor
from hostile.containers import deflated_zip, legacy, npy, npz, torch_zip
from hostile.evasions import EVASIONS, zipped
from hostile.payloads import W
from hostile.test_false_alarms import judged

from ckptlint.engine.verdict import Level


@pytest.mark.parametrize("name", EVASIONS)
def test_no_evasion_gets_by(tmp_path, name):
    file, content = EVASIONS[name]
    (tmp_path / file).write_bytes(content)
    assert judged(tmp_path / file)[0] is Level.DANGEROUS


_KERAS = zipped({"config.json": b'{"class_name": "Sequential"}', "model.weights.h5": bytes(90)})
_GELU = Name("torch.nn.functional", "gelu")
_PARTIAL = Build(Call(Name("functools", "partial"), (_GELU,)), (_GELU, (), {"approximate": "tanh"}, None))
HONEST = {
    "gzip in two members": ("m.pt.gz", gzip.compress(torch_zip(dump({"w": W}))[:100]) + gzip.compress(torch_zip(dump({"w": W}))[100:])),
    "array of objects": ("a.npy", npy(dump([1, "a"]))),
    "arrays of objects": ("a.npz", npz(dump([1, "a"]))),
    "text like a pickle": ("model.yaml", b"class Net:\n  __init__: x\nimport os\nsystem\n"),
    "words like a pickle": ("words.txt", b"cat\ndog\nelephant\n"),
    "abstract classes": ("m.pt", torch_zip(dump({"w": W, "t": Name("collections.abc", "Sequence")}))),
    "round trip YAML": ("m.pt", torch_zip(dump({"w": W, "c": Call(Name("ruamel.yaml.comments", "CommentedMap"))}))),
    "tree of scikit-learn": ("m.pkl", dump(Call(Name("sklearn.neighbors._kd_tree", "newObj"), (Name("sklearn.neighbors._kd_tree", "KDTree"),)))),
    "block of pandas": ("m.pkl", dump(Call(Name("pandas.core.internals.blocks", "new_block"), (1, 2)))),
    "time of pandas": ("m.pkl", dump(Call(Name("pandas._libs.tslibs.timedeltas", "_timedelta_unpickle"), (1, 2)))),
    "partial of torch's": ("m.pt", torch_zip(dump({"w": W, "f": _PARTIAL}))),
    "model of Keras, pickled": ("m.pkl", dump(Call(Name("keras.src.saving.pickle_utils", "deserialize_model_from_bytecode"), (_KERAS,)), 4)),
    "numbers like a pickle": ("variables.data-00000-of-00001", b"\x80\x03\x1b\x3f" + bytes(range(100))),
    "deflated": ("m.pt", deflated_zip(dump({"w": W}))),
    "an old instance": ("m.pt", torch_zip(dump({"w": W, "o": Old(Name("pkg", "Old"))}))),
}  # fmt: skip


@pytest.mark.parametrize("name", HONEST)
def test_what_is_only_like_it_is_no_alarm(tmp_path, name):
    file, content = HONEST[name]
    (tmp_path / file).write_bytes(content)
    level, errors = judged(tmp_path / file)
    assert level not in (Level.DANGEROUS, Level.UNREADABLE), errors


def test_a_large_file_of_before_1_6_is_searched_whole(tmp_path, monkeypatch):
    """Its pickles come first; behind them are numbers alone, however many."""
    monkeypatch.setattr("ckptlint.formats.scanning.pickle_search.MOST_IN_MEMORY", 2048)
    content = legacy(dump({"w": tensor("0", (1024,))}), keys=("0",))[:-24] + (1024).to_bytes(8, "little") + bytes(4096)
    (tmp_path / "m.pt").write_bytes(content)
    assert judged(tmp_path / "m.pt") == (Level.CLEAN, [])
