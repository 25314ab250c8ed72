"""From a built `nn.Module` to plain data: what its state dict would hold, in order, and what shares memory with what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrize import type_before_parametrizations

from .faults import BuildError
from .loading import name_of

Spec = tuple[str, str, list[int]]  # key, torch's name of the dtype, shape
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Description:
    """A model's schema in JSON's types.

    `finished`: the name was of a module, not of something to call. `asked`: accelerators that the code asked for in vain.
    `real`: tensors that hold memory, by key, device and bytes.
    """

    tensors: list[Spec]
    parameters: list[str]
    ties: list[list[str]]
    unsaved: list[Spec]
    modules: list[tuple[str, str]]
    real: list[tuple[str, str, int]]
    finished: bool
    asked: list[str]
    notes: list[str]


def describe(model: nn.Module, *, finished: bool, asked: list[str]) -> Description:
    """Describe what `model.state_dict()` saves; hooks and overrides apply, for they decide what is in the files.

    Raises:
        BuildError: a lazy parameter has no shape yet, or `state_dict()` gives no mapping.
    """
    _refuse_cycle(model)
    _refuse_lazy(model)
    state = _state_dict(model)
    tensors = {key: value for key, value in state.items() if isinstance(key, str) and isinstance(value, torch.Tensor)}
    groups: dict[object, list[str]] = {}
    for key, tensor in tensors.items():
        groups.setdefault(_identity(tensor), []).append(key)
    saved, unnamed = _parameters(model, tensors, groups)
    unsaved = dict(_unsaved(model))
    others = [key for key in state if key not in tensors]
    return Description(
        tensors=[_spec(key, tensor) for key, tensor in tensors.items()],
        parameters=saved,
        ties=[keys for keys in groups.values() if len(keys) > 1],
        unsaved=[_spec(key, tensor) for key, tensor in unsaved.items()],
        modules=[(path, class_of(module)) for path, module in model.named_modules(remove_duplicate=False)],
        real=[_real(key, tensor) for key, tensor in [*tensors.items(), *unsaved.items()] if not tensor.is_meta],
        finished=finished,
        asked=asked,
        notes=[
            *_note(others, "is no tensor, and not in the schema"),
            *_note(unnamed, "is a parameter that is not saved"),
        ],
    )


def class_of(module: nn.Module) -> str:
    """Return a module's class, `torch.nn.modules.linear.Linear`: under a parametrization, the class it was."""
    kind = type_before_parametrizations(module)
    home = getattr(kind, "__module__", "")
    return f"{home.removesuffix('.py')}.{kind.__qualname__}"


def _refuse_cycle(model: nn.Module) -> None:
    """A module that is its own descendant has no end of keys. Walked by hand: torch's own walk would not end either."""
    path: dict[int, str] = {}
    work: list[tuple[str, nn.Module | None]] = [("", model)]
    while work:
        name, module = work.pop()
        if module is None:
            path.popitem()
            continue
        if id(module) in path:
            raise BuildError(f"module {name!r} is {path[id(module)] or 'the model itself'!r} again: it contains itself")
        path[id(module)] = name
        work.append(("", None))
        children = ((child_name, child) for child_name, child in module._modules.items() if child is not None)  # noqa: SLF001  named_children() leaves out what is shared
        work.extend((f"{name}.{child_name}".lstrip("."), child) for child_name, child in children)


def _refuse_lazy(model: nn.Module) -> None:
    named = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    lazy = [key for key, tensor in named if is_lazy(tensor)]
    if lazy:
        owner = model.get_submodule(lazy[0].rpartition(".")[0])
        raise BuildError(
            f"{_listed(lazy)} of {type(owner).__name__} {'has' if len(lazy) == 1 else 'have'} no shape before the first forward pass",
            hint="name a factory function that builds the model and passes one batch through it",
        )


def _state_dict(model: nn.Module) -> Mapping[Any, Any]:
    try:
        state: object = model.state_dict(keep_vars=True)
    except TypeError as error:
        if "keep_vars" not in str(error):
            raise
        state = model.state_dict()  # an override without torch's arguments
    if not isinstance(state, Mapping):
        raise BuildError(f"state_dict() of {name_of(type(model))} returned {type(state).__name__}, not a mapping")
    return state


def _identity(tensor: torch.Tensor) -> object:
    """Equal for tensors that are one value in memory. On meta all data pointers are 0: the storage itself tells."""
    try:
        return (tensor.untyped_storage()._cdata, tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype)  # noqa: SLF001  torch has no public name for it
    except (RuntimeError, NotImplementedError):  # sparse tensors and some subclasses have no storage
        return id(tensor)


def _parameters(
    model: nn.Module, tensors: Mapping[str, torch.Tensor], groups: Mapping[object, list[str]]
) -> tuple[list[str], list[str]]:
    """Parameters in the order of `model.parameters()`, each by its first key; and the names of those without a key."""
    keys = {id(tensor): key for key, tensor in reversed(list(tensors.items()))}
    saved: list[str] = []
    unnamed: list[str] = []
    for name, parameter in model.named_parameters():
        key = keys.get(id(parameter)) or next(iter(groups.get(_identity(parameter), ())), None)
        (unnamed if key is None else saved).append(key or name)
    return saved, unnamed


def _unsaved(model: nn.Module) -> Iterable[tuple[str, torch.Tensor]]:
    for path, module in model.named_modules(remove_duplicate=False):
        names: frozenset[str] = getattr(module, "_non_persistent_buffers_set", frozenset())
        for name, tensor in module.named_buffers(recurse=False):
            if name in names:
                yield f"{path}.{name}" if path else name, tensor


def _spec(key: str, tensor: torch.Tensor) -> Spec:
    return key, str(tensor.dtype).removeprefix("torch."), [int(size) for size in tensor.shape]


def _real(key: str, tensor: torch.Tensor) -> tuple[str, str, int]:
    return key, str(tensor.device), tensor.numel() * tensor.element_size()


def _note(keys: Iterable[object], what: str) -> list[str]:
    found = list(map(str, keys))
    return [f"{_listed(found)} {what}"] if found else []


def _listed(keys: list[str]) -> str:
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return f"{', '.join(map(repr, keys[:_SHOWN]))}{more}"
