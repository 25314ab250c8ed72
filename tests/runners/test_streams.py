"""Comparing streams of pieces: however they are cut, the first difference is where it is."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ckptlint.core.spec import TensorSpec
from ckptlint.runners.streams import first_difference

SPEC = TensorSpec.parse("i16[3,4]")
cuts = st.lists(st.integers(0, 24), max_size=5).map(sorted)


def cut(content, at):
    edges = [0, *at, len(content)]
    return [memoryview(content)[start:stop] for start, stop in pairwise(edges)]


@given(cuts, cuts, st.none() | st.integers(0, 23))
def test_the_first_difference_is_found(one, other, place):
    content = bytearray(range(24))
    if place is not None:
        content[place:] = b"\xff" * (24 - place)
    found = first_difference(cut(bytes(range(24)), one), cut(bytes(content), other), SPEC)
    assert found == (None if place is None else divmod(place // 2, 4))
