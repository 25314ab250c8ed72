"""Which numbers types hold: against numpy's codes and the published extremes."""

from math import isnan
from struct import unpack

import numpy as np
import pytest
from arrays import KIT, codes
from calls import NUMBERS
from hypothesis import given, settings
from hypothesis import strategies as st

from ckptlint.core.dtype import DType
from ckptlint.core.spec import TensorSpec
from ckptlint.errors import ShapeError
from ckptlint.kits.numpy_kit import Array
from ckptlint.ops.numbers import FLOATS, encode, holds_all

DTYPES = [DType.parse(name) for name in NUMBERS]
F64 = DType.parse("f64")


@pytest.mark.parametrize(
    ("name", "largest", "smallest"),
    [
        ("f64", 1.7976931348623157e308, 5e-324),
        ("f32", 3.4028234663852886e38, 1.401298464324817e-45),
        ("f16", 65504.0, 5.960464477539063e-08),
        ("bf16", 3.3895313892515355e38, 9.183549615799121e-41),
        ("f8e4m3fn", 448.0, 2.0**-9),
        ("f8e5m2", 57344.0, 2.0**-16),
        ("f8e4m3fnuz", 240.0, 2.0**-10),
        ("f8e5m2fnuz", 57344.0, 2.0**-17),
        ("f8e8m0fnu", 2.0**127, 2.0**-127),
    ],
)
def test_extremes(name, largest, smallest):
    assert (FLOATS[name].largest, FLOATS[name].smallest) == (largest, smallest)


@pytest.mark.parametrize("name", [name for name in FLOATS if name not in ("f64", "f32")])
def test_every_code_is_the_code_of_its_number(name):
    number = FLOATS[name]
    width = DType.parse(name).bits
    for code in range(0, 1 << width, 1 if width == 8 else 7):
        (value,) = unpack("<f", number.widened(code).to_bytes(4, "little"))
        if not isnan(value):  # a NaN's code is not unique
            assert number.bits(value) == code
            assert abs(value) == float("inf") or number.fits(value)


@given(st.floats(width=64) | st.integers(-300, 300).map(float), st.sampled_from(DTYPES))
@settings(max_examples=200, deadline=None)
def test_one_element_is_encoded_as_an_array_is_cast(value, dtype):
    array = Array(np.array([value]).view("<u8"), F64)
    try:
        wanted = KIT.dump(KIT.cast(array, dtype)).tobytes()
    except ShapeError:
        with pytest.raises(ShapeError):
            encode(dtype, value)
        return
    if not isnan(value):
        assert encode(dtype, value) == wanted
    else:
        made = KIT.strided(encode(dtype, value), TensorSpec(dtype, (1,)), (1,), 0)
        assert np.isnan(KIT.cast(made, DType.parse("c128")).codes.view("c16").real).all()


@pytest.mark.parametrize("source", DTYPES, ids=str)
@pytest.mark.parametrize("target", DTYPES, ids=str)
def test_what_holds_all_loses_nothing_and_what_does_not_loses_something(source, target):
    array = _telling(source)
    try:
        back = KIT.cast(KIT.cast(array, target), source)
    except ShapeError:
        assert not holds_all(target, source)
    else:
        assert holds_all(target, source) == (codes(back) == codes(array))


def _telling(dtype):
    """All codes of a small type; of a large one enough that any type that cannot hold it shows."""
    if dtype.name == "bool":
        made = np.arange(2, dtype="u1")
    elif dtype.bits <= 16:
        made = np.arange(1 << dtype.bits, dtype=f"<u{dtype.bits // 8}")
    else:
        random = np.random.default_rng(0)
        bits = random.bytes(8000 * (dtype.bits // 8))
        made = np.frombuffer(bits, f"<u{min(dtype.bits // 8, 8)}")
        if dtype.bits == 128:
            made = made.view("<c16")
    return Array(made, dtype)
