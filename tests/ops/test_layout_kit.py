"""The layout kit against numpy: whatever is composed, its descriptions name the same bytes."""

import numpy as np
import pytest
from arrays import KIT, codes, random_array
from calls import CALLS, MOVABLE
from hypothesis import given, settings
from hypothesis import strategies as st

from ckptlint.core.dtype import DType
from ckptlint.core.spec import TensorSpec
from ckptlint.ops.layout_kit import LayoutKit
from ckptlint.ops.layout_runs import bases, blocks, runs, shortest_run, simplified, stretch
from ckptlint.ops.layout_values import Converted, Filled, Gathered, Joined, Taken, View, whole
from ckptlint.ops.strides import Box, aligned_groups, places
from ckptlint.ops.vocabulary import OPERATIONS

LAYOUT = LayoutKit()
layouts = pytest.mark.parametrize("name", [name for name, op in OPERATIONS.items() if op.layout])
F32 = DType.parse("f32")
U16 = DType.parse("u16")


def evaluated(value, inputs):
    """Look up every element of a value, one by one, in numpy codes by base number."""
    if isinstance(value, View):
        base = value.base
        flat = (
            evaluated(base.value, inputs).reshape(-1) if isinstance(base, Gathered) else inputs[base].codes.reshape(-1)
        )
        at = list(places(value.box.shape, value.box.strides, value.box.offset))
        return flat[at].reshape(value.box.shape)
    if isinstance(value, Filled):
        return np.frombuffer(value.element * value.spec.numel, f"u{len(value.element)}").reshape(value.spec.shape)
    if isinstance(value, Joined):
        return np.concatenate([evaluated(part, inputs) for part in value.parts], value.dim)
    assert isinstance(value, Taken)
    return np.take(evaluated(value.value, inputs), value.indices, value.dim)


