"""Transposed copies equal numpy's own, in every order of dimensions and with flips and steps."""

from itertools import permutations

import numpy as np
import pytest

from ckptlint.kits.transposing import row_major


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("shape", [(130, 3, 257), (129, 140, 2), (300, 300, 1), (0, 4, 4), (2, 260, 150)])
@pytest.mark.parametrize("code", ["u1", "<u4", "<c16"])
def test_a_copy_is_numpys(order, shape, code):
    codes = np.arange(np.prod(shape), dtype="f8").astype(code).reshape(shape)
    for array in (codes.transpose(order), codes.transpose(order)[::-1, ::2], codes.transpose(order)[..., ::-1]):
        made = row_major(array)
        assert made.flags.c_contiguous
        np.testing.assert_array_equal(made, array)


def test_an_expanded_array_is_copied_too():
    array = np.lib.stride_tricks.as_strided(np.arange(300, dtype="<u4"), (300, 400), (4, 0))
    np.testing.assert_array_equal(row_major(array), array)


def test_what_is_row_major_is_not_copied():
    codes = np.zeros((300, 300), "u1")
    assert row_major(codes) is codes
