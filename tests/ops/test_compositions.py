"""Operations one after the other, up to three: what every step undoes exactly is undone together, on shapes and on data alike."""

import numpy as np
from arrays import KIT, codes, random_array
from calls import CALLS, dtypes
from hypothesis import given, settings
from hypothesis import strategies as st

from ckptlint.core.operation import Grade
from ckptlint.core.spec import TensorSpec
from ckptlint.errors import CkptlintError
from ckptlint.kits.numpy_kit import Array
from ckptlint.ops.join import Concat, Split
from ckptlint.ops.layout_kit import LayoutKit
from ckptlint.ops.layout_values import whole
from ckptlint.ops.rearrange import Rearrange
from ckptlint.ops.repeat import Repeat, Same
from ckptlint.ops.rows import Flip, Index
from ckptlint.ops.spec_kit import SpecKit
from ckptlint.ops.stack import Stack, Unstack
from ckptlint.ops.vocabulary import OPERATIONS
from ckptlint.runners.gather import Gatherer

SPECS = SpecKit()
EACH = [name for name, op in OPERATIONS.items() if op.arity == "each" and not op.opaque]


@st.composite
def chains(draw):
    """Operations that fit one another, drawn for another tensor each: those that do not fit are left out."""
    name = draw(st.sampled_from(EACH))
    first, specs = draw(CALLS[name])
    ops, spec = [first], first.apply(SPECS, specs)[0]
    for _ in range(2):
        op, _ = draw(CALLS[draw(st.sampled_from(EACH))])
        try:
            (spec,) = op.apply(SPECS, (spec,))
        except CkptlintError:
            continue
        ops.append(op)
    return ops, specs[0]


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_what_is_exact_in_each_step_is_exact_in_all(data):
    ops, spec = data.draw(chains())
    undoes, now = [], spec
    for op in ops:
        exact = op.grade((now,)) is Grade.EXACT
        undoes.append(op.inverse((now,)) if exact else None)
        (now,) = op.apply(SPECS, (now,))
    x = made = random_array(spec)
    try:
        for op in ops:
            (made,) = op.apply(KIT, (made,))
    except CkptlintError:
        return  # elements that a step refuses
    assert made.spec == now
    if None not in undoes:
        for undo in reversed(undoes):
            (made,) = undo.apply(KIT, (made,))
        assert codes(made) == codes(x)


@st.composite
def steps(draw, specs):
    """An operation of any arity that suits some of these slots, and which slots."""
    slot = draw(st.integers(0, len(specs) - 1))
    spec = specs[slot]
    alike = [place for place, each in enumerate(specs) if each == spec]
    dim = draw(st.integers(0, len(spec.shape) - 1)) if spec.shape else 0
    size = spec.shape[dim] if spec.shape else 0
    cut = draw(st.integers(0, size))
    choices = [(Stack(dim), alike), (Concat(dim), alike), (Repeat(2, dim, new=True), [slot])]
    if spec.shape:
        choices += (
            [(Split(dim, (cut, size - cut)), [slot]), (Unstack(dim), [slot]), (Flip(dim), [slot])]
            if 0 < size < 6
            else []
        )
        choices += [(Index(tuple(draw(st.permutations(range(size)))), dim), [slot])] if size else []
        names = [f"a{place}" for place in range(len(spec.shape))]
        turned = draw(st.permutations(names))
        choices += [(Rearrange(f"{' '.join(names)} -> {' '.join(turned)}"), [slot])]
    return draw(st.sampled_from([(op, slots) for op, slots in choices if spec.shape or op.name in ("stack", "repeat")]))


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_several_tensors_through_three_steps_come_back(data):
    """Joining, cutting and turning, in any order of up to three, on tensors of any dtype."""
    dtype = data.draw(dtypes)
    shape = tuple(data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=3)))
    first = [random_array(TensorSpec(dtype, shape), seed) for seed in range(data.draw(st.integers(1, 3)))]
    values, undoes = list(first), []
    for _ in range(3):
        op, slots = data.draw(steps([each.spec for each in values]))
        inputs = tuple(values[slot] for slot in slots)
        specs = tuple(each.spec for each in inputs)
        assert op.grade(specs) is Grade.EXACT
        made = op.apply(KIT, inputs)
        assert tuple(each.spec for each in made) == op.apply(SPECS, specs)
        rest = [each for place, each in enumerate(values) if place not in slots]
        undoes.append((op.inverse(specs), len(made), slots))
        values = [*made, *rest]
    for undo, count, slots in reversed(undoes):
        back = dict(zip(slots, undo.apply(KIT, tuple(values[:count])), strict=True))
        rest = iter(values[count:])
        values = [back[place] if place in back else next(rest) for place in range(len(back) + len(values) - count)]
    assert list(map(codes, values)) == list(map(codes, first))


class _Arrays:
    """Bases in memory."""

    def __init__(self, arrays, gatherer):
        self.arrays, self.gatherer, self.kept = arrays, gatherer, {}

    def fetch(self, base, dtype, start, stop):
        return KIT.dump(self.arrays[base])[dtype.nbytes(start) : dtype.nbytes(stop)]

    def held(self, base):
        return self.kept.get(base)

    def hold(self, base):
        if base not in self.kept:
            self.kept[base] = self.gatherer[0].sequence(base.value)
        return self.kept[base]


@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_a_slice_of_what_is_made_is_made_of_slices(data):
    """The layout kit pushes a slice to the inputs: it gives what slicing the whole output gives."""
    op, specs = data.draw(CALLS[data.draw(st.sampled_from([name for name, op in OPERATIONS.items() if not op.opaque]))])
    inputs = tuple(random_array(spec, seed) for seed, spec in enumerate(specs))
    try:
        outputs = op.apply(KIT, inputs)
    except CkptlintError:
        return
    gatherer = []
    gatherer.append(Gatherer(_Arrays(inputs, gatherer), KIT))
    layout = LayoutKit()
    values = op.apply(layout, tuple(whole(number, spec) for number, spec in enumerate(specs)))
    for value, output in zip(values, outputs, strict=True):
        if not output.spec.shape or output.spec.dtype.bits < 8:
            continue
        dim = data.draw(st.integers(0, len(output.spec.shape) - 1))
        start = data.draw(st.integers(0, output.spec.shape[dim]))
        stop = data.draw(st.integers(start, output.spec.shape[dim]))
        part = gatherer[0].array(layout.slice(value, dim, start, stop))
        assert codes(part) == codes(KIT.slice(output, dim, start, stop))


def test_thousands_of_copies_are_no_deep_nest():
    spec = TensorSpec.parse("u8[9000]")
    copies = Array(np.full(9000, 7, "u1"), spec.dtype)
    gatherer = []
    gatherer.append(Gatherer(_Arrays((copies,), gatherer), KIT))
    (value,) = Same(9000).apply(LayoutKit(), (whole(0, spec),))
    assert gatherer[0].array(value).codes.tolist() == [7]
