"""For each operation, a strategy of calls: an instance, and input specs that suit it."""

from __future__ import annotations

from hypothesis import strategies as st

from ckptlint.core.dtype import DType
from ckptlint.core.spec import TensorSpec
from ckptlint.ops.cast import Cast
from ckptlint.ops.fill import Fill
from ckptlint.ops.join import Concat, Split
from ckptlint.ops.rearrange import Rearrange
from ckptlint.ops.rows import Flip, Index, Roll, Slice
from ckptlint.ops.stack import Stack, Unstack

NUMBERS = [
    *("f64", "f32", "f16", "bf16", "f8e4m3fn", "f8e5m2", "f8e4m3fnuz", "f8e5m2fnuz", "f8e8m0fnu"),
    *("i64", "i32", "i16", "i8", "u64", "u32", "u16", "u8", "bool", "c128", "c64", "c32"),
]
MOVABLE = [*NUMBERS, "qi8", "bits16", "f4e2m1x2"]

dtypes = st.sampled_from([DType.parse(name) for name in MOVABLE])
numbers = st.sampled_from([DType.parse(name) for name in NUMBERS])
sizes = st.integers(0, 5)
shapes = st.lists(sizes, max_size=4).map(tuple)
ranked = st.lists(sizes, min_size=1, max_size=4).map(tuple)


@st.composite
def placed(draw, *, least=0):
    """A spec, and one of its dimensions, which is at least so long, counted from either end."""
    shape = list(draw(ranked))
    dim = draw(st.integers(0, len(shape) - 1))
    shape[dim] = max(shape[dim], least)
    return TensorSpec(draw(dtypes), tuple(shape)), draw(st.sampled_from([dim, dim - len(shape)]))


def sized(spec, dim, size):
    shape = list(spec.shape)
    shape[dim] = size
    return TensorSpec(spec.dtype, tuple(shape))


@st.composite
def casts(draw):
    spec = TensorSpec(draw(numbers), draw(shapes))
    return Cast(draw(numbers), draw(st.sampled_from(["error", "saturate"]))), (spec,)


@st.composite
def concats(draw):
    spec, dim = draw(placed())
    lengths = draw(st.lists(sizes, min_size=1, max_size=4).map(tuple))
    op = Concat(dim, draw(st.sampled_from([None, lengths])))
    return op, tuple(sized(spec, dim, length) for length in lengths)


@st.composite
def splits(draw):
    spec, dim = draw(placed())
    if draw(st.booleans()):
        parts, size = draw(st.integers(1, 4)), draw(sizes)
        return Split(dim, parts=parts), (sized(spec, dim, parts * size),)
    lengths = draw(st.lists(sizes, min_size=1, max_size=4).map(tuple))
    return Split(dim, lengths), (sized(spec, dim, sum(lengths)),)


@st.composite
def stacks(draw):
    spec = TensorSpec(draw(dtypes), draw(shapes))
    rank = len(spec.shape)
    return Stack(draw(st.integers(-rank - 1, rank))), (spec,) * draw(st.integers(1, 4))


@st.composite
def rearranges(draw):
    """Axes with sizes; their groups on the left, and a shuffle of them in other groups on the right."""
    names = draw(st.lists(st.sampled_from("abcdeh"), unique=True, max_size=5))
    lengths = {name: draw(sizes) for name in names}
    fixed = draw(st.sampled_from(["", "2", "3"]))
    axes = [*names, *([fixed] if fixed else [])]
    lengths.update({fixed: int(fixed)} if fixed else {})
    left = draw(groupings(axes))
    right = draw(groupings(draw(st.permutations(axes))))
    open_left, open_right = [" ".join(map(written, groups)) for groups in (left, right)]
    extra = draw(st.sampled_from([None, (), (2,), (3, 2)]))
    shape = tuple(product(lengths[axis] for axis in group) for group in left)
    if extra is not None:
        shape += extra
        open_left += " ..."
        open_right = draw(st.sampled_from([f"... {open_right}", f"{open_right} ...", f"(...) {open_right}"]))
    given = {axis: lengths[axis] for group in left if len(group) > 1 for axis in group if axis.isalpha()}
    for group in left:  # one of each group may be left out where it can be told
        alone = [axis for axis in group if axis in given]
        if len(group) > 1 and alone and all(lengths[axis] for axis in group) and draw(st.booleans()):
            del given[alone[-1]]
    return Rearrange(f"{open_left} -> {open_right}", given), (TensorSpec(draw(dtypes), shape),)


@st.composite
def groupings(draw, axes):
    groups, rest = [], list(axes)
    while rest:
        count = draw(st.integers(1, len(rest)))
        groups.append(rest[:count])
        rest = rest[count:]
        groups += [[]] * draw(st.sampled_from([0, 0, 0, 1]))
    return groups


def written(group):
    return group[0] if len(group) == 1 else f"({' '.join(group)})" if group else "1"


def product(numbers):
    result = 1
    for number in numbers:
        result *= number
    return result


@st.composite
def slices(draw):
    spec, dim = draw(placed())
    size = spec.shape[dim]
    start = draw(st.integers(0, size))
    stop = draw(st.sampled_from([None, draw(st.integers(start, size))]))
    return Slice(dim, start, stop, draw(st.integers(1, 3))), (spec,)


@st.composite
def indices(draw):
    spec, dim = draw(placed(least=1))
    size = spec.shape[dim]
    some = st.lists(st.integers(0, size - 1), min_size=1, max_size=9)
    return Index(tuple(draw(some | st.permutations(range(size)))), dim), (spec,)


CALLS = {
    "cast": casts(),
    "concat": concats(),
    "fill": st.builds(lambda shape, dtype: (Fill(shape, dtype, 1.0), ()), shapes, numbers),
    "flip": placed().map(lambda it: (Flip(it[1]), (it[0],))),
    "index": indices(),
    "rearrange": rearranges(),
    "roll": st.builds(lambda it, shift: (Roll(shift, it[1]), (it[0],)), placed(least=1), st.integers(-7, 7)),
    "slice": slices(),
    "split": splits(),
    "stack": stacks(),
    "unstack": placed(least=1).map(lambda it: (Unstack(it[1]), (it[0],))),
}
