"""What a cast does, against what torch does to every number there is."""

import itertools

import pytest

from ckptlint.checks.dtypes import EFFECTS, effect_of
from ckptlint.core.dtype import DTYPES, DType

torch = pytest.importorskip("torch")

NAMES = [
    "f64",
    "f32",
    "f16",
    "bf16",
    "f8e4m3fn",
    "f8e5m2",
    "f8e4m3fnuz",
    "f8e5m2fnuz",
    "i64",
    "i32",
    "i16",
    "i8",
    "u8",
    "bool",
]
PAIRS = [pytest.param(*pair, id="->".join(pair)) for pair in itertools.permutations(NAMES, 2)]


def numbers(dtype: DType) -> "torch.Tensor":
    """Return all finite numbers of a small dtype, telling ones of a large one."""
    kind = getattr(torch, dtype.torch)
    if dtype.name == "bool":
        return torch.tensor([False, True])
    if dtype.bits <= 16:
        signed = {8: torch.uint8, 16: torch.int16}[dtype.bits]
        ends = torch.iinfo(signed)
        found = torch.arange(ends.min, ends.max + 1).to(signed).view(kind)
    elif dtype.kind == "float":
        ends = torch.finfo(kind)
        digits = {32: 23, 64: 52}[dtype.bits]
        found = torch.tensor(
            [0.0, 1.0, 1 + 2.0**-digits, ends.max / 4, ends.tiny, ends.tiny * 2.0**-digits, 1.5, 1e4 + 2**-9],
            dtype=kind,
        )
    else:
        ends = torch.iinfo(kind)
        found = torch.tensor([0, 1, ends.max, ends.min, ends.max // 2, ends.max - 1], dtype=kind)
    return found[found.double().isfinite()]


@pytest.mark.parametrize(("have", "want"), PAIRS)
def test_only_what_widens_keeps_every_number(have, want):
    have, want = DType.parse(have), DType.parse(want)
    stored = numbers(have)
    cast = stored.to(getattr(torch, want.torch))
    kept = torch.equal(cast.to(stored.dtype), stored) and torch.equal(cast.double(), stored.double())
    assert kept is (effect_of(have, want) == "widens")


@pytest.mark.parametrize(("have", "want"), PAIRS)
def test_floats_overflow_into_floats_of_a_smaller_range(have, want):
    have, want = DType.parse(have), DType.parse(want)
    if {have.kind, want.kind} == {"float"}:
        limits = [torch.finfo(getattr(torch, dtype.torch)).max for dtype in (have, want)]
        assert (effect_of(have, want) == "overflows") is (limits[0] > limits[1] * 1.2)


def test_every_cast_has_an_effect():
    assert {effect_of(have, want) for have, want in itertools.permutations(DTYPES, 2)} == set(EFFECTS)
