"""data.pkl as torch writes it: read, written again and loaded by torch, tensors keep types, layout, sharing and state."""

import io

import pytest
from pickle_forms import again, entry, form, saved, with_pickle

from ckptlint.core.tree import Composite, Dict, Tensor
from ckptlint.formats.pickles import read, write

torch = pytest.importorskip("torch")
pytestmark = [  # what torch says of types that it holds half finished
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


class Child(torch.Tensor):
    pass


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(8, 4)
        self.norm = torch.nn.BatchNorm1d(4)
        self.head = torch.nn.Linear(4, 8, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("mask", torch.ones(4, dtype=torch.bool), persistent=False)
        self.note = {"a": 1}


def attributed(tensor, **attributes):
    for name, value in attributes.items():
        setattr(tensor, name, value)
    return tensor


BASE = torch.arange(24.0).reshape(4, 6)
DTYPES = [
    *["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"],
    *["complex64", "complex128", "complex32", "uint16", "uint32", "uint64"],
    *["float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"],
]
DTYPES = [dtype for dtype in DTYPES if hasattr(torch, dtype)]  # older torch has fewer


def optimizer_state():
    model = Model()
    optimizer = torch.optim.AdamW(model.parameters())
    model.head(model.norm(model.embed(torch.arange(8)))).sum().backward()
    optimizer.step()
    return optimizer.state_dict()


VALUES = {
    **{dtype: lambda dtype=dtype: torch.zeros(2, 3).to(getattr(torch, dtype)) for dtype in DTYPES},
    "scalar": lambda: torch.tensor(3.5),
    "empty": lambda: torch.empty(0, 3),
    "transposed": BASE.t,
    "view": lambda: BASE[1:3, 2::2],
    "expanded": lambda: torch.ones(1).expand(5, 4),
    "high rank": lambda: torch.zeros(1, 2, 1, 2, 1, 2),
    "tied": lambda: [BASE, BASE, BASE[1], BASE.view(-1)],
    "requires grad": lambda: torch.ones(3, requires_grad=True),
    "conjugate": lambda: torch.ones(3, dtype=torch.complex64).conj(),
    "negative": lambda: torch.ones(3, dtype=torch.complex64).conj().imag,
    "parameter": lambda: torch.nn.Parameter(torch.ones(3)),
    "frozen parameter": lambda: torch.nn.Parameter(torch.ones(3), requires_grad=False),
    "parameter with state": lambda: attributed(torch.nn.Parameter(torch.ones(3)), note="x", other=[BASE]),
    "tensor with state": lambda: attributed(torch.ones(3), note="x"),
    "subclass": lambda: attributed(torch.ones(3).as_subclass(Child), note="x"),
    "parameter of a subclass": lambda: torch.nn.Parameter(torch.ones(3).as_subclass(Child)),
    "buffer": lambda: torch.nn.Buffer(torch.ones(3)) if hasattr(torch.nn, "Buffer") else BASE,
    "sparse": lambda: torch.eye(3).to_sparse(),
    "compressed": lambda: torch.eye(3).to_sparse_csr(),
    "quantized": lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
    "meta": lambda: torch.empty(3, 4, device="meta"),
    "storage": BASE.untyped_storage,
    "torch values": lambda: [torch.Size([1, 2]), torch.float32, torch.device("cpu"), torch.strided],
    "state dict": lambda: Model().state_dict(),
    "module": Model,
    "optimizer": optimizer_state,
    "mixed": lambda: {
        "model": Model().state_dict(),
        "epoch": 3,
        "rng": torch.get_rng_state(),
        "losses": [0.1, float("inf")],
        "tags": {"a"},
    },
}


def load(content, *, weights_only):
    return torch.load(io.BytesIO(content), weights_only=weights_only)


def described(content):
    """What torch makes of a file, as its own next file would say it: types, layout, sharing, attributes."""
    fresh = saved(load(content, weights_only=False))
    return form(read(entry(fresh), "fresh").root), [
        entry(fresh, f"data/{number}") for number in range(fresh.count(b"/data/") // 2)
    ]


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_torch_loads_what_is_written_again(name, protocol):
    content = saved(VALUES[name](), pickle_protocol=protocol)
    rewritten = with_pickle(content, again(entry(content)))
    assert described(rewritten) == described(content)


@pytest.mark.parametrize(
    "name", sorted(set(VALUES) - {"module", "subclass", "parameter of a subclass", "storage", "torch values"})
)
def test_weights_only_loads_what_is_written_again(name):
    content = saved(VALUES[name]())
    load(content, weights_only=True)
    load(with_pickle(content, again(entry(content))), weights_only=True)


@pytest.mark.parametrize("name", [*DTYPES, "scalar", "empty", "transposed", "view", "expanded", "high rank"])
def test_a_tensor_is_described_as_torch_does(name):
    tensor = VALUES[name]()
    found = read(entry(saved(tensor)), "test").root
    assert (found.dtype.torch, found.shape, found.stride, found.offset) == (
        str(tensor.dtype).removeprefix("torch."),
        tuple(tensor.shape),
        tensor.stride(),
        tensor.storage_offset(),
    )
    assert found.is_contiguous == tensor.is_contiguous()
    assert found.storage.nbytes == tensor.untyped_storage().nbytes()


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("scalar", []),
        ("conjugate", ["tensor"]),
        ("quantized", ["quantized"]),
        ("negative", ["tensor"]),
        ("parameter", ["parameter"]),
        ("parameter with state", ["parameter_with_state"]),
        ("tensor with state", ["subclass"]),
        ("subclass", ["subclass"]),
        ("parameter of a subclass", ["subclass"]),
    ],
)
def test_what_is_around_a_tensor(name, kinds):
    wrap, found = read(entry(saved(VALUES[name]())), "test").root.wrap, []
    while wrap is not None:
        found.append(wrap.kind)
        wrap = wrap.inner
    assert found == kinds


@pytest.mark.parametrize(
    ("name", "named", "layout"),
    [
        ("sparse", "torch._utils._rebuild_sparse_tensor", "sparse_coo"),
        ("compressed", "torch._utils._rebuild_sparse_tensor", "sparse_csr"),
        ("meta", "torch._utils._rebuild_meta_tensor_no_storage", "meta"),
    ],
)
def test_what_is_no_run_of_elements_is_a_composite(name, named, layout):
    found = read(entry(saved(VALUES[name]())), "test").root
    assert isinstance(found, Composite)
    assert (found.named, found.layout, found.shape) == (named, layout, tuple(VALUES[name]().shape))


def test_a_state_dict_keeps_its_versions():
    found = read(entry(saved(Model().state_dict())), "test").root
    assert str(found.made_by.function) == "collections.OrderedDict"
    versions = found.state.get("_metadata")
    assert dict(versions.items)["norm"].items == [("version", 2)]
    assert all(type(value) is Tensor for _, value in found.items)


def test_a_module_shows_its_parts():
    found = read(entry(saved(Model())), "test").root
    assert found.named == f"{__name__}.Model"
    parts = found.state()
    assert [key for key, _ in parts.get("_modules").items] == ["embed", "norm", "head"]
    weight = parts.get("_modules").get("embed").state().get("_parameters").get("weight")
    assert weight.wrap.kind == "parameter"
    assert parts.get("_modules").get("head").state().get("_parameters").get("weight") is weight
    assert type(parts.get("_buffers").get("mask")) is Tensor


def test_classes_and_functions_are_told_by_their_use():
    found = read(entry(saved({"model": Model(), "dtype": torch.float16})), "test")
    uses = {f"{use.module}.{use.name}": (use.called, use.made) for use in found.globals}
    assert uses[f"{__name__}.Model"] == (False, True)
    assert uses["torch._utils._rebuild_tensor_v2"] == (True, False)
    assert uses["torch.float16"] == (False, False)
    assert found.notes == ()


def test_storages_can_be_renamed():
    content = entry(saved({"a": BASE, "b": BASE[0], "c": torch.ones(2)}))
    renamed = write(read(content, "test").root, storage_key=lambda storage: f"new{storage.key}")
    assert [storage.key for storage in read(renamed, "test").storages] == ["new0", "new1"]


def test_a_large_state_dict_is_written_as_torch_writes_it():
    state = {f"layer.{number}.weight": torch.zeros(2, 2) for number in range(1500)}
    content = entry(saved(state))
    root = read(content, "test").root
    assert isinstance(root, Dict)
    assert form(read(again(content), "again").root) == form(root)
    assert load(with_pickle(saved(state), again(content)), weights_only=True).keys() == state.keys()
