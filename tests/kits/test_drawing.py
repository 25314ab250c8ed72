"""What is drawn: the distribution it is of, that nothing but seed and key decide it, and that its bits are the same everywhere."""

from statistics import NormalDist

import numpy as np
import pytest

from ckptlint.core.initial import Initial
from ckptlint.core.operation import External
from ckptlint.core.spec import TensorSpec
from ckptlint.kits import drawing
from ckptlint.kits.drawing import drawn
from ckptlint.kits.numpy_kit import NumpyKit

BITS = [
    "0x1.2308d8e9cb059p-1",
    "-0x1.fb8dfcea41d23p+0",
    "0x1.ebbe762338c93p-1",
    "0x1.a0735f6263f1fp-2",
    "-0x1.9ae050ef862aap-3",
]  # of the first run: changing them changes what migrations make


def test_normal_numbers_are_the_inverse_of_the_distribution(monkeypatch):
    even = np.concatenate([np.linspace(1e-9, 1 - 1e-9, 2001), 2.0 ** -np.arange(1, 53)])
    monkeypatch.setattr(drawing, "_even", lambda *_: even)
    found = drawn(Initial("normal", 1.0), "w", even.shape)
    wanted = [NormalDist().inv_cdf(float(each)) for each in even]
    np.testing.assert_allclose(found, wanted, rtol=2e-9, atol=2e-9)


@pytest.mark.parametrize("how", ["normal", "uniform"])
def test_they_are_spread_as_said(how):
    found = drawn(Initial(how, 0.5, 3.0), "w", (400, 500))
    deviation = 0.5 if how == "normal" else 0.5 / 3**0.5
    assert abs(found.mean() - 3.0) < 0.01
    assert abs(found.std() - deviation) < 0.005
    assert abs(np.corrcoef(found[:, :-1].ravel(), found[:, 1:].ravel())[0, 1]) < 0.01
    assert len(np.unique(found)) == found.size
    assert how == "normal" or (found.min() > 2.5 and found.max() < 3.5)


def test_seed_and_key_decide_and_blocks_do_not(monkeypatch):
    one = drawn(Initial("normal", 1.0, seed=1), "a", (3, 5))
    monkeypatch.setattr(drawing, "_BLOCK", 4)
    np.testing.assert_array_equal(drawn(Initial("normal", 1.0, seed=1), "a", (15,)).reshape(3, 5), one)
    for other in (
        drawn(Initial("normal", 1.0, seed=2), "a", (3, 5)),
        drawn(Initial("normal", 1.0, seed=1), "b", (3, 5)),
    ):
        assert not np.isclose(other, one).any()


def test_the_bits_stay_what_they_are():
    found = drawn(Initial("normal", 1.0), "w", (5,))
    assert [each.hex() for each in found.tolist()] == BITS


def test_torch_gets_the_same_numbers():
    torch = pytest.importorskip("torch")
    from ckptlint.kits.torch_kit import TorchKit

    asked, specs = External("drawn", "w", Initial("normal", 1.0)), (TensorSpec.parse("f32[7]"),)
    (array,), (tensor,) = NumpyKit().external(asked, (), specs), TorchKit().external(asked, (), specs)
    np.testing.assert_array_equal(array.codes, tensor.view(torch.int32).numpy().view("<u4"))
