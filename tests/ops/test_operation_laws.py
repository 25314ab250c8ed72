"""Laws that hold for every operation, those added later included."""

import inspect
from dataclasses import fields

import numpy as np
import pytest
from arrays import KIT, codes, filled
from calls import CALLS, NUMBERS
from hypothesis import given, settings
from hypothesis import strategies as st

from ckptlint.core.dtype import DType
from ckptlint.core.operation import Grade, Operation
from ckptlint.errors import ShapeError
from ckptlint.kits.numpy_cast import numbers_of
from ckptlint.kits.numpy_kit import Array
from ckptlint.ops.numbers import COMPONENTS, FLOATS
from ckptlint.ops.spec_kit import SpecKit
from ckptlint.ops.vocabulary import OPERATIONS

INSIDE = [name for name, op in OPERATIONS.items() if not op.opaque]  # the others are tested where they may run
every_op = pytest.mark.parametrize("name", INSIDE)
reversible = pytest.mark.parametrize("name", [name for name in INSIDE if name != "fill"])
SPECS = SpecKit()


def test_every_operation_has_a_strategy():
    assert set(CALLS) == set(INSIDE)


def test_every_file_of_operations_is_registered():
    import pkgutil
    from importlib import import_module

    import ckptlint.ops

    found = {
        member
        for module in pkgutil.iter_modules(ckptlint.ops.__path__)
        for member in vars(import_module(f"ckptlint.ops.{module.name}")).values()
        if inspect.isclass(member) and issubclass(member, Operation) and not inspect.isabstract(member)
    }
    assert found == set(OPERATIONS.values())


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_documents_itself(name):
    op = OPERATIONS[name]
    options = {each.name for each in fields(op)}
    assert op.name == name
    assert op.__doc__.endswith((".", "    ")), "a sentence"
    assert name in op.example or op.arity == "make"
    assert {op.short, op.rest} - {""} <= options
    assert op.arity in ("each", "join", "split", "mix", "make")


@every_op
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_specs_and_data_agree(name, data):
    op, specs = data.draw(CALLS[name])
    inputs = tuple(filled(spec, data.draw) for spec in specs)
    assert op.apply(SPECS, specs) == tuple(map(KIT.spec, _applied(op, inputs)))


@reversible
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_what_says_it_is_exact_is_undone_bit_for_bit(name, data):
    op, specs = data.draw(CALLS[name])
    undo = op.inverse(specs)
    assert (op.grade(specs) is Grade.ONE_WAY) == (undo is None)
    if undo is not None:
        exact = op.grade(specs) is Grade.EXACT
        inputs = tuple((filled if exact else numbers)(spec, data.draw) for spec in specs)
        back = _applied(undo, _applied(op, inputs))
        assert undo.apply(SPECS, op.apply(SPECS, specs)) == specs
        for old, new in zip(inputs, back, strict=True):
            assert codes(old) == codes(new) if exact else near(old, new, inputs, op.bound(specs))


@pytest.mark.parametrize("name", ["cast", "affine", "unary", "split_weight_norm"])
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_what_comes_back_is_within_its_bound(name, data):
    """Of any elements that the operation takes, those near 0 and near the largest included."""
    op, specs = data.draw(CALLS[name])
    undo, bound = op.inverse(specs), op.bound(specs)
    if bound is None:
        return
    assert op.grade(specs) is Grade.APPROXIMATE
    (x,) = (filled(spec, data.draw) if data.draw(st.booleans()) else numbers(spec, data.draw) for spec in specs)
    with np.errstate(all="ignore"):
        back = _applied(undo, _applied(op, (x,)))[0]
        left, right = (numbers_of(each.codes.reshape(-1), each.dtype).astype("c16") for each in (x, back))
        for old, new in ((left.real, right.real), (left.imag, right.imag)):
            fine = np.isfinite(left) & ~((name == "split_weight_norm") & np.isnan(new))
            assert np.all(np.abs(old - new)[fine] <= (bound.relative * np.abs(left) + bound.absolute)[fine])


@every_op
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_what_the_outputs_decide_is_undone_too(name, data):
    op, specs = data.draw(CALLS[name])
    undo = op.undone_from(op.apply(SPECS, specs))
    if undo is not None and op.grade(specs) is Grade.EXACT:
        inputs = tuple(filled(spec, data.draw) for spec in specs)
        assert tuple(map(codes, undo.apply(KIT, _applied(op, inputs)))) == tuple(map(codes, inputs))


@every_op
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_what_is_lost_and_kept_makes_the_inputs_again(name, data):
    """The outputs and the part that an undo file keeps give the inputs bit for bit, and the part is less than all."""
    op, specs = data.draw(CALLS[name])
    way = op.remainder(specs)
    if way is None:
        return
    inputs = tuple(filled(spec, data.draw) for spec in specs)
    outputs, parts = _applied(op, inputs), way.keep.apply(KIT, inputs)
    kept = [parts[place] for place in way.kept]
    values = tuple(outputs[place] if place >= 0 else kept[~place] for place in way.order)
    for undo in way.back:
        values = undo.apply(KIT, values)
    assert tuple(map(codes, values)) == tuple(map(codes, inputs))
    assert sum(each.spec.numel for each in kept) <= sum(spec.numel for spec in specs)


@every_op
@given(data=st.data())
@settings(max_examples=20)
def test_an_operation_is_a_value(name, data):
    op, _ = data.draw(CALLS[name])
    again = type(op)(**{each.name: getattr(op, each.name) for each in fields(op)})
    assert again == op
    assert hash(again) == hash(op)


def _applied(op, inputs):
    """Apply to data; what decodes elements may refuse some, which is a law of its own."""
    from hypothesis import assume

    try:
        return op.apply(KIT, inputs)
    except ShapeError:
        assume(op.layout)
        raise


def numbers(spec, draw):
    """Numbers between 0.5 and 4, in which no function is steep: what comes back is as near as the type's digits."""
    values = np.random.default_rng(draw(st.integers(0, 1000))).uniform(0.5, 4, spec.shape).astype("<f4")
    return KIT.cast(Array(values.view("<u4"), DType.parse("f32")), spec.dtype, saturate=True)


def near(one, other, inputs, bound):
    """Whether two arrays agree within a bound, else up to a few roundings of their type, or of numbers as large as the inputs'."""
    if bound is not None:
        left, right = (numbers_of(x.codes.reshape(-1), x.dtype).astype("c16") for x in (one, other))
        return bool(np.all(np.abs(left - right) <= 2 * (bound.relative * np.abs(left) + bound.absolute)))
    step = 2.0 ** -min(FLOATS[COMPONENTS.get(x.dtype.name, x.dtype.name)].mantissa for x in inputs)
    left, right = (numbers_of(x.codes.reshape(-1), x.dtype).astype("c16") for x in (one, other))
    return bool(np.all(np.abs(left - right) <= 64 * step))


def test_the_strategies_meet_every_number():
    assert len(NUMBERS) == len(set(NUMBERS)) == 21
