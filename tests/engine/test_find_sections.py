"""The state dicts of a checkpoint are found where people put them."""

import io
import sys
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptlint.core.checkpoint import SectionKind
from ckptlint.core.dtype import DType
from ckptlint.core.tree import Call, Dict, Global, List, Opaque, Set, Storage, Tensor, Tuple, Value
from ckptlint.engine.find_sections import find_sections

F32 = DType.parse("f32")


def tensor(*shape):
    storage = Storage("0", F32, 100)
    return Tensor(storage, F32, shape, tuple(1 for _ in shape))


T = tensor(2)


def of(value) -> Value:
    if isinstance(value, dict):
        return Dict([(key, of(inner)) for key, inner in value.items()])
    return List([of(inner) for inner in value]) if isinstance(value, list) else value


def found(value):
    return {section.path: (str(section.kind), list(section.tensors)) for section in find_sections(of(value))}


STATE = {"a.w": T, "a.b": T}
ADAM = {"state": {0: {"step": 3, "exp_avg": T}}, "param_groups": [{"lr": 0.1, "params": [0]}]}


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        (STATE, {"/": ("weights", ["a.w", "a.b"])}),
        ({"model_state_dict": STATE, "epoch": 3}, {"/model_state_dict": ("weights", ["a.w", "a.b"])}),
        ({"model": STATE, "best": T}, {"/model": ("weights", ["a.w", "a.b"])}),
        ({"w": T, "extra": {"x": T}}, {"/": ("weights", ["w"])}),
        (
            {"state_dict": STATE, "state_dict_ema": STATE},
            {"/state_dict": ("weights", ["a.w", "a.b"]), "/state_dict_ema": ("ema", ["a.w", "a.b"])},
        ),
        (
            {"model": STATE, "optimizer": ADAM},
            {"/model": ("weights", ["a.w", "a.b"]), "/optimizer": ("optimizer", ["state/0/exp_avg"])},
        ),
        ({"a.w": T, "optimizer": ADAM}, {"/": ("weights", ["a.w"]), "/optimizer": ("optimizer", ["state/0/exp_avg"])}),
        ({"optimizer_states": [ADAM]}, {"/optimizer_states/0": ("optimizer", ["state/0/exp_avg"])}),
        ({"optimizer": {"state": {}, "param_groups": [{"lr": 1}]}}, {"/optimizer": ("optimizer", [])}),
        (
            {"model": STATE, "rng_states": {"cpu": T}},
            {"/model": ("weights", ["a.w", "a.b"]), "/rng_states": ("other", ["cpu"])},
        ),
        ({"scaler": {"model": STATE}}, {"/scaler/model": ("weights", ["a.w", "a.b"])}),
        (
            {"nets": [STATE, {"gen": STATE}]},
            {"/nets/0": ("weights", ["a.w", "a.b"]), "/nets/1/gen": ("weights", ["a.w", "a.b"])},
        ),
        ({0: T, 1: T}, {}),
        ([T, T], {}),
        ({"a": {}, "b": 1}, {}),
        (T, {}),
        (3, {}),
    ],
)
def test_sections_are_found(tree, expected):
    assert found(tree) == expected


def test_what_is_no_tensor_stays_beside_them():
    (section,) = find_sections(of({"w": T, "v": 3, "more": {"x": T}}))
    assert {key: type(value).__name__ for key, value in section.others.items()} == {"v": "int", "more": "Dict"}


def test_a_repeated_key_is_named_and_has_its_last_value():
    first, last = tensor(1), tensor(2)
    (section,) = find_sections(Dict([("a", first), ("b", T), ("a", last), ("a", last)]))
    assert (list(section.tensors), section.tensors["a"], section.repeated) == (["a", "b"], last, ("a",))


def test_versions_come_from_the_metadata_of_torch():
    metadata = of({"_metadata": {"": {"version": 1}, "bn": {"version": 2}, "odd": {"version": "x"}, "none": {}}})
    (section,) = find_sections(Dict([("w", T)], None, metadata))
    assert section.versions == {"": 1, "bn": 2}


def test_a_shared_state_dict_is_a_section_at_each_place():
    shared = of(STATE)
    assert [s.path for s in find_sections(Dict([("last", shared), ("best", shared)]))] == ["/last", "/best"]


def test_an_object_keeps_what_it_stores_to_itself():
    assert find_sections(Opaque(Call(Global("p", "C"), Tuple(())), [("build", of(STATE))])) == ()