def by_runs(value, inputs, minimum=1):
    memory = [KIT.dump(each) for each in inputs]
    found = runs(value, minimum)
    return (
        None
        if found is None
        else b"".join(
            run.element * (run.length // len(run.element))
            if run.element
            else memory[run.base][run.start : run.start + run.length]
            for run in found
        )
    )


@layouts
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_runs_are_the_bytes_numpy_gives(name, data):
    op, specs = data.draw(CALLS[name])
    inputs = tuple(random_array(spec, seed) for seed, spec in enumerate(specs))
    wanted = op.apply(KIT, inputs)
    values = op.apply(LAYOUT, tuple(whole(number, spec) for number, spec in enumerate(specs)))
    assert tuple(value.spec for value in values) == tuple(each.spec for each in wanted)
    for value, want in zip(values, wanted, strict=True):
        found = by_runs(value, inputs)
        assert found is None or found == KIT.dump(want).tobytes()
        assert found is not None or any(isinstance(part, Taken) for part in walked(value))


def walked(value):
    yield value
    for inner in (*getattr(value, "parts", ()), *([value.value] if isinstance(value, Taken) else [])):
        yield from walked(inner)
    if isinstance(value, View) and isinstance(value.base, Gathered):
        yield from walked(value.base.value)


@st.composite
def programs(draw):
    """Primitives applied one after the other to two inputs and what they make, on both kits."""
    spec = TensorSpec(U16, tuple(draw(st.lists(st.integers(1, 6), min_size=1, max_size=3))))
    inputs = (random_array(spec, 1), random_array(spec, 2))
    pairs = [(whole(number, spec), array) for number, array in enumerate(inputs)]
    for _ in range(draw(st.integers(1, 7))):
        pairs.append(draw(primitives(pairs)))
    return inputs, pairs[-1]


@st.composite
def primitives(draw, pairs):
    value, array = draw(st.sampled_from(pairs))
    shape = value.spec.shape
    kind = draw(st.sampled_from(["reshape", "permute", "concat", "slice", "take", "flip", "tile", "fill"]))
    if kind == "reshape" or not shape:
        to = draw(st.permutations(_factors(value.spec.numel)))
        keep = draw(st.integers(0, len(to)))
        arguments = ((*to[:keep], *([_product(to[keep:])] if to[keep:] else ())),)
        kind = "reshape"
    elif kind == "permute":
        arguments = (tuple(draw(st.permutations(range(len(shape))))),)
    else:
        dim = draw(st.integers(0, len(shape) - 1))
        size = shape[dim]
        start = draw(st.integers(0, size))
        index = st.integers(0, max(size - 1, 0))
        arguments = {
            "slice": (dim, start, draw(st.integers(start, size)), draw(st.integers(1, 3))),
            "take": (dim, tuple(draw(st.lists(index, max_size=5 if size else 0)))),
            "flip": (dim,),
            "tile": (dim, draw(st.integers(1, 3)) if value.spec.numel < 500 else 1),
            "concat": (dim,),
            "fill": (),
        }[kind]
    if kind == "fill":
        return LAYOUT.fill(value.spec, 7), KIT.fill(value.spec, 7)
    if kind == "concat":
        others = [pair for pair in pairs if _without(pair[0], dim) == _without(value, dim) and pair[0].spec.numel < 500]
        chosen = [(value, array), *draw(st.lists(st.sampled_from(others), max_size=2) if others else st.just([]))]
        return LAYOUT.concat([each[0] for each in chosen], dim), KIT.concat([each[1] for each in chosen], dim)
    return getattr(LAYOUT, kind)(value, *arguments), getattr(KIT, kind)(array, *arguments)


def _without(value, dim):
    shape = value.spec.shape
    return (shape[:dim], shape[dim + 1 :]) if dim < len(shape) else None


def _factors(numel):
    if numel == 0:
        return [0, 2]
    found, rest = [1], numel
    for prime in (2, 3, 5, 7, 11, 13):
        while rest % prime == 0:
            found.append(prime)
            rest //= prime
    return [*found, rest] if rest > 1 else found


def _product(numbers):
    result = 1
    for number in numbers:
        result *= number
    return result


@given(programs())
@settings(max_examples=120, deadline=None)
def test_compositions_name_the_elements_numpy_has(program):
    inputs, (value, array) = program
    assert value.spec == array.spec
    np.testing.assert_array_equal(evaluated(value, inputs), array.codes)
    found = by_runs(value, inputs)
    assert found is None or found == codes(array)[1]


@given(programs(), st.data())
@settings(max_examples=60, deadline=None)
def test_cuts_lie_end_to_end(program, data):
    inputs, (value, array) = program
    flat = array.codes.reshape(-1)
    limit = data.draw(st.integers(1, max(value.spec.nbytes, 1)))
    cut = list(blocks(value, limit))
    assert all(block.spec.nbytes <= max(limit, 2) for block in cut)
    np.testing.assert_array_equal(joined(cut, inputs), flat)
    np.testing.assert_array_equal(joined(simplified(value), inputs), flat)
    start = data.draw(st.integers(0, value.spec.numel))
    stop = data.draw(st.integers(start, value.spec.numel))
    np.testing.assert_array_equal(joined(stretch(value, start, stop), inputs), flat[start:stop])


def joined(values, inputs):
    return np.concatenate([np.empty(0, "u2"), *(evaluated(value, inputs).reshape(-1) for value in values)])


def test_a_split_of_rows_is_one_run_each():
    (first, second) = OPERATIONS["split"](0, (3, 5)).apply(LAYOUT, (whole(7, TensorSpec.parse("f32[8,4]")),))
    assert list(runs(first, 1)) == [(7, 0, 48, b"")]
    assert list(runs(second, 1)) == [(7, 48, 80, b"")]


def test_what_is_split_and_joined_again_is_the_same_view():
    x = whole(0, TensorSpec.parse("f32[8,4]"))
    for dim in (0, 1):
        parts = OPERATIONS["split"](dim, parts=4).apply(LAYOUT, (x,))
        assert OPERATIONS["concat"](dim).apply(LAYOUT, parts) == (x,)
    assert OPERATIONS["stack"]().apply(LAYOUT, OPERATIONS["unstack"]().apply(LAYOUT, (x,))) == (x,)


def test_grouped_qkv_is_cut_into_runs_without_gathering():
    """(g t d) i with g=2 groups of t=4 heads of d=3 rows: q takes two heads of each group, in one run a group."""
    x = whole(0, TensorSpec.parse("f32[24,5]"))
    (apart,) = OPERATIONS["rearrange"]("(g t d) ... -> g t d ...", {"g": 2, "t": 4}).apply(LAYOUT, (x,))
    q, k, v = OPERATIONS["split"](1, (2, 1, 1)).apply(LAYOUT, (apart,))
    (q,) = OPERATIONS["rearrange"]("g t d ... -> (g t d) ...").apply(LAYOUT, (q,))
    head = 3 * 5 * 4
    assert list(runs(q, 2 * head)) == [(0, 0, 2 * head, b""), (0, 4 * head, 2 * head, b"")]
    assert runs(q, 2 * head + 1) is None
    assert list(runs(k, head)) == [(0, 2 * head, head, b""), (0, 6 * head, head, b"")]
    assert v.spec == k.spec


def test_stacked_experts_are_one_run_each():
    specs = [TensorSpec.parse("f16[4,6]")] * 3
    (x,) = OPERATIONS["stack"](0).apply(LAYOUT, tuple(map(whole, range(3), specs)))
    assert list(runs(x, 48)) == [(number, 0, 48, b"") for number in range(3)]


def test_neighbouring_runs_are_merged():
    x = whole(0, TensorSpec.parse("f32[4,4]"))
    value = LAYOUT.concat(
        [LAYOUT.slice(x, 0, 0, 2), LAYOUT.slice(x, 0, 2, 3), whole(1, TensorSpec.parse("f32[1,4]"))], 0
    )
    assert list(runs(value, 1)) == [(0, 0, 48, b""), (1, 0, 16, b"")]


def test_every_slice_of_joined_rows_is_numpys():
    """Three bases of 2, 3 and 1 rows, and all starts, stops and steps."""
    specs = [TensorSpec(U16, (rows, 2)) for rows in (2, 3, 1)]
    inputs = [random_array(spec, seed) for seed, spec in enumerate(specs)]
    value = LAYOUT.concat([whole(number, spec) for number, spec in enumerate(specs)], 0)
    array = KIT.concat(inputs, 0)
    for start in range(7):
        for stop in range(start, 7):
            for step in range(1, 5):
                made = LAYOUT.slice(value, 0, start, stop, step)
                np.testing.assert_array_equal(evaluated(made, inputs), KIT.slice(array, 0, start, stop, step).codes)


@given(st.lists(st.integers(-3, 6), min_size=6, max_size=6), st.integers(1, 3), st.integers(1, 3), st.booleans())
@settings(max_examples=300)
def test_boxes_that_follow_each_other_are_one(numbers, rows, more, other_strides):
    """Whatever the strides: if two boxes are said to be one, it holds their elements, in order."""
    offset, step, inner, gap, turned, _ = numbers
    one = Box.of((rows, 2), (step, inner), offset)
    other = Box.of((more, 2), (step, turned if other_strides else inner), offset + step * rows + max(gap, 0) // 5)
    both = one.followed_by(other, 0)
    wanted = [place for box in (one, other) for place in places(box.shape, box.strides, box.offset)]
    assert both is None or list(places(both.shape, both.strides, both.offset)) == wanted
    if not other_strides and gap < 5 and step > 0:
        assert both is not None


def test_a_transposed_tensor_has_runs_of_one_element():
    x = LAYOUT.permute(whole(0, TensorSpec.parse("f32[4,6]")), (1, 0))
    assert shortest_run(x) == 4
    assert runs(x, 8) is None


def test_a_cast_is_pointwise_so_slices_pass_through_it():
    x = LAYOUT.cast(whole(0, TensorSpec.parse("f32[4,6]")), DType.parse("f16"))
    part = LAYOUT.slice(LAYOUT.permute(x, (1, 0)), 0, 2, 3)
    assert part == Converted(View(0, F32, Box.of((1, 4), (0, 6), 2)), DType.parse("f16"), saturate=False)
    assert runs(part, 1) is None
    assert list(bases(part)) == [0]


def test_packed_elements_move_in_whole_bytes():
    x = whole(0, TensorSpec.parse("f4[6,2]"))
    assert list(runs(LAYOUT.flip(x, 0), 1)) == [(0, 5 - row, 1, b"") for row in range(6)]


def test_a_large_permutation_of_rows_is_looked_up_not_scanned():
    """Slicing a value of many parts looks only at the parts it meets."""
    rows = 20_000
    x = whole(0, TensorSpec(F32, (rows, 128)))
    order = tuple((7 * row + 3) % rows for row in range(rows))
    value = LAYOUT.take(x, 0, order)
    piece = LAYOUT.slice(value, 0, 12_345, 12_348)
    assert [run.start // 512 for run in runs(piece, 1)] == [order[row] for row in range(12_345, 12_348)]


@given(st.lists(st.integers(1, 6), max_size=4), st.data())
def test_groups_pair_the_fewest_dimensions(shape, data):
    new = tuple(data.draw(st.permutations(_factors(_product(shape)))))
    groups = list(aligned_groups(tuple(shape), new))
    assert [dim for old, _ in groups for dim in old] == list(range(len(shape)))
    assert [dim for _, to in groups for dim in to] == list(range(len(new)))
    assert all(_product(shape[dim] for dim in old) == _product(new[dim] for dim in to) for old, to in groups)


def test_every_movable_type_has_an_element_of_whole_bytes():
    assert all(DType.parse(name).bits % 8 == 0 for name in MOVABLE)
