"""Objects that people leave beside weights, shared and in cycles, made from a seed."""

import collections
import datetime as dt
import decimal
import enum
import fractions
import functools
import operator
import pathlib
import typing
import uuid
from dataclasses import dataclass, field

import numpy as np
import torch


class Color(enum.Enum):
    RED = 1
    BLUE = "b"


class Level(enum.IntEnum):
    LOW = 0
    HIGH = 5


class Point(typing.NamedTuple):
    x: object
    y: object = None


@dataclass
class Config:
    name: object = None
    parts: list = field(default_factory=list)


class Slotted:
    __slots__ = ("left", "right")


class Anything:
    pass


class Rebuilt:
    def __init__(self, *arguments):
        self.arguments = arguments

    def __reduce__(self):
        return Rebuilt, self.arguments, {"arguments": self.arguments, "extra": getattr(self, "extra", None)}


class OwnList(list):
    pass


class OwnDict(dict):
    pass


class Alone:
    """An object that pickles as a name."""

    def __reduce__(self):
        return "ALONE"


ALONE = Alone()


def named(value):
    return value


_LEAVES = (
    lambda rng: None,
    lambda rng: rng.random() < 0.5,
    lambda rng: rng.randrange(-300, 70000),
    lambda rng: rng.choice((1, -1)) * 2 ** rng.randrange(200),
    lambda rng: rng.choice((0.5, -0.0, float("inf"), float("nan"), 1e300)),
    lambda rng: complex(rng.random(), -1),
    lambda rng: rng.choice(("", "text", "snow☃", "line\nbreak", "\ud800", "x" * 300)),
    lambda rng: rng.randbytes(rng.choice((0, 3, 300))),
    lambda rng: bytearray(rng.randbytes(4)),
    lambda rng: np.float32(rng.random()),
    lambda rng: np.int64(rng.randrange(9)),
    lambda rng: np.bool_(True),
    lambda rng: np.arange(rng.randrange(5)).reshape(-1, 1).T,
    lambda rng: np.array(["a", "bc"]),
    lambda rng: np.array([1, "x", None], dtype=object),
    lambda rng: np.zeros(2, dtype=[("a", "<i4"), ("b", "<f8")]),
    lambda rng: np.dtype("float16"),
    lambda rng: torch.Size((2, 3)),
    lambda rng: torch.float16,
    lambda rng: torch.device("cpu"),
    lambda rng: torch.strided,
    lambda rng: Color.BLUE,
    lambda rng: Level.HIGH,
    lambda rng: named,
    lambda rng: Config,
    lambda rng: operator.add,
    lambda rng: len,
    lambda rng: ALONE,
    lambda rng: dt.datetime(2024, 2, 29, 12, tzinfo=dt.UTC),
    lambda rng: dt.timedelta(seconds=rng.randrange(99)),
    lambda rng: decimal.Decimal("1.50"),
    lambda rng: fractions.Fraction(1, 3),
    lambda rng: pathlib.PurePosixPath("a/b"),
    lambda rng: uuid.UUID(int=rng.getrandbits(128)),
    lambda rng: range(1, 9, 2),
    lambda rng: slice(1, None, 2),
    lambda rng: ...,
    lambda rng: torch.eye(3).to_sparse(),
    lambda rng: torch.quantize_per_tensor(torch.ones(3), 0.5, 1, torch.qint8),
    lambda rng: torch.empty(2, 3, device="meta"),
    lambda rng: torch.tensor([1 + 2j]).conj(),
)
_HASHED = (0, 1, True, "k", "a/b", "0", 1.5, None, (1, "x"), b"b", Color.RED, frozenset((1, 2)))


class Objects:
    """`made` gives one more object; what was made before may come again in it."""

    def __init__(self, rng, layouts):
        self.rng = rng
        self.layouts = layouts
        self.known = []

    def made(self, depth=3):
        rng = self.rng
        if self.known and rng.random() < 0.15:
            return rng.choice(self.known)
        if depth == 0 or rng.random() < 0.4:
            value = self.layouts.tensor() if rng.random() < 0.25 else rng.choice(_LEAVES)(rng)
        else:
            value = rng.choice(_CONTAINERS)(self, depth - 1)
        self.known.append(value)
        return value

    def several(self, depth):
        return [self.made(depth) for _ in range(self.rng.randrange(4))]

    def pairs(self, depth):
        keys = self.rng.sample(_HASHED, self.rng.randrange(4))
        return [(key, self.made(depth)) for key in keys]


def _list(objects, depth):
    value = objects.rng.choice((list, OwnList))()
    objects.known.append(value)  # before it is filled: it may come to hold itself
    value.extend(objects.several(depth))
    return value


def _dict(objects, depth):
    kind = objects.rng.choice((dict, collections.OrderedDict, OwnDict, lambda: collections.defaultdict(list)))
    value = kind()
    objects.known.append(value)
    value.update(objects.pairs(depth))
    return value


def _object(objects, depth):
    value = objects.rng.choice((Anything, Config, Slotted))()
    objects.known.append(value)
    names = ("left", "right") if isinstance(value, Slotted) else ("name", "parts", "more")
    for name in names:
        setattr(value, name, objects.made(depth))
    return value


def _rebuilt(objects, depth):
    value = Rebuilt(*objects.several(depth))
    if objects.rng.random() < 0.5:
        value.extra = objects.made(depth)
    return value


_CONTAINERS = (
    _list,
    _list,
    _dict,
    _dict,
    _object,
    _object,
    _rebuilt,
    lambda objects, depth: tuple(objects.several(depth)),
    lambda objects, depth: Point(objects.made(depth), objects.made(depth)),
    lambda objects, depth: set(objects.rng.sample(_HASHED, 3)),
    lambda objects, depth: frozenset(objects.rng.sample(_HASHED, 3)),
    lambda objects, depth: collections.Counter("abca"),
    lambda objects, depth: collections.deque(objects.several(depth), maxlen=9),
    lambda objects, depth: functools.partial(named, objects.made(depth)),
)
