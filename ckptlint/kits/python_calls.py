"""Call a function of the user's with tensors, and take tensors back: the one place where code that is not ours runs in this process."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from ckptlint.core.dtype import BY_TORCH, DType
from ckptlint.errors import ShapeError, UsageError
from ckptlint.kits.numpy_cast import stored_as
from ckptlint.kits.numpy_kit import Array

_PLAIN = {"f64": "<f8", "f32": "<f4", "f16": "<f2", "c128": "<c16", "c64": "<c8", "bool": "?"}


def call(name: str, arrays: str, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
    """Call `module:function`, found as `python -m` finds it; `UsageError` where there is none, or where it raises."""
    function = _function(name)
    given, taken = _TORCH if arrays == "torch" else _NUMPY
    try:
        made = function(*map(given, inputs))
    except Exception as error:
        raise UsageError(f"{name} raised {type(error).__name__}: {error}") from error
    return tuple(map(taken, made if isinstance(made, tuple | list) else (made,)))


def _function(name: str) -> Callable[..., Any]:
    module, _, attributes = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(module)
        for attribute in attributes.split("."):
            found = getattr(found, attribute)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"{name} cannot be found: {error}") from error
    if not callable(found):
        raise UsageError(f"{name} is no function")
    return found  # type: ignore[no-any-return]  # what it returns is checked where it is used


def _to_torch(array: Array) -> Any:
    from ckptlint.kits.torch_kit import as_tensor

    return as_tensor(array)


def _from_torch(made: Any) -> Array:
    import torch

    from ckptlint.kits.torch_kit import as_array

    if not isinstance(made, torch.Tensor) or str(made.dtype).removeprefix("torch.") not in BY_TORCH:
        raise ShapeError(f"a function returned {type(made).__name__}, not a tensor")
    return as_array(made)


def _to_numpy(array: Array) -> Any:
    plain = _PLAIN.get(array.dtype.name) or stored_as(array.dtype).replace(
        "u", "i" if array.dtype.kind == "int" else "u"
    )
    if array.dtype.name not in _PLAIN and array.dtype.kind not in ("int", "uint"):
        raise ShapeError(f"numpy has no {array.dtype}", hint="arrays: torch gives torch tensors")
    return np.ascontiguousarray(array.codes).view(plain)


def _from_numpy(made: Any) -> Array:
    if not isinstance(made, np.ndarray) or str(made.dtype) not in BY_TORCH:
        raise ShapeError(f"a function returned {type(made).__name__}, not an array")
    dtype = DType.parse(str(made.dtype))
    return Array(np.ascontiguousarray(made).astype(made.dtype.newbyteorder("<")).view(stored_as(dtype)), dtype)


_TORCH = (_to_torch, _from_torch)
_NUMPY = (_to_numpy, _from_numpy)
