"""A tree as plain data: what JSON cannot hold has a form of its own, what nobody looks into has a name."""

from math import inf, nan

from ckptlint.core.dtype import DType
from ckptlint.core.tree import Bytes, Call, Dict, Global, List, Opaque, Persistent, Set, Storage, Tensor, Tuple
from ckptlint.engine.tree_notation import tree_notation


def tensor(shape=(2, 3)):
    dtype = DType.parse("bf16")
    return Tensor(Storage("0", dtype, 6), dtype, shape, (3, 1))


def test_every_kind_of_leaf():
    thing = Opaque(Call(Global("pkg", "Thing"), Tuple(())), [("item", "hidden", 1), ("build", Dict([("hidden", 2)]))])
    values = {
        "t": tensor(),
        "i": 3,
        "f": -0.5,
        "b": True,
        "s": "x",
        "n": None,
        "inf": -inf,
        "nan": nan,
        "raw": b"\0\xff",
        "z": 1 - 2j,
        "d": Dict([]),
        "l": List([]),
        "u": Tuple(()),
        "set": Set([1]),
        "frozen": Set([1], frozen=True),
        "array": Bytes(b"x"),
        "dtype": Global("torch", "float32"),
        "thing": thing,
        "after": List([Tuple((7,))]),
        "pid": Persistent("x"),
        "storage": Storage("0", DType.parse("u8"), 1),
    }
    assert tree_notation(Dict(list(values.items()))) == {
        "/t": {"tensor": ["bfloat16", [2, 3]]},
        "/i": {"value": 3},
        "/f": {"value": -0.5},
        "/b": {"value": True},
        "/s": {"value": "x"},
        "/n": {"value": None},
        "/inf": {"value": {"float": "-inf"}},
        "/nan": {"value": {"float": "nan"}},
        "/raw": {"value": {"bytes": "00ff"}},
        "/z": {"value": {"complex": "1-2j"}},
        "/d": {"empty": "dict"},
        "/l": {"empty": "list"},
        "/u": {"empty": "tuple"},
        "/set": {"opaque": "builtins.set"},
        "/frozen": {"opaque": "builtins.frozenset"},
        "/array": {"opaque": "builtins.bytearray"},
        "/dtype": {"opaque": "torch.float32"},
        "/thing": {"opaque": "pkg.Thing"},
        "/after/0/0": {"value": 7},
        "/pid": {"opaque": "persistent id"},
        "/storage": {"opaque": "torch.UntypedStorage"},
    }


def test_a_digest_is_the_third_of_a_tensor():
    assert tree_notation(tensor(), lambda found: f"{found.shape[0]:04x}") == {
        "/": {"tensor": ["bfloat16", [2, 3], "0002"]}
    }
