"""For each operation, a strategy of calls: an instance, and input specs that suit it."""

from __future__ import annotations

from hypothesis import strategies as st

from ckptlint.core.dtype import DType
from ckptlint.core.spec import TensorSpec
from ckptlint.ops.add import Add
from ckptlint.ops.affine import Affine
from ckptlint.ops.batch_norm import FuseBatchNorm
from ckptlint.ops.cast import Cast
from ckptlint.ops.checked import Assert
from ckptlint.ops.dequantize import Dequantize
from ckptlint.ops.einsum import Einsum
from ckptlint.ops.fill import Fill
from ckptlint.ops.fold_norm import FoldNorm
from ckptlint.ops.functions import UNDONE_BY
from ckptlint.ops.interpolate import Interpolate
from ckptlint.ops.join import Concat, Split
from ckptlint.ops.lora import MergeLora
from ckptlint.ops.pad import Pad
from ckptlint.ops.rearrange import Rearrange
from ckptlint.ops.reduce import Reduce
from ckptlint.ops.relative_positions import RelativePositions
from ckptlint.ops.remap import RemapRows
from ckptlint.ops.repeat import Repeat, Same
from ckptlint.ops.resample_patch import ResamplePatch
from ckptlint.ops.resampling import MODES, SMOOTH
from ckptlint.ops.rows import Flip, Index, Roll, Slice
from ckptlint.ops.stack import Stack, Unstack
from ckptlint.ops.unary import Unary
from ckptlint.ops.weight_norm import MergeWeightNorm, SplitWeightNorm

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


REALS = [name for name in NUMBERS if name[0] in "fb" and name != "bool"]
PRECISE = ["f64", "f32", "f16", "bf16"]
floats = st.sampled_from([DType.parse(name) for name in REALS])
computed = st.sampled_from([DType.parse(name) for name in [*REALS, "c128", "c64"]])
precise = st.sampled_from([DType.parse(name) for name in PRECISE])
factors = st.sampled_from([0.0, 1.0, -1.0, 0.5, 2.0, -3.25])


def spec_of(shape, dtype):
    return TensorSpec(dtype, tuple(shape))


@st.composite
def of_kind(draw, kinds, *, least=0):
    """As `placed`, of the dtypes of a strategy."""
    spec, dim = draw(placed(least=least))
    return TensorSpec(draw(kinds), spec.shape), dim


@st.composite
def pads(draw):
    mean = draw(st.booleans())
    spec, dim = draw(of_kind(floats, least=1) if mean else placed())
    if spec.dtype.name in ("qi8", "bits16", "f4e2m1x2", "f8e8m0fnu"):
        spec = TensorSpec(DType.parse("f32"), spec.shape)
    before, more = draw(sizes), draw(sizes)
    to = draw(st.sampled_from([None, spec.shape[dim] + before + more]))
    return Pad(dim, to, before, 0 if to else more, fill="mean" if mean else "value"), (spec,)


@st.composite
def repeats(draw, *, op=Repeat):
    spec, dim = draw(placed())
    each, new = draw(st.sampled_from([(False, False), (True, False), (False, True)]))
    times = draw(st.integers(1, 4))
    if op is Same:
        times = draw(st.sampled_from([1, times]))
        dim %= len(spec.shape)
        spec = TensorSpec(DType.parse("f8e8m0fnu"), sized(spec, dim, times if new else times * spec.shape[dim]).shape)
    return op(times, dim, each, new), (spec,)


@st.composite
def interpolations(draw):
    shape = draw(st.lists(st.integers(1, 6), min_size=1, max_size=3))
    dims = draw(st.lists(st.integers(0, len(shape) - 1), min_size=1, unique=True))
    mode = draw(st.sampled_from(MODES))
    flags = [draw(st.booleans()) and mode in SMOOTH for _ in range(2)]
    to = tuple(draw(st.integers(1, 9)) for _ in dims)
    return Interpolate(tuple(dims), to, mode, *flags), (spec_of(shape, draw(precise)),)


@st.composite
def patches(draw):
    shape = [draw(st.integers(1, 3)), draw(st.integers(2, 6)), draw(st.integers(2, 6))]
    to = (draw(st.integers(2, 8)), draw(st.integers(2, 8)))
    return ResamplePatch((1, 2), to, draw(st.sampled_from(SMOOTH)), antialias=False), (spec_of(shape, draw(precise)),)


@st.composite
def tables(draw):
    mode = draw(st.sampled_from(["cubic", "linear", "geometric", "geometric-linear"]))
    old = (draw(st.integers(3, 5)), draw(st.integers(3, 5)))
    new = tuple(side + draw(st.integers(0, 2)) for side in old)
    extra = draw(st.sampled_from([0, 3]))
    spec = spec_of(((2 * old[0] - 1) * (2 * old[1] - 1) + extra, draw(st.integers(1, 3))), draw(precise))
    return RelativePositions(new, old, 0, extra, mode), (spec,)


@st.composite
def remaps(draw):
    names = [f"t{number}" for number in range(6)]
    old = tuple(draw(st.permutations(names)))[: draw(st.integers(1, 6))]
    missing = draw(st.sampled_from(["error", "zeros", "mean"]))
    pool = list(old) if missing == "error" else names
    new = tuple(draw(st.permutations(pool)))[: draw(st.integers(1, len(pool)))]
    spec, dim = draw(of_kind(precise))
    return RemapRows(old, new, dim, missing), (sized(spec, dim, len(old) + draw(st.integers(0, 2))),)


