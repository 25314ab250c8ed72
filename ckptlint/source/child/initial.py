"""The values that a model was initialised with, written as bytes into files that the parent reads."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path

from torch import nn

from .faults import BuildError


def write(model: nn.Module, keys: Sequence[str], folder: Path) -> None:
    """Write the elements of each key, row-major, into a file named by the key's number.

    Raises:
        BuildError: the model has no tensor of that name.
    """
    state = model.state_dict()
    for number, key in enumerate(keys):
        tensor = state.get(key)
        if tensor is None:
            raise BuildError(f"has no tensor {key!r} to initialise a new one with", kind="arguments")
        whole = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
        (folder / str(number)).write_bytes(ctypes.string_at(whole.data_ptr(), whole.numel() * whole.element_size()))
