"""What a scan says that `torch.load(weights_only=True)` does with a file is what torch does, in every container."""

import pytest
from hostile.assemble import Build, Call, Name, New, Old, Pid, Raw, dump, encode, tensor
from hostile.containers import CONTAINERS, legacy

from ckptlint.formats.scanning.survey import survey

torch = pytest.importorskip("torch")
W = tensor("0", (2, 2))
_ORDERED = Call(Name("collections", "OrderedDict"))
TREES = {
    "tensor": {"w": W},
    "ordered": {"w": W, "o": _ORDERED},
    "namespace": {"a": Build(New(Name("argparse", "Namespace")), {"lr": 1})},
    "class of nobody": {"w": W, "c": Build(New(Name("mypkg.x", "C")), {"a": 1})},
    "deque": {"q": Call(Name("collections", "deque"), ([1],))},
    "dict that is called": {"d": Call(Name("builtins", "dict"))},
    "set": {"s": Call(Name("builtins", "set"), ([1],))},
    "bytes": {"b": b"abc"},
    "large integer": {"i": 1 << 90},
    "size": {"s": Call(Name("torch", "Size"), ((1,),)), "n": New(Name("torch", "Size"))},
    "name of sys": {"s": Name("sys", "path")},
    "state of a counter": {"c": Build(Call(Name("collections", "Counter"), ({},)), {"a": 1})},
    "items of an ordered dict": Raw(encode(_ORDERED, 2) + encode("k", 2) + encode(W, 2) + b"s"),
    "items of a set": Raw(encode(Call(Name("builtins", "set")), 2) + encode("k", 2) + encode(W, 2) + b"s"),
    "append to a dict": Raw(encode(_ORDERED, 2) + encode(W, 2) + b"a"),
    "parameter": {"p": Call(Name("torch._utils", "_rebuild_parameter"), (W, True, _ORDERED))},
    "old instance": {"o": Old(Name("collections", "OrderedDict"))},
    "plain data": {"f": 0.5, "n": None, "t": True, "neg": -3, "l": [1, 2], "tup": (1, 2, 3, 4)},
    "pid that is a number": {"p": Pid(5)},
    "pid of something": {"p": Pid(("x", 1))},
}
PROTOCOLS = {"zip": (2, 3, 4), "legacy": (2, 4)}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("container", CONTAINERS)
def test_torch_does_what_the_scan_says(container, tmp_path):
    said, done = {}, {}
    for name, tree in TREES.items():
        for protocol in PROTOCOLS.get(container, (2,)):
            body = dump(tree, protocol)
            keys = ("0",) if b"storage" in body else ()
            path = tmp_path / "model.pt"
            path.write_bytes(legacy(body, keys=keys) if container == "legacy" else CONTAINERS[container](body))
            found, _ = survey(path)
            said[name, protocol] = found.pickles > 0 and not found.missing and not found.refusals
            done[name, protocol] = _loads(path)
    assert said == done


def _loads(path):
    try:
        torch.load(path, weights_only=True)
    except Exception:  # noqa: BLE001  torch refuses in many ways
        return False
    return True
