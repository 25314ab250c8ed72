"""Laws that hold for every operation, those added later included."""

import inspect
from dataclasses import fields

import pytest
from arrays import KIT, codes, filled
from calls import CALLS, NUMBERS
from hypothesis import given, settings
from hypothesis import strategies as st

from ckptlint.core.operation import Grade, Operation
from ckptlint.errors import ShapeError
from ckptlint.ops import OPERATIONS
from ckptlint.ops.spec_kit import SpecKit

every_op = pytest.mark.parametrize("name", OPERATIONS)
reversible = pytest.mark.parametrize("name", [name for name in OPERATIONS if name != "fill"])
SPECS = SpecKit()


def test_every_operation_has_a_strategy():
    assert set(CALLS) == set(OPERATIONS)


def test_every_file_of_operations_is_registered():
    import pkgutil
    from importlib import import_module

    import ckptlint.ops

    found = {
        member
        for module in pkgutil.iter_modules(ckptlint.ops.__path__)
        for member in vars(import_module(f"ckptlint.ops.{module.name}")).values()
        if inspect.isclass(member) and issubclass(member, Operation) and member is not Operation
    }
    assert found == set(OPERATIONS.values())


@every_op
def test_an_operation_documents_itself(name):
    op = OPERATIONS[name]
    options = {each.name for each in fields(op)}
    assert op.name == name
    assert op.__doc__.endswith((".", "    ")), "a sentence"
    assert name in op.example or op.arity == "make"
    assert {op.short, op.rest} - {""} <= options
    assert op.arity in ("each", "join", "split", "make")


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
    assert op.grade(specs) is (Grade.ONE_WAY if undo is None else Grade.EXACT)
    if undo is not None:
        inputs = tuple(filled(spec, data.draw) for spec in specs)
        outputs = _applied(op, inputs)
        assert tuple(map(codes, _applied(undo, outputs))) == tuple(map(codes, inputs))
        assert undo.apply(SPECS, op.apply(SPECS, specs)) == specs


@every_op
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_what_the_outputs_decide_is_undone_too(name, data):
    op, specs = data.draw(CALLS[name])
    undo = op.undone_from(op.apply(SPECS, specs))
    if undo is not None:
        inputs = tuple(filled(spec, data.draw) for spec in specs)
        assert tuple(map(codes, undo.apply(KIT, op.apply(KIT, inputs)))) == tuple(map(codes, inputs))


@every_op
@given(data=st.data())
@settings(max_examples=20)
def test_an_operation_is_a_value(name, data):
    op, _ = data.draw(CALLS[name])
    again = type(op)(**{each.name: getattr(op, each.name) for each in fields(op)})
    assert again == op
    assert hash(again) == hash(op)


def _applied(op, inputs):
    """Apply to data; a cast may refuse some, which is a law of its own."""
    from hypothesis import assume

    try:
        return op.apply(KIT, inputs)
    except ShapeError:
        assume(op.name != "cast")
        raise


def test_the_strategies_meet_every_number():
    assert len(NUMBERS) == len(set(NUMBERS)) == 21
