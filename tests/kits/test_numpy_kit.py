"""Casts by numpy: equal to torch's bit for bit wherever the value fits, refused with a count where it does not."""

import numpy as np
import pytest
from arrays import KIT, codes
from calls import NUMBERS

from ckptlint.core.dtype import DType
from ckptlint.core.spec import TensorSpec
from ckptlint.errors import ShapeError
from ckptlint.kits.numpy_cast import stored_as
from ckptlint.kits.numpy_kit import Array
from ckptlint.ops.numbers import COMPONENTS, FLOATS

quiet = pytest.mark.filterwarnings(
    "ignore:Casting complex values to real", "ignore:ComplexHalf support is experimental"
)
DTYPES = [DType.parse(name) for name in NUMBERS]


def array(values, name):
    """Python numbers as an array of a type."""
    dtype = DType.parse(name)
    wide = {"i": "<i8", "u": "<u8"}.get(dtype.kind[0], "<c16")
    exact = Array(np.array(values, wide).view(stored_as(DType.parse(_ours(wide)))), DType.parse(_ours(wide)))
    return KIT.cast(exact, dtype)


def _ours(numpy_type):
    return {"<i8": "i64", "<u8": "u64", "<c16": "c128"}[numpy_type]


def telling(dtype):
    """All codes of a small type; of a large one random bits, all small floats, all ties between neighbours of small floats, integers."""
    if dtype.name == "bool":
        return np.arange(2, dtype="u1")
    if dtype.bits <= 16:
        return np.arange(1 << dtype.bits, dtype=f"<u{dtype.bits // 8}")
    random = np.random.default_rng(1)
    noise = np.frombuffer(random.bytes(40_000), f"<u{min(dtype.bits, 64) // 8}")
    if dtype.name in COMPONENTS:
        pairs = noise.view(stored_as(DType.parse(COMPONENTS[dtype.name])))
        return np.concatenate([pairs, (_real_line(COMPONENTS[dtype.name]))]).view(stored_as(dtype))
    if dtype.name in FLOATS:
        return np.concatenate([noise, _edges(dtype.name)])
    numbers = np.arange(-70_000 if dtype.kind == "int" else 0, 70_000, 7).astype(f"<{dtype.kind[0]}{dtype.bits // 8}")
    return np.concatenate([noise, numbers.view(noise.dtype)])


def _real_line(name):
    """Pairs of a number and zero, of either sign."""
    numbers = _edges(name)[:20_000]
    zeros = np.zeros_like(numbers)
    zeros[::3] = np.array([-0.0], f"<f{numbers.itemsize}").view(numbers.dtype)
    return np.stack([numbers, zeros], 1).reshape(-1)


