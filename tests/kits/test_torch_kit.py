"""The torch kit gives what the numpy kit gives, bit for bit: on every layout operation, and on every cast whose values fit."""

import numpy as np
import pytest
from arrays import KIT, random_array, small_array
from calls import CALLS
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ckptlint.core.dtype import DType
from ckptlint.errors import ShapeError
from ckptlint.ops.numbers import FLOATS
from ckptlint.ops.vocabulary import OPERATIONS

torch = pytest.importorskip("torch")
from ckptlint.kits.torch_kit import TorchKit, as_array, as_tensor  # noqa: E402  torch must be there first

TORCH = TorchKit()
quiet = pytest.mark.filterwarnings("ignore:ComplexHalf support", "ignore:Casting complex values to real")
SUMMED = {
    *(
        "interpolate",
        "merge_lora",
        "merge_weight_norm",
        "pad",
        "reduce",
        "relative_positions",
        "remap_rows",
        "resample_patch",
    ),
    *("split_weight_norm", "unary"),
}
unmovable = ("qi8",)  # torch has quantized tensors, but no views of them


def same(ours, theirs):
    made = as_array(theirs)
    assert made.spec == ours.spec
    assert KIT.dump(made).tobytes() == KIT.dump(ours).tobytes()


@quiet
@pytest.mark.parametrize("name", [name for name, op in OPERATIONS.items() if not op.opaque])
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_torch_gives_what_numpy_gives(name, data):
    op, specs = data.draw(CALLS[name])
    assume(all(spec.dtype.name not in unmovable for spec in specs))
    make = random_array if op.layout else small_array
    arrays = tuple(make(spec, seed) for seed, spec in enumerate(specs))
    tensors = tuple(map(as_tensor, arrays))
    wanted, made = outcome(op, KIT, arrays), outcome(op, TORCH, tensors)
    if isinstance(wanted, str):
        assert made == wanted
        return
    for ours, theirs in zip(wanted, made, strict=True):
        if op.name not in SUMMED or ours.dtype.name not in FLOATS:
            same(ours, theirs)
        else:  # the order in which doubles are added up is the library's own; one digit more or less is all that may show
            step = 2.0 ** -FLOATS[ours.dtype.name].mantissa
            wide = [x.to(torch.float64) for x in (theirs, as_tensor(ours))]
            torch.testing.assert_close(*wide, rtol=2 * step, atol=1e-12, equal_nan=True)


def outcome(op, kit, inputs):
    """What an operation gives, or what it says."""
    try:
        return op.apply(kit, inputs)
    except ShapeError as refused:
        return str(refused)


def test_a_refused_cast_says_the_same():
    x = torch.tensor([1.0, 1e6, float("nan")])
    with pytest.raises(ShapeError, match="1 of 3 elements do not fit f16, such as 1000000"):
        TORCH.cast(x, DType.parse("f16"))
    assert TORCH.cast(x, DType.parse("f16"), saturate=True)[:2].tolist() == [1.0, 65504.0]


def test_views_conjugates_and_gradients_are_no_hindrance():
    x = torch.arange(6.0, requires_grad=True).reshape(2, 3).T
    assert torch.equal(TORCH.concat([x, x], 1), torch.cat([x.detach()] * 2, 1))
    z = torch.tensor([1 + 2j]).conj()
    assert TORCH.flip(z, 0).tolist() == [1 - 2j]


def test_a_tensor_is_an_array_and_back():
    x = torch.tensor([[1.5, -2.0]], dtype=torch.bfloat16)
    assert np.array_equal(as_array(x).codes, [[0x3FC0, 0xC000]])
    assert torch.equal(as_tensor(as_array(x)), x)
