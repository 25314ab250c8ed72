"""What is counted of elements is what torch and numpy count, for every type, however the elements are cut into blocks."""

from math import isnan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptlint.checks.values import LIMITS
from ckptlint.core.dtype import DTYPES, GGML, DType
from ckptlint.kits.numpy_values import ValueCount, countable, joined, tally, values_of
from ckptlint.ops.numbers import COMPONENTS, FLOATS, int_range

torch = pytest.importorskip("torch")
TYPES = [dtype.name for dtype in DTYPES if countable(dtype) and dtype.torch and dtype.name not in ("f4e2m1x2", "c32")]
SPECIAL = {
    2: [0x7C00, 0xFC00, 0x7E01, 0, 0x8000, 1, 0x8001, 0x7F80, 0xFF80],
    4: [0x7F800000, 0xFF800000, 0x7FC00001, 0, 1 << 31, 1],
}


def codes(name, number, chance):
    """Random codes: of all bits, of few values so that zeros and repeats are there, or special ones among plain ones."""
    width = DType.parse(name).bits // 8
    kind = chance.integers(4)
    content = chance.integers(0, 256, (number, width), "u1")
    if kind == 1:
        content[:] = content[0]
    if kind == 2:
        content[chance.random(number) < 0.5] = 0
    if kind == 3 and width in SPECIAL:
        few = np.array(SPECIAL[width], f"<u{width}").view("u1").reshape(-1, width)
        content = few[chance.integers(0, len(few), number)]
    if name == "bool":
        content &= 1
    return content.tobytes()


def oracle(content, name):
    tensor = torch.frombuffer(bytearray(content), dtype=getattr(torch, DType.parse(name).torch))
    raw = np.frombuffer(content, "u1").reshape(len(tensor), -1)
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor).flatten()
    numbers = (tensor.to(torch.float64) if tensor.is_floating_point() else tensor).tolist()
    number = FLOATS.get(COMPONENTS.get(name, name))
    finite = [n for n in numbers if number is None or np.isfinite(n)]
    normal = 2.0 ** (1 - number.bias) if number is not None and number.signed else 0
    return {
        "elements": len(numbers),
        "nans": sum(map(isnan, map(float, numbers))),
        "rises": sum(n == float("inf") for n in numbers),
        "falls": sum(n == float("-inf") for n in numbers),
        "zeros": sum(n == 0 for n in finite),
        "subnormals": sum(0 < abs(n) < normal for n in finite),
        "lowest": min(finite, default=None),
        "highest": max(finite, default=None),
        "constant": bool((raw == raw[0]).all()),
    }


@pytest.mark.parametrize("name", TYPES)
@given(seed=st.integers(0, 2**32), number=st.integers(1, 40))
def test_counts_are_those_of_torch(name, seed, number):
    content = codes(name, number, np.random.default_rng(seed))
    found = values_of(tally(content, DType.parse(name)))
    wanted = oracle(content, name)
    assert {field: getattr(found, field) for field in wanted} == wanted


@pytest.mark.parametrize("name", TYPES)
@given(seed=st.integers(0, 2**32), number=st.integers(2, 30), data=st.data())
def test_cutting_changes_nothing(name, seed, number, data):
    dtype = DType.parse(name)
    content = codes(name, number, np.random.default_rng(seed))
    cut = data.draw(st.integers(0, number)) * dtype.bits // 8
    assert joined(tally(content[:cut], dtype), tally(content[cut:], dtype)) == tally(content, dtype)


@pytest.mark.parametrize("name", ["f16", "f32", "c64", "i32", "bf16"])
def test_big_endian_elements_are_turned(name):
    dtype = DType.parse(name)
    content = codes(name, 30, np.random.default_rng(3))
    unit = DType.parse(COMPONENTS.get(name, name)).bits // 8
    turned = np.frombuffer(content, f"u{unit}").byteswap().tobytes()
    assert tally(turned, dtype, swapped=True) == tally(content, dtype)


def test_four_bit_floats_count_both_halves_of_a_byte():
    found = tally(bytes([0x70, 0x9F]), DType.parse("f4e2m1x2"))  # 0, 6, -6, -0.5
    assert (found.elements, found.zeros, found.lowest, found.highest) == (4, 1, -6.0, 6.0)


def test_what_has_no_numbers_is_not_counted():
    assert not any(map(countable, GGML.values()))
    assert {dtype.name for dtype in DTYPES if not countable(dtype)} == {
        "f6e2m3", "f6e3m2", "qi8", "qu8", "qi32", "qu4x2", "qu2x4", "bits8", "bits16", "bits1x8", "bits2x4", "bits4x2",
    }  # fmt: skip


@given(st.integers(0, 300), st.integers(0, 60))
def test_gaps_are_where_the_view_has_no_elements(first, count):
    array = np.zeros(400, bool)
    np.lib.stride_tricks.as_strided(array, (3, 4, 2), (100, 20, 3))[:] = True
    assert (ValueCount().gaps(first, count, ((3, 100), (4, 20), (2, 3))) == array[first : first + count]).all()


@pytest.mark.parametrize("name", LIMITS)
def test_the_limits_are_those_of_the_formats(name):
    assert LIMITS[name] == (FLOATS[name].limit, FLOATS[name].limit_fits)


def test_integers_have_the_range_that_the_check_takes():
    from ckptlint.checks.values import _beyond
    from ckptlint.core.values import Values

    for name in ("i8", "u8", "i32", "u16", "i64"):
        dtype = DType.parse(name)
        low, high = int_range(dtype)
        assert not _beyond(Values(lowest=low, highest=high), dtype)
        assert _beyond(Values(lowest=low - 1, highest=0), dtype)
        assert _beyond(Values(lowest=0, highest=high + 1), dtype)
