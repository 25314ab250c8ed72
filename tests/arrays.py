"""Arrays for tests: of any spec, with chosen or random codes, and what they hold for comparing."""

import numpy as np
from hypothesis import strategies as st

from ckptlint.kits.numpy_cast import stored_as
from ckptlint.kits.numpy_kit import Array, NumpyKit

KIT = NumpyKit()


def random_array(spec, seed=0):
    """Random bits, so also NaNs with payloads, infinities and subnormals; bools are 0 or 1."""
    random = np.random.default_rng(seed)
    if spec.dtype.name == "bool":
        return Array(random.integers(0, 2, spec.shape, "u1"), spec.dtype)
    raw = random.bytes(spec.numel * spec.dtype.bits // 8)
    return Array(np.frombuffer(raw, stored_as(spec.dtype)).reshape(spec.shape), spec.dtype)


def small_array(spec, seed=0):
    """Ones and other codes that every type holds."""
    random = np.random.default_rng(seed)
    ones = KIT.fill(spec, 1.0).codes
    if spec.dtype.name == "f8e8m0fnu":
        return Array(ones, spec.dtype)
    return Array(np.where(random.integers(0, 2, spec.shape).astype(bool), ones, np.zeros_like(ones)), spec.dtype)


def filled(spec, draw):
    """Random bits or small numbers, as hypothesis chooses."""
    seed = draw(st.integers(0, 1000))
    numeric = spec.dtype.name not in ("qi8", "bits16", "f4e2m1x2")
    return small_array(spec, seed) if numeric and draw(st.booleans()) else random_array(spec, seed)


def codes(array):
    """Spec and bits, to compare exactly."""
    return array.spec, KIT.dump(array).tobytes()
