"""Attributes are read from each form in which a pickle has them."""

import pytest

from ckptlint.core.dtype import BY_TORCH
from ckptlint.core.spec import TensorSpec
from ckptlint.core.tree import Call, Composite, Dict, Global, List, Opaque, Tuple
from ckptlint.formats.attributes import attributes, counts

STATE = Dict([("a", 1)])
CALL = Call(Global("m", "C"), Tuple(()), new=True)


@pytest.mark.parametrize(
    "value",
    [
        Opaque(CALL, [("build", STATE)]),
        Opaque(CALL, [("build", Tuple((None, STATE)))]),
        Composite(Call(Global("m", "f"), Tuple((1, STATE))), TensorSpec(BY_TORCH["float32"], (1,)), "m.C"),
    ],
    ids=["dict", "slots", "wrapper"],
)
def test_attributes_are_found_in_each_form(value):
    assert attributes(value).items == [("a", 1)]


@pytest.mark.parametrize("value", [None, "text", 3, List([1]), STATE, Opaque(CALL), Opaque(CALL, [("build", 3)])])
def test_what_has_none_gives_none(value):
    assert attributes(value).items == []


@pytest.mark.parametrize(
    ("value", "numbers"),
    [(List([1, 0]), (1, 0)), (Tuple(()), ()), (Tuple((True,)), None), (List([-1]), None), (Dict([]), None), (3, None)],
)
def test_counts_are_numbers_from_zero_on(value, numbers):
    assert counts(value) == numbers
