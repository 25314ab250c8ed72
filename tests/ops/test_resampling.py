"""Resampling against torch, in every mode and for every small pair of sizes; splines against cubics."""

import numpy as np
import pytest

from ckptlint.core.spec import TensorSpec
from ckptlint.errors import ShapeError
from ckptlint.ops.interpolate import Interpolate
from ckptlint.ops.resample_patch import ResamplePatch
from ckptlint.ops.resampling import MODES, SMOOTH, interpolation, pseudo_inverse_transposed, solve, spline
from ckptlint.ops.spec_kit import SpecKit

FORMS = [(mode, corners, averaged) for mode in MODES for corners in (False, True) for averaged in (False, True)]
FORMS = [form for form in FORMS if form[0] in SMOOTH or form[1:] == (False, False)]


@pytest.mark.parametrize(("mode", "corners", "averaged"), FORMS)
def test_each_mode_is_torchs(mode, corners, averaged):
    torch = pytest.importorskip("torch")
    flags = {"align_corners": corners, "antialias": averaged} if mode in SMOOTH else {}
    name = {"linear": "bilinear", "cubic": "bicubic"}.get(mode, mode)
    for old in range(1, 13):
        values = torch.eye(old, dtype=torch.float64)[None, :, :, None].expand(1, old, old, 2)  # weights show as columns
        for new in range(1, 13):
            wanted = torch.nn.functional.interpolate(values, size=(new, 2), mode=name, **flags)[0, :, :, 0].T
            made = np.array(interpolation(old, new, mode, corners, averaged))
            np.testing.assert_allclose(made, wanted.numpy(), rtol=0, atol=1e-6, err_msg=f"{old} -> {new}")


def test_larger_sizes_take_the_neighbours_that_torch_takes():
    torch = pytest.importorskip("torch")
    for mode in ("nearest", "nearest-exact"):
        for old, new in [(14, 224), (224, 14), (7, 12), (37, 16), (577, 196), (100, 333)]:
            values = torch.arange(float(old))[None, None]
            wanted = torch.nn.functional.interpolate(values, size=new, mode=mode)[0, 0].tolist()
            assert [row.index(1.0) for row in interpolation(old, new, mode)] == wanted


CUBIC = {  # places, and places between them: where the values are a cubic's, the spline is that cubic
    (-3.0, -1.0, 0.0, 1.5, 4.0): (-2.0, 0.5, 3.0),
    (0.0, 1.0, 2.0, 3.0): (0.5, 1.5),
}


@pytest.mark.parametrize("places", CUBIC)
def test_a_spline_through_a_cubic_is_that_cubic(places):
    weights = np.array(spline(places, CUBIC[places]))
    cubic = np.array([2 * x**3 - x**2 + 3 for x in places])
    np.testing.assert_allclose(weights @ cubic, [2 * x**3 - x**2 + 3 for x in CUBIC[places]], rtol=1e-12)


def test_a_spline_goes_through_its_values():
    places = (-5.2, -2.9, -1.0, 0.0, 1.0, 2.9, 5.2)
    np.testing.assert_allclose(np.array(spline(places, places)), np.eye(7), atol=1e-12)


@pytest.mark.parametrize(("old", "new"), [(4, 6), (6, 4), (5, 5), (2, 9)])
def test_the_pseudo_inverse_is_that_of_numpy(old, new):
    resize = interpolation(old, new, "cubic", antialias=True)
    np.testing.assert_allclose(
        np.array(pseudo_inverse_transposed(resize)), np.linalg.pinv(np.array(resize).T), atol=1e-9
    )


def test_what_cannot_be_resampled_is_refused():
    with pytest.raises(ShapeError, match="from 0 to 3"):
        interpolation(0, 3, "linear")
    with pytest.raises(ShapeError, match="two of its entries are alike"):
        solve([[1.0, 2.0], [2.0, 4.0]], [[1.0], [1.0]])
    with pytest.raises(ShapeError, match="four places"):
        spline((0.0, 1.0, 2.0), (0.5,))


@pytest.mark.parametrize("op", [Interpolate(dims=(0, -2), to=(4, 4)), ResamplePatch(dims=(0, -2), to=(4, 4))])
def test_a_dimension_is_resized_once(op):
    with pytest.raises(ShapeError, match="a dimension is named twice"):
        op.apply(SpecKit(), (TensorSpec.parse("f32[2,3]"),))