@st.composite
def weight_norms(draw):
    spec, dim = draw(of_kind(precise, least=1))
    dim %= len(spec.shape)
    length = tuple(size if at == dim else 1 for at, size in enumerate(spec.shape))
    return MergeWeightNorm(dim), (TensorSpec(spec.dtype, length), spec)


@st.composite
def batch_norms(draw):
    spec, dim = draw(of_kind(precise, least=1))
    one = spec_of([spec.shape[dim]], draw(precise))
    return FuseBatchNorm(0.5, dim), (spec, *[one] * draw(st.sampled_from([4, 5])))


EINSUMS = [
    "o r, r i -> o i",
    "b o r, b r i -> i b o",
    "a b -> b",
    "a b c ->",
    "a, b, c -> c a b",
    "a b, b c, c d -> d a",
    "h a, h a -> h",
    "a b, c -> b",
]


@st.composite
def einsums(draw):
    pattern = draw(st.sampled_from(EINSUMS))
    dtype = draw(precise)
    lengths = {axis: draw(st.integers(1, 4)) for axis in "oribachd"}
    terms = [term.split() for term in pattern.partition("->")[0].split(",")]
    return Einsum(pattern), tuple(spec_of([lengths[axis] for axis in term], dtype) for term in terms)


@st.composite
def folded_norms(draw):
    slots = draw(st.sampled_from([2, 3, 4]))
    shape = [draw(st.integers(1, 4)) for _ in range(draw(st.sampled_from([2, 3])) if slots == 2 else 2)]
    dim = draw(st.integers(0, len(shape) - 1))
    one, dtype = spec_of([shape[dim]], draw(precise)), draw(precise)
    rest = (spec_of(shape, dtype),) if slots < 4 else (spec_of(shape, dtype), spec_of([shape[1 - dim]], draw(precise)))
    return FoldNorm(dim, draw(st.sampled_from([0.0, 1.0]))), (one, *([one] if slots > 2 else []), *rest)


@st.composite
def adapters(draw):
    out, inner, rank = (draw(st.integers(1, 5)) for _ in range(3))
    turned = draw(st.booleans())
    weight = spec_of((inner, out) if turned else (out, inner), draw(precise))
    dtype = draw(precise)
    op = MergeLora(2.0, draw(st.booleans()), turned)
    magnitude = [spec_of([out], dtype)] if draw(st.booleans()) else []
    return op, (weight, spec_of((rank, inner), dtype), spec_of((out, rank), dtype), *magnitude)


@st.composite
def quantized(draw):
    rows, columns = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    block = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    packed = draw(st.booleans())
    wide = columns * 2 if packed else columns
    scale = (-(-rows // block[0]), -(-wide // block[1]))
    codes = DType.parse("u8" if packed else draw(st.sampled_from(["f8e4m3fn", "i8", "f16"])))
    exponents = draw(st.booleans())
    op = Dequantize(
        draw(precise),
        block,
        draw(st.sampled_from(["fp4x2", "nf4x2"])) if packed else "number",
        "exponent" if exponents else "number",
    )
    return op, (spec_of((rows, columns), codes), spec_of(scale, DType.parse("u8" if exponents else "f32")))


@st.composite
def asserts(draw):
    spec, _ = draw(of_kind(numbers))
    shape = draw(st.sampled_from([None, spec.shape]))
    near = draw(st.sampled_from([(None, 0.0), (0.5, 1e3), (0.0, 0.0)]))
    return Assert(shape, spec.dtype, draw(st.booleans()), draw(st.booleans()), *near), (spec,)


def of_one(op, kinds, **more):
    """Calls of an operation on each tensor: `op` makes it of the place of a dimension."""
    return of_kind(kinds, **more).flatmap(lambda it: op(it[1]).map(lambda made: (made, (it[0],))))


CALLS = {
    "add": st.builds(
        lambda it, parts, given: (Add((0.5,) * parts if given else ()), (it[0],) * parts),
        of_kind(computed),
        st.integers(1, 3),
        st.booleans(),
    ),
    "affine": of_one(lambda _: st.builds(Affine, factors, factors), computed),
    "assert": asserts(),
    "dequantize": quantized(),
    "fold_norm": folded_norms(),
    "fuse_batch_norm": batch_norms(),
    "interpolate": interpolations(),
    "merge_lora": adapters(),
    "merge_weight_norm": weight_norms(),
    "pad": pads(),
    "reduce": of_one(
        lambda dim: st.builds(Reduce, st.sampled_from(["mean", "sum", "max", "min"]), st.just(dim), st.booleans()),
        precise,
        least=1,
    ),
    "relative_positions": tables(),
    "remap_rows": remaps(),
    "repeat": repeats(),
    "resample_patch": patches(),
    "same": repeats(op=Same),
    "split_weight_norm": weight_norms().map(lambda it: (SplitWeightNorm(it[0].dim), it[1][1:])),
    "unary": of_one(lambda _: st.sampled_from([Unary(name) for name in UNDONE_BY]), floats),
    "cast": casts(),
    "concat": concats(),
    "einsum": einsums(),
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
