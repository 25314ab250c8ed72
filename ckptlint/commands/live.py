"""Schemas of what lives in this process: modules, state dicts, and mappings from keys to shapes. torch is used only if it is there."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from ckptlint.core.schema import Schema
from ckptlint.core.spec import TensorSpec
from ckptlint.errors import ModelError, UsageError

if TYPE_CHECKING:
    from torch import nn

_FORMS = (
    "a path, a reference such as pkg.mod:Class, a Schema, an nn.Module, a state dict, or a mapping of keys to shapes"
)


def live_schema(thing: object) -> Schema:
    """Return the schema of an `nn.Module`, of a state dict of tensors, or of a mapping of keys to shapes and specs.

    In a state dict, what is no tensor is left out, as torch leaves it to the modules; ties are found where the tensors are torch's.

    Raises:
        ModelError: the module cannot be described, for instance since a lazy parameter has no shape yet.
        DocumentError: a value is neither a tensor nor one of the forms of a JSON object of keys.
        UsageError: it is none of these things.
    """
    origin = f"a {type(thing).__name__} in memory"
    if _is_module(thing):
        return _module(thing, origin)  # type: ignore[arg-type]  # it is one, and torch is not to be imported to say so
    if not isinstance(thing, Mapping):
        raise UsageError(f"a {type(thing).__name__} has no schema", hint=f"give {_FORMS}")
    if any(not isinstance(key, str) for key in thing):
        odd = next(key for key in thing if not isinstance(key, str))
        raise UsageError(f"the key {odd!r} is no text, so this is no state dict", hint=f"give {_FORMS}")
    tensors = {key: value for key, value in thing.items() if _is_tensor(value)}
    if tensors and all(map(_is_torch, tensors.values())):
        return _state_dict(tensors, origin)
    return _mapping(tensors or thing, origin)


def _mapping(keys: Mapping[str, object], origin: str) -> Schema:
    from ckptlint.documents.schema_json import read_schema_json

    return read_schema_json(json.dumps({key: _form(value) for key, value in keys.items()}, default=str), origin)


def _form(value: object) -> object:
    """A value in one of the forms of a JSON object of keys."""
    if isinstance(value, TensorSpec):
        return {"dtype": value.dtype.name, "shape": list(value.shape)}
    if _is_tensor(value):
        return {"dtype": str(value.dtype), "shape": list(value.shape)}  # type: ignore[attr-defined]  # that is what the test was
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def _is_tensor(value: object) -> bool:
    """Tensors of any library: torch, numpy, jax. A spec has the same two attributes, and is none."""
    return hasattr(value, "dtype") and hasattr(value, "shape") and not isinstance(value, TensorSpec)


def _is_torch(value: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _is_module(thing: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(thing, torch.nn.Module)


def _module(module: nn.Module, origin: str) -> Schema:
    """Describe a module as the process that builds models by reference does."""
    from ckptlint.source.child.describing import describe
    from ckptlint.source.child.faults import BuildError
    from ckptlint.source.reply import Failure, read_reply

    try:
        reply = json.dumps({"schema": asdict(describe(module, finished=True, asked=[]))})
    except BuildError as error:
        raise ModelError(error.message, where=origin, hint=error.hint) from error
    built = read_reply(reply, origin)
    if isinstance(built, Failure):
        raise ModelError(built.message, where=origin, hint=built.hint)
    return built.schema


def _state_dict(tensors: Mapping[str, object], origin: str) -> Schema:
    """Describe a bare module that saves just these tensors; what only a real module knows is left open."""
    from torch import nn

    holder = nn.Module()
    holder.__dict__["state_dict"] = lambda **_: tensors
    return replace(_module(holder, origin), parameters=None, modules={})
