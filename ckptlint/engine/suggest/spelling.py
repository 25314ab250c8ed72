"""Read keys as paths, however they are spelled: `encoder/layers_0/mlp/wo/kernel` as `encoder.layers.0.mlp.wo.weight`.

TensorFlow, Keras and Flax part names by slashes, number a module within its name, call a weight `kernel` or `gamma`, and keep it the other
way round: a matrix as (in, out), a convolution's kernel as (height, width, in, out), a projection to heads as (in, heads, width). What
is read so is matched as if it were spelled as torch does; what is written is the key as it stands, and the tensor is turned.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Final, NamedTuple

Shape = tuple[int, ...]
Segments = tuple[str, ...]

_PARTED: Final = re.compile(r"([./])")
_OUTPUT: Final = re.compile(r":[0-9]+$")  # of a TensorFlow variable: `kernel:0`
_INNER: Final = re.compile(r"([A-Za-z][A-Za-z0-9_-]*?[A-Za-z]|[A-Za-z])([_-]?)(0|[1-9][0-9]{0,8})(?:_([A-Za-z].*))?")
_KERNELS: Final = frozenset(("kernel", "weights", "depthwise_kernel", "depthwise_weights", "pointwise_kernel"))
_TORCH_TOO: Final = frozenset(("weights",))
_OWN: Final = frozenset(
    ("embedding", "embeddings", "scale", "gamma", "moving_mean", "moving_variance")
)  # beside kernels
_FEWEST_KERNELS: Final = 2
_CALLED: Final[Mapping[str, str]] = {
    **dict.fromkeys((*_KERNELS, "gamma", "scale", "embedding", "embeddings", "w", "g"), "weight"),
    **dict.fromkeys(("beta", "biases", "offset", "b"), "bias"),
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_INTO_HEADS: Final = frozenset(("q", "k", "v", "query", "key", "value"))
_OUT_OF_HEADS: Final = frozenset(("o", "out", "output"))
_INTO: Final = {("kernel", 3): "a b c -> (b c) a", ("bias", 2): "a b -> (a b)"}
_OUT: Final = {("kernel", 3): "a b c -> c (a b)"}
_DEPTHWISE: Final = {4: "a b c d -> c d a b"}
_TURNS: Final[Mapping[int, str]] = {
    2: "a b -> b a",
    3: "a b c -> c b a",
    4: "a b c d -> d c a b",
    5: "a b c d e -> e d a b c",
}


class Read(NamedTuple):
    """A key as a path. `joins` is the text before each segment and behind the last, `raw` what each is called in the key itself.

    `shape` is that of the tensor once it is turned by `turn`, a pattern of `rearrange`, empty where it stays as it is; `stored` is
    the shape before.
    """

    segments: Segments
    joins: Segments
    raw: Segments
    shape: Shape
    turn: str = ""
    stored: Shape = ()


@dataclass(frozen=True, slots=True)
class Reader:
    """How the keys of one schema are read: by points alone where `plain`, with torch's names and shapes for another framework's."""

    plain: bool = True
    framework: bool = False

    def read(self, shapes: Mapping[str, Shape]) -> dict[str, Read]:
        """Read every key; those that would be read as one path are read by points alone."""
        if self.plain:
            return {key: _by_points(key, shape) for key, shape in shapes.items()}
        found = {key: self._read(key, shape) for key, shape in shapes.items()}
        counts = Counter(read.segments for read in found.values())
        return {
            key: read if counts[read.segments] == 1 else _by_points(key, shapes[key]) for key, read in found.items()
        }

    def _read(self, key: str, shape: Shape) -> Read:
        ending = _OUTPUT.search(key)
        end = ending[0] if ending else ""
        parts = _PARTED.split(key.removesuffix(end))
        raw = tuple(parts[::2])
        joins = ("", *parts[1::2], end)
        if not self.framework and "/" not in key:
            return Read(raw, joins, raw, shape)
        segments = (*raw[:-1], _CALLED.get(raw[-1], raw[-1])) if len(raw) > 1 else raw
        turn = turned(raw, shape) if self.framework else ""
        return Read(segments, joins, raw, _shape(turn, shape), turn, shape)


def _by_points(key: str, shape: Shape) -> Read:
    segments = tuple(key.split("."))
    return Read(segments, ("", *["."] * (len(segments) - 1), ""), segments, shape)


class Readers(NamedTuple):
    """How two schemas are read besides by their points; `unclear` are kernels of which nothing says whether they are to be turned."""

    old: Reader
    new: Reader
    unclear: frozenset[str] = frozenset()


def readers(old: Mapping[str, Shape], new: Mapping[str, Shape]) -> Readers:
    """How two schemas are read: one as another framework's where it alone has kernels, and these fit once they are turned."""
    found = [(_kernels(*sides), sides) for sides in ((old, new), (new, old))]
    turn = [_are_turned(kernels, *sides) if kernels else False for kernels, sides in found]
    unclear = frozenset(key for (kernels, _), said in zip(found, turn, strict=True) if said is None for key in kernels)
    mine, theirs = (Reader(plain=False, framework=bool(said)) for said in turn)
    return Readers(mine, theirs, unclear)


