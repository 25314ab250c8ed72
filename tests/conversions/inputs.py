"""The inputs of the conversions: numbers that are a plain function of their place, so that every library makes the same ones."""

import zlib
from math import prod

import numpy as np

from ckptlint.core.dtype import DType
from ckptlint.core.spec import TensorSpec
from ckptlint.kits.numpy_kit import Array, NumpyKit

POSITIVE = ("running_var", "scale", "weight_g")  # what is a variance or a length
NEGATIVE = ("ssm_a",)


def numbers(key, shape):
    """Numbers between -2 and 2, none of them zero, as float32; another sequence for each key."""
    steps = (np.arange(prod(shape), dtype=np.uint64) + zlib.crc32(key.encode())) * 2654435761 % 1000003
    values = (steps.astype(np.float64) / 250000.75 - 2).astype(np.float32)
    if key.endswith((*POSITIVE, *NEGATIVE)):
        values = np.abs(values) + np.float32(0.1)
    return (-values if key.endswith(NEGATIVE) else values).reshape(shape)


def array(key, text):
    """The input of a key, in its dtype."""
    spec = TensorSpec.parse(text)
    wide = np.ascontiguousarray(numbers(key, spec.shape)).view("<u4")
    return NumpyKit().cast(Array(wide, DType.parse("f32")), spec.dtype)