def _edges(name):
    """Numbers around the ties of every smaller type, as codes of f16, f32 or f64."""
    size = DType.parse(name).bits // 8
    found = [np.arange(-70_000, 70_000, 35, "f8")]
    for number in FLOATS.values():
        if number.mantissa < 23:
            width = number.exponent + number.mantissa
            some = sorted({*range(0, 1 << width, 1 + (1 << width) // 400), *range(1 << min(width, 6))})
            some += [code + 1 for code in some]  # neighbours, so that there are ties between them
            values = np.array([number.widened(code) for code in sorted({*some} & {*range(1 << width)})], "<u4").view(
                "<f4"
            )
            values = np.sort(values[np.isfinite(values)]).astype("f8")
            ties = (values[1:] + values[:-1]) / 2
            found += [values, -values, ties, -ties]
            found += [np.nextafter(ties.astype("f4"), np.float32(end)).astype("f8") for end in (-1e38, 1e38)]
    with np.errstate(all="ignore"):
        return np.concatenate(found).astype(f"<f{size}").view(f"<u{size}")


def torch_tensor(torch, codes, dtype):
    if codes.size == 0:
        return torch.empty(0, dtype=getattr(torch, dtype.torch))
    return torch.from_numpy(np.ascontiguousarray(codes).view("u1").copy()).view(getattr(torch, dtype.torch))


@quiet
@pytest.mark.parametrize("source", DTYPES, ids=str)
def test_a_cast_is_torchs_bit_for_bit_where_the_value_fits(source):
    torch = pytest.importorskip("torch")
    from ckptlint.kits.numpy_cast import _cast_chunk

    all_codes = telling(source)
    for target in DTYPES:
        if target is source:
            continue
        made, refused = _cast_chunk(all_codes, source, target, saturate=False)
        wanted = torch_tensor(torch, all_codes[~refused], source).to(getattr(torch, target.torch))
        ours = torch_tensor(torch, made[~refused], target)
        same = (bits(torch, ours) == bits(torch, wanted)).all(1)
        assert (same | (nan(torch, ours) & nan(torch, wanted))).all(), f"{source} to {target}"


def bits(torch, tensor):
    return tensor.view(torch.uint8).reshape(tensor.shape[0], tensor.element_size())


def nan(torch, tensor):
    if tensor.dtype.is_complex:
        return torch.isnan(tensor.to(torch.complex128))
    return torch.isnan(tensor.to(torch.float64))


@quiet
@pytest.mark.parametrize("source", DTYPES, ids=str)
def test_what_is_refused_is_what_torch_would_change(source):
    """Beyond the format's limit for floats (rounding is no change), and for integers exactly where torch gives another number."""
    torch = pytest.importorskip("torch")
    from ckptlint.kits.numpy_cast import _cast_chunk

    all_codes = telling(source)[:: 7 if source.bits == 16 else 1]
    before = torch_tensor(torch, all_codes, source)
    for target in DTYPES:
        if target is source or target.name == "f8e8m0fnu":
            continue
        _, refused = _cast_chunk(all_codes, source, target, saturate=False)
        after = before.to(getattr(torch, target.torch))
        changed = _changed(torch, before, after, target)
        assert (torch.from_numpy(refused) == changed)[_decidable(torch, before, target)].all(), f"{source} to {target}"


def _decidable(torch, before, target):
    """Integers near 2**63 cannot be told apart in f64, and what is left of an imaginary part cannot be seen afterwards."""
    wide = before.to(torch.complex128)
    return (wide.real.abs() < 2**53) | (target.kind == "float") | wide.isnan()


def _changed(torch, before, after, target):
    wide = before.to(torch.complex128)
    lost = (wide.imag != 0) & (not after.dtype.is_complex)
    if target.name in FLOATS or target.name in COMPONENTS:
        number = FLOATS[COMPONENTS.get(target.name, target.name)]
        for part in (wide.real, wide.imag) if after.dtype.is_complex else (wide.real,):
            limit = number.limit
            seen = part if target.name in ("f64", "c128") else part.to(torch.float32).to(torch.float64)
            beyond = (seen.abs() > limit) if number.limit_fits else (seen.abs() >= limit)
            kept = torch.isinf(part) & number.has_infinity
            lost = lost | (beyond & ~kept)
        return lost
    return lost | (wide.real != after.to(torch.complex128).real)


def test_refused_elements_are_counted():
    x = array([[1, 7e4, -7e4], [65519.99, float("inf"), float("nan")]], "f32")
    with pytest.raises(ShapeError) as caught:
        KIT.cast(x, DType.parse("f16"))
    assert caught.value.message == "2 of 6 elements do not fit f16, such as 70000.0"
    assert KIT.refused(x, DType.parse("f16")) == (2, "70000.0")
    assert KIT.refused(x, DType.parse("f32")) == (0, "")


@pytest.mark.parametrize(
    ("values", "source", "target", "made"),
    [
        ([1e6, -1e6, 1.0], "f32", "f16", [65504.0, -65504.0, 1.0]),
        ([1e39, -1e39], "f64", "f32", [FLOATS["f32"].largest, -FLOATS["f32"].largest]),
        ([1e6, float("inf"), -500.0], "f32", "f8e4m3fn", [448.0, 448.0, -448.0]),
        ([0.0, -3.0, 1e30], "f32", "f8e8m0fnu", [2.0**-127, 2.0**-127, 2.0**100]),
        ([2.7, -2.7, 300.0, -300.0, float("inf")], "f32", "i8", [2, -2, 127, -128, 127]),
        ([-1, 300, 7], "i64", "u8", [0, 255, 7]),
        ([2**63, 5], "u64", "i64", [2**63 - 1, 5]),
        ([0, 3, -1], "i32", "bool", [0, 1, 1]),
        ([0.0, 0.3], "f32", "bool", [0, 1]),
        ([2**40], "i64", "f16", [65504.0]),
    ],
)
def test_saturating(values, source, target, made):
    x = array(values, source)
    with pytest.raises(ShapeError):
        KIT.cast(x, DType.parse(target))
    saturated = KIT.cast(x, DType.parse(target), saturate=True)
    assert codes(saturated) == codes(array(made, target))


def test_infinity_is_kept_where_there_is_one():
    x = array([float("inf"), -float("inf")], "f32")
    for saturate in (False, True):
        assert codes(KIT.cast(x, DType.parse("f8e5m2"), saturate=saturate)) == codes(array([np.inf, -np.inf], "f8e5m2"))


@pytest.mark.parametrize(("values", "source", "target"), [([float("nan")], "f32", "i8"), ([1j], "c64", "f32")])
def test_what_has_no_nearest_is_refused_even_when_saturating(values, source, target):
    with pytest.raises(ShapeError, match="1 of 1 elements do not fit") as caught:
        KIT.cast(array(values, source), DType.parse(target), saturate=True)
    assert caught.value.hint == ""


def test_a_large_cast_is_the_sum_of_its_chunks():
    values = np.arange(600_001, dtype="<i8")
    x = Array(values.view("<u8"), DType.parse("i64"))
    made = KIT.cast(x, DType.parse("f32"))
    assert (made.codes.view("<f4") == values).all()
    assert KIT.refused(x, DType.parse("u16")) == (600_001 - 65_536, "65536")


def test_memory_is_looked_at_in_any_direction():
    spec = TensorSpec.parse("bf16[2,2]")
    x = KIT.strided(bytes(range(16)), spec, (-4, 1), 5)
    assert KIT.dump(x).tobytes() == bytes([10, 11, 12, 13, 2, 3, 4, 5])
    assert KIT.dump(KIT.strided(b"", TensorSpec.parse("c128[0,3]"), (0, 0), 0)).tobytes() == b""


def test_big_endian_elements_are_turned_around():
    assert KIT.swapped(bytes(range(8)), DType.parse("f32")).tobytes() == bytes([3, 2, 1, 0, 7, 6, 5, 4])
    assert KIT.swapped(bytes(range(8)), DType.parse("c64")).tobytes() == bytes([3, 2, 1, 0, 7, 6, 5, 4])
    assert KIT.swapped(bytes(range(4)), DType.parse("c32")).tobytes() == bytes([1, 0, 3, 2])