def _kernels(mine: Mapping[str, Shape], theirs: Mapping[str, Shape]) -> dict[str, tuple[Shape, Shape]]:
    """The kernels that one side alone has, with their shapes as they are and turned; `weights` is torch's name as well."""
    found: dict[str, tuple[Shape, Shape]] = {}
    for key, shape in mine.items():
        leaf = _leaf(key)
        if leaf in _KERNELS and (leaf not in _TORCH_TOO or "/" in key):
            turn = turned(tuple(_PARTED.split(_OUTPUT.sub("", key))[::2]), shape)
            found[key] = (shape, _shape(turn, shape))
    few = len(found) < _FEWEST_KERNELS
    return {} if few or any(_leaf(key) in _KERNELS for key in theirs) else found


def _are_turned(
    kernels: Mapping[str, tuple[Shape, Shape]], mine: Mapping[str, Shape], theirs: Mapping[str, Shape]
) -> bool | None:
    """Whether kernels are kept the other way round: by their shapes, by those of the same names, by what else the framework has.

    None where nothing says so, for it may be either.
    """
    shapes = set(theirs.values())
    of_module: dict[str, set[Shape]] = {}
    for key, shape in theirs.items():
        of_module.setdefault(_module(key), set()).add(shape)
    by_shape = sum((turned in shapes) - (plain in shapes) for plain, turned in kernels.values())
    by_name = sum(
        (turned in beside) - (plain in beside)
        for key, (plain, turned) in kernels.items()
        for beside in (of_module.get(_module(key), ()),)
    )
    if by_shape or by_name:
        return (by_shape or by_name) > 0
    slashes = all("/" in key for key in kernels) and not any("/" in key for key in theirs)
    own = any(_OUTPUT.search(key) or _leaf(key) in _OWN for key in mine)
    return True if slashes or (own and not any(_leaf(key) in _OWN for key in theirs)) else None


def _module(key: str) -> str:
    return _PARTED.split(_OUTPUT.sub("", key))[-3:][0]


def _leaf(key: str) -> str:
    return _OUTPUT.sub("", _PARTED.split(key)[-1])


def turned(raw: Segments, shape: Shape) -> str:
    """How another framework's tensor becomes torch's; nothing where it is the same."""
    leaf, rank = raw[-1], len(shape)
    module = set(re.split(r"[^a-z]+", raw[-2].lower())) if len(raw) > 1 else set()
    if leaf.startswith("depthwise"):
        return _DEPTHWISE.get(rank, "")
    for names, of_heads in ((_INTO_HEADS, _INTO), (_OUT_OF_HEADS, _OUT)):
        if module & names and (leaf, rank) in of_heads:
            return of_heads[leaf, rank]
    return _TURNS.get(rank, "") if leaf in _KERNELS else ""


def _shape(turn: str, shape: Shape) -> Shape:
    if not turn:
        return shape
    left, _, right = turn.partition(" -> ")
    sizes = dict(zip(left.split(), shape, strict=True))
    return tuple(
        prod(sizes[axis] for axis in group.strip("()").split()) for group in re.findall(r"\([^)]*\)|\w", right)
    )


def back(turn: str, shape: Shape) -> str:
    """The options of the `rearrange` that undoes a turn, for a tensor that is to have this shape."""
    left, _, right = turn.partition(" -> ")
    sizes = dict(zip(left.split(), shape, strict=True))
    inside = [axis for group in re.findall(r"\(([^)]*)\)", right) for axis in group.split()[:-1]]
    return "".join((f'"{right} -> {left}"', *(f", {axis}: {sizes[axis]}" for axis in inside)))


def inner_number(segment: str) -> tuple[str, str, str, str] | None:
    """The stem, what joins it to its number, the number, and what follows (`block1_conv2`); None where it holds none."""
    found = _INNER.fullmatch(segment)
    return (found[1], found[2], found[3], found[4] or "") if found else None
