"""One small tensor of every kind that torch saves, whole trees of them, and every way torch writes them into one file."""

import contextlib
import copy
import io
import warnings
from collections import Counter, OrderedDict, defaultdict
from functools import partial

import torch

BASE = torch.arange(24.0).reshape(4, 6)
PLAIN = [
    *["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"],
    *["complex64", "complex128", "complex32", "uint16", "uint32", "uint64"],
    *["float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu", "float4_e2m1fn_x2"],
    *["bits8", "bits16", "bits1x8", "bits2x4", "bits4x2"],
]
PLAIN = [name for name in PLAIN if hasattr(torch, name)]  # older torch has fewer


class Child(torch.Tensor):
    """A subclass that wraps nothing."""


class Wrapper(torch.Tensor):
    """A subclass around two tensors, as quantization libraries make them: it has no storage of its own."""

    @staticmethod
    def __new__(cls, values, scale):
        made = torch.Tensor._make_wrapper_subclass(cls, values.shape, dtype=torch.float32)
        made.values_part, made.scale_part = values, scale
        return made

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.detach.default:
            return cls(args[0].values_part, args[0].scale_part)
        raise NotImplementedError(func)


class Net(torch.nn.Module):
    """Tied weights, a batch norm, a buffer that is not saved, a plain attribute, and a parameter left out."""

    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(8, 4)
        self.norm = torch.nn.BatchNorm1d(4)
        self.head = torch.nn.Linear(4, 8, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("mask", torch.ones(4, dtype=torch.bool), persistent=False)
        self.register_parameter("absent", None)
        self.note = {"a": 1}


def dense(name, *shape):
    """A tensor of known bits, whatever its dtype."""
    dtype = getattr(torch, name)
    numel = 1
    for size in shape:
        numel *= size
    raw = torch.arange(numel * dtype.itemsize, dtype=torch.int64).remainder(2 if name == "bool" else 251)
    return raw.to(torch.uint8).view(dtype).reshape(shape)


def _views(name):
    """One dtype in every way to lie in a storage."""
    base = dense(name, 6, 4)
    base3 = dense(name, 2, 3, 4)
    return {
        "whole": base,
        "tied": base,
        "transposed": base.t(),
        "rows": base[2:4],
        "columns": base[:, 1:3],
        "every second": base[::2],
        "expanded": base[:1].expand(3, 4),
        "permuted": base3.permute(2, 0, 1),
        "high rank": dense(name, 1, 2, 1, 2, 1, 2),
        "ones": base3[:, :1, :1],
        "scalar": dense(name),
        "empty": dense(name, 0, 5),
        "tail": base[5:],
    }


def _attributed(tensor, **attributes):
    for name, value in attributes.items():
        setattr(tensor, name, value)
    return tensor


def _blocks():
    return torch.kron(torch.eye(2), torch.ones(2, 3))


def _per_channel(dtype):
    floating = dtype in (torch.quint4x2, torch.quint2x4)
    zeros = torch.arange(4.0) if floating else torch.arange(4)
    return torch.quantize_per_channel(BASE, torch.tensor([0.1, 0.2, 0.3, 0.4]), zeros, 0, dtype)


def _jagged():
    return torch.nested.nested_tensor([torch.ones(2, 3), torch.zeros(4, 3)], layout=torch.jagged)


def _both(tensor, dtype):
    return [tensor, tensor.view(dtype)]


KINDS = {
    "coo": lambda: torch.eye(3).to_sparse(),
    "coo, hybrid": lambda: torch.arange(12.0).reshape(3, 2, 2).to_sparse(1),
    "coo, uncoalesced": lambda: torch.sparse_coo_tensor([[0, 0], [1, 1]], [1.0, 2.0], (2, 3)),
    "coo, empty": lambda: torch.sparse_coo_tensor(size=(2, 3), dtype=torch.float16),
    "coo, i64": lambda: torch.eye(3, dtype=torch.int64).to_sparse(),
    "csr": BASE.to_sparse_csr,
    "csc": BASE.to_sparse_csc,
    "bsr": lambda: _blocks().to_sparse_bsr((2, 3)),
    "bsc": lambda: _blocks().to_sparse_bsc((2, 3)),
    "csr, batched": lambda: torch.stack([torch.eye(3), torch.eye(3)]).to_sparse_csr(),
    "sparse parameter": lambda: torch.nn.Parameter(torch.eye(3).to_sparse()),
    "sparse with attributes": lambda: _attributed(torch.eye(3).to_sparse(), note="x"),
    "qint8": lambda: torch.quantize_per_tensor(BASE, 0.5, 3, torch.qint8),
    "quint8": lambda: torch.quantize_per_tensor(BASE, 0.5, 3, torch.quint8),
    "qint32": lambda: torch.quantize_per_tensor(BASE, 0.5, 3, torch.qint32),
    "quantized view": lambda: torch.quantize_per_tensor(BASE, 0.5, 3, torch.qint8)[1:3],
    "quantized, transposed": lambda: torch.quantize_per_tensor(BASE, 0.5, 3, torch.qint8).t(),
    "quantized scalar": lambda: torch.quantize_per_tensor(torch.tensor(1.0), 0.5, 0, torch.quint8),
    "quantized, empty": lambda: torch.quantize_per_tensor(torch.empty(0, 2), 0.5, 0, torch.quint8),
    "qint8 by channel": lambda: _per_channel(torch.qint8),
    "quint8 by channel": lambda: _per_channel(torch.quint8),
    "quint4x2 by channel": lambda: _per_channel(torch.quint4x2),
    "quint2x4 by channel": lambda: _per_channel(torch.quint2x4),
    "nested": lambda: torch.nested.nested_tensor([torch.ones(2, 3), torch.zeros(4, 2)]),
    "jagged": _jagged,
    "meta": lambda: torch.empty(3, 4, device="meta", dtype=torch.float16),
    "meta parameter": lambda: torch.nn.Parameter(torch.empty(3, 4, device="meta")),
    "conjugate": lambda: torch.arange(3).to(torch.complex64).conj(),
    "negative": lambda: torch.arange(3).to(torch.complex64).conj().imag,
    "conjugate view": lambda: torch.arange(6).to(torch.complex128).reshape(2, 3).t().conj(),
    "subclass": lambda: _attributed(torch.ones(3).as_subclass(Child), note="x"),
    "subclass of a view": lambda: BASE.t().as_subclass(Child),
    "wrapper": lambda: Wrapper(dense("int8", 2, 3), torch.ones(2)),
    "wrapper parameter": lambda: torch.nn.Parameter(Wrapper(dense("int8", 2, 3), torch.ones(2)), requires_grad=False),
    "parameter": lambda: torch.nn.Parameter(torch.ones(3)),
    "frozen parameter": lambda: torch.nn.Parameter(torch.ones(3), requires_grad=False),
    "parameter with state": lambda: _attributed(torch.nn.Parameter(torch.ones(3)), note="x", other=[BASE]),
    "parameter of a subclass": lambda: torch.nn.Parameter(torch.ones(3).as_subclass(Child)),
    "buffer": lambda: torch.nn.Buffer(torch.ones(3)) if hasattr(torch.nn, "Buffer") else BASE,
    "tensor with state": lambda: _attributed(torch.ones(3), note="x"),
    "requires grad": lambda: torch.ones(3, requires_grad=True),
    "two storages": lambda: [torch.zeros(8), torch.zeros(8, dtype=torch.float8_e5m2)],
    "one storage, two dtypes": lambda: _both(dense("uint8", 4), torch.float8_e4m3fn),
    "empty, two dtypes": lambda: _both(torch.empty(0), torch.int32),
}


def _optimizer():
    torch.manual_seed(0)
    net = Net()
    optimizer = torch.optim.AdamW(net.parameters())
    net.head(net.norm(net.embed(torch.arange(8)))).sum().backward()
    optimizer.step()
    return net, optimizer


def _training():
    net, optimizer = _optimizer()
    return {
        "model": net.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": 3,
        "rng": torch.get_rng_state(),
        "losses": [0.1, float("inf"), -0.0],
        "tags": {"a"},
        "size": torch.Size((2, 3)),
        "dtype": torch.bfloat16,
        "device": torch.device("cpu"),
    }


def _odd_keys():
    return {
        0: torch.ones(1),
        "0": torch.ones(2),
        True: 1,
        1.5: BASE,
        (1, "x"): BASE[1],
        None: [BASE.t()],
        b"k": {"": torch.zeros(0)},
        "a/b~c.d": torch.ones(1),
        "ünïcode ☃": torch.ones(3),
    }


def _containers():
    counted = defaultdict(list)
    counted["x"].append(BASE)
    return OrderedDict(
        many=counted, counts=Counter("abca"), nested=({"a": [(BASE, {"b": BASE[0]})]},), raw=bytearray(b"x")
    )


def _shared():
    inner = {"w": BASE}
    return {"one": inner, "other": inner, "list": [inner, [BASE, BASE.view(-1)]]}


def _cycle():
    value = {"w": torch.ones(2)}
    value["self"] = [value]
    return value


TREES = {
    "state dict": lambda: Net().state_dict(),
    "training": _training,
    "module": Net,
    "module in a dict": lambda: {"model": Net(), "ema": copy.deepcopy(Net()), "step": 3},
    "odd keys": _odd_keys,
    "containers": _containers,
    "shared": _shared,
    "cycle": _cycle,
    "bare storage": lambda: {"raw": dense("uint8", 8), "storage": dense("uint8", 8).untyped_storage()},
    "one tensor": lambda: BASE[1:],
    "no tensor": lambda: {"a": 1},
    "many": lambda: {f"layer.{number}.weight": torch.full((2,), float(number)) for number in range(1100)},
    "slices of one": lambda: {f"part.{number}": BASE[number] for number in range(4)},
    "parameter list": lambda: torch.nn.ParameterList([torch.ones(2), torch.zeros(3)]).state_dict(),
}


def valid():
    """Every value: `name`, and a function that makes it anew."""
    for name in PLAIN:
        yield f"{name}", partial(_views, name)
    for name, make in KINDS.items():
        yield name, lambda make=make: {"w": make(), "last": torch.ones(1)}
    yield from TREES.items()


def saved(value, **options):
    """Return what torch.save writes, its own warnings about half-finished types left out."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(value, file, **options)
    return file.getvalue()


@contextlib.contextmanager
def _alignment(bytes_):
    from torch.utils.serialization import config

    before = config.save.storage_alignment
    config.save.storage_alignment = bytes_
    try:
        yield
    finally:
        config.save.storage_alignment = before


def _aligned(bytes_, value):
    with _alignment(bytes_):
        return saved(value)


def _without_checksums(value):
    torch.serialization.set_crc32_options(False)
    try:
        return saved(value)
    finally:
        torch.serialization.set_crc32_options(True)


WRITERS = {
    "zip": saved,
    "zip, protocol 4": partial(saved, pickle_protocol=4),
    "zip, protocol 5": partial(saved, pickle_protocol=5),
    "zip, aligned to 1": partial(_aligned, 1),
    "zip, aligned to 4096": partial(_aligned, 4096),
    "zip, no checksums": _without_checksums,
    "legacy": partial(saved, _use_new_zipfile_serialization=False),
    "legacy, protocol 5": partial(saved, _use_new_zipfile_serialization=False, pickle_protocol=5),
}
