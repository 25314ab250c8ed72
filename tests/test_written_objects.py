"""Whatever people put beside weights is read, written again, and is the same when torch loads it: classes, values, order and what is shared."""

import argparse
import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import functools
import pathlib
import random
import types
import typing
import uuid

import pytest

torch = pytest.importorskip("torch")
np = pytest.importorskip("numpy")

from migrating import migrated_file  # noqa: E402  these need torch
from same_objects import differences  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")


class Colour(enum.Enum):
    RED = 1
    BLUE = "b"


class Flags(enum.Flag):
    A = 1
    B = 2


@dataclasses.dataclass
class Config:
    rate: float = 0.1
    weight: object = None
    inner: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass(slots=True)
class Slotted:
    a: int = 1
    b: object = None


class Point(typing.NamedTuple):
    x: object
    y: object


class Reduced:
    def __init__(self, a):
        self.a = a

    def __reduce__(self):
        return (Reduced, (self.a,), {"more": [1]})


class Keyword:
    def __new__(cls, *given, **named):
        made = object.__new__(cls)
        made.got = (given, named)
        return made

    def __getnewargs_ex__(self):
        return (1,), {"k": 2}


class Stated:
    def __getstate__(self):
        return (1, [2])

    def __setstate__(self, state):
        self.state = state


def values():
    tensor, shared = torch.ones(3), [1, 2]
    cycle, ring = {"w": tensor}, [tensor]
    cycle["self"] = cycle
    ring.append(ring)
    nested = collections.defaultdict(functools.partial(dict, a=1))
    nested["k"] = {"v": tensor}
    linear = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(linear.parameters())
    linear(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    generator = torch.Generator().manual_seed(3)
    return {
        "state dict": torch.nn.BatchNorm1d(3).state_dict(),
        "shared": {"a": shared, "b": shared, "c": (shared, shared)},
        "cycles": [cycle, ring],
        "dataclasses": [Config(2.0, tensor, [Config()]), Slotted(1, tensor)],
        "enums": [Colour.RED, Colour.BLUE, Colour.RED, Flags.A | Flags.B],
        "dates": [
            dt.datetime(2020, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC),
            dt.date(2020, 1, 1),
            dt.timedelta(1, 2, 3),
        ],
        "paths": [pathlib.PurePosixPath("/a/b"), pathlib.PureWindowsPath("C:/x")],
        "scalars": [np.float32(1.5), np.int64(3), np.bool_(True), np.float64("inf")],
        "arrays": [np.arange(6).reshape(2, 3), np.asfortranarray(np.ones((2, 3))), np.array(["a", "b"]), np.array(3.0)],
        "tuples": [Point(1, tensor), (), (1,), ((), ((),)), torch.Size([2, 3])],
        "dicts": [
            nested,
            collections.Counter("aab"),
            collections.OrderedDict(b=1, a=2),
            {1: 1, "1": 2, (1, 2): 3, None: 4},
        ],
        "sets": [{1, 2}, frozenset({1, "a"}), set(), {(1, 2), ("a", None)}],
        "bytes": [b"", b"\x00\xff", b"x" * 300, bytearray(b"ab"), bytearray()],
        "numbers": [
            1j,
            -0j,
            2**70,
            -(2**70),
            2**2000,
            -1,
            255,
            65536,
            2**31,
            -(2**31),
            2**63,
            0.0,
            -0.0,
            float("nan"),
            5e-324,
        ],
        "singletons": [Ellipsis, NotImplemented, None, True, False],
        "calls": [
            functools.partial(torch.nn.functional.gelu, approximate="tanh"),
            torch.nn.functional.relu,
            len,
            torch.nn.Linear,
        ],
        "namespaces": [
            argparse.Namespace(lr=0.1, sub=argparse.Namespace(z=[1])),
            types.SimpleNamespace(a=1, b=[tensor]),
        ],
        "torch's own": [
            torch.bfloat16,
            torch.float8_e4m3fn,
            torch.device("cuda", 1),
            torch.strided,
            torch.per_tensor_affine,
        ],
        "random states": [
            random.getstate(),
            np.random.RandomState(1).get_state(),
            torch.get_rng_state(),
            generator.get_state(),
        ],
        "own ways to pickle": [Reduced(tensor), Keyword(), Stated()],
        "library classes": [
            collections.deque([tensor, 1], maxlen=5),
            collections.ChainMap({"a": 1}, {"b": tensor}),
            decimal.Decimal("1.5"),
            fractions.Fraction(1, 3),
            uuid.UUID(int=5),
            range(1, 10, 2),
        ],
        "texts": ["", "ü☃", "\ud800", "a\x00b", "\n\\", "x" * 70_000],
        "many": [list(range(3000)), {str(number): number for number in range(3000)}],
        "deep": functools.reduce(lambda inner, _: [inner], range(400), tensor),
        "optimizer": optimizer.state_dict(),
        "schedule": torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10).state_dict(),
    }


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_what_is_beside_the_weights_is_the_same_again(tmp_path, protocol, zipped):
    path = tmp_path / "old.pt"
    value = {"model": {"w": torch.ones(1)}, **values()}
    torch.save(value, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    written = migrated_file(tmp_path, path, "rewrites: []\nrest: keep\n")
    assert differences(torch.load(written, weights_only=False), torch.load(path, weights_only=False)) == []