NODES = st.deferred(
    lambda: (
        st.just(T)
        | st.integers()
        | st.lists(NODES, max_size=3)
        | st.dictionaries(st.text(max_size=2) | st.integers(), NODES, max_size=4)
    )
)


@given(NODES)
def test_no_section_lies_in_another_of_its_kind(tree):
    sections = [s for s in find_sections(of(tree)) if s.kind is not SectionKind.OPTIMIZER]
    for outer in sections:
        for inner in sections:
            assert inner is outer or not inner.path.startswith(outer.path.rstrip("/") + "/")


def test_cycles_and_endless_sharing_take_no_time():
    looping = of({"w": T, "again": 0})
    looping.items[1] = ("again", looping)
    assert [s.path for s in find_sections(looping)] == ["/"]
    node = of(STATE)
    for _ in range(200):
        node = Dict([("l", node), ("r", node)])
    assert len(find_sections(node)) == 2
    deep = of(STATE)
    for _ in range(20_000):
        deep = List([deep])
    assert len(find_sections(deep)) == 1


# whole modules


def module(parameters=(), buffers=(), children=(), transient=(), name="Net"):
    state = Dict(
        [
            ("training", True),
            ("_parameters", of(dict(parameters))),
            ("_buffers", of(dict(buffers))),
            ("_non_persistent_buffers_set", Set(list(transient))),
            ("_modules", Dict(list(children))),
        ]
    )
    return Opaque(Call(Global("gone.models", name), Tuple(()), new=True), [("build", state)])


def test_a_pickled_module_gives_its_state_dict():
    weight = tensor(3)
    inner = module({"weight": weight, "bias": None}, {"mean": tensor(6)}, name="Inner")
    outer = module(
        {"scale": T}, {"ids": tensor(4), "kept": tensor(5)}, [("enc", inner), ("none", None), ("dec", inner)], ["ids"]
    )
    (section,) = find_sections(Dict([("model", outer)]))
    assert (section.path, section.module, section.kind) == ("/model", True, "weights")
    assert list(section.tensors) == ["scale", "kept", "enc.weight", "enc.mean", "dec.weight", "dec.mean"]
    assert section.parameters == ("scale", "enc.weight")
    assert list(section.unsaved) == ["ids"]
    assert section.modules == {"": "gone.models.Net", "enc": "gone.models.Inner", "dec": "gone.models.Inner"}
    assert section.schema().ties == (("enc.weight", "dec.weight"), ("enc.mean", "dec.mean"))


def test_a_module_that_contains_itself_is_read_once():
    outer = module({"w": T}, (), [("m", None)])
    outer.changes[0][1].get("_modules").items.append(("self", outer))
    (section,) = find_sections(outer)
    assert list(section.tensors) == ["w"]


def test_a_deep_module_is_no_trouble():
    inner = module({"w": T})
    for _ in range(1500):
        inner = module(children=[("m", inner)])
    (section,) = find_sections(inner)
    assert list(section.tensors) == ["m." * 1500 + "w"]


def test_a_real_module_is_read_as_torch_names_it():
    torch = pytest.importorskip("torch")
    from formats.sources import Counted

    from ckptlint.formats import torch_zip

    home = types.ModuleType("a_module_that_goes_away")
    exec(SOURCE, home.__dict__)
    sys.modules[home.__name__] = home
    try:
        model = home.Net()
        file = io.BytesIO()
        torch.save(model, file)
    finally:
        del sys.modules[home.__name__]
    (section,) = find_sections(torch_zip.read(Counted(file.getvalue())).root)
    state = model.state_dict()
    assert {key: (t.dtype.torch, t.shape) for key, t in section.tensors.items()} == {
        k: (str(v.dtype)[6:], tuple(v.shape)) for k, v in state.items()
    }
    assert list(section.tensors) == list(state)
    assert section.parameters == tuple(name for name, _ in model.named_parameters())
    assert section.modules == {
        name: f"{type(m).__module__}.{type(m).__qualname__}" for name, m in model.named_modules(remove_duplicate=False)
    }
    assert list(section.unsaved) == ["position_ids"]
    assert section.schema().ties == (("embed.weight", "head.weight"),)


SOURCE = """
import torch
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(5, 3)
        self.blocks = torch.nn.ModuleList(torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3)) for _ in range(2))
        self.head = torch.nn.Linear(3, 5, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("position_ids", torch.arange(4), persistent=False)
        self.register_buffer("mean", torch.zeros(3))
        self.scale = torch.nn.Parameter(torch.ones(()))
"""
