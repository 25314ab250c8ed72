"""The state dict of a pickled `nn.Module`, read off its stored objects: no class is looked up, none is needed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ckptlint.core.tree import Composite, Dict, Opaque, Set, Tensor, Value

_MOST_MODULES = 1_000_000  # submodules; a shared one counts once a place


class Flattened(NamedTuple):
    """A module's tensors by dotted name, in the order of torch's `state_dict()`; `parameters` as `parameters()` yields them."""

    tensors: dict[str, Tensor | Composite]
    parameters: tuple[str, ...]
    unsaved: dict[str, Tensor | Composite]
    classes: dict[str, str]


class _Parts(NamedTuple):
    parameters: Dict
    buffers: Dict
    modules: Dict
    transient: frozenset[str]  # buffers that a state dict leaves out


def flatten(node: Opaque) -> Flattened | None:
    """Return the module's tensors, None where the object is no module (or one that contains itself without end)."""
    if _parts(node) is None:
        return None
    module = Flattened({}, (), {}, {})
    parameters: dict[int, str] = {}
    for name, inner, parts in _modules(node):
        if len(module.classes) >= _MOST_MODULES:
            return None
        module.classes[name] = inner.named
        for key, tensor in _tensors(parts.parameters, name):
            module.tensors[key] = tensor
            parameters.setdefault(id(tensor), key)
        for key, tensor in _tensors(parts.buffers, name):
            kept = module.unsaved if key.rpartition(".")[2] in parts.transient else module.tensors
            kept[key] = tensor
    return module._replace(parameters=tuple(parameters.values()))


def _modules(root: Opaque) -> Iterator[tuple[str, Opaque, _Parts]]:
    """Every submodule with its dotted name, itself before its children; a module is not entered again inside itself."""
    stack: list[tuple[str, Value, frozenset[int]]] = [("", root, frozenset())]
    while stack:
        name, node, around = stack.pop()
        parts = _parts(node)
        if parts is None or not isinstance(node, Opaque) or id(node) in around:
            continue
        yield name, node, parts
        within = around | {id(node)}
        children = [(_dotted(name, key), child, within) for key, child in parts.modules.items if isinstance(key, str)]
        stack.extend(reversed(children))


def _parts(node: Value) -> _Parts | None:
    state = node.state() if isinstance(node, Opaque) else None
    if not isinstance(state, Dict):
        return None
    parameters, buffers, modules = (state.get(name) for name in ("_parameters", "_buffers", "_modules"))
    if not (isinstance(parameters, Dict) and isinstance(buffers, Dict) and isinstance(modules, Dict)):
        return None
    transient = state.get("_non_persistent_buffers_set")
    names = transient.items if isinstance(transient, Set) else []
    return _Parts(parameters, buffers, modules, frozenset(name for name in names if isinstance(name, str)))


def _tensors(held: Dict, module: str) -> Iterator[tuple[str, Tensor | Composite]]:
    for key, value in held.items:
        if isinstance(key, str) and isinstance(
            value, Tensor | Composite
        ):  # None stands for a tensor that was not given
            yield _dotted(module, key), value


def _dotted(module: str, key: str) -> str:
    return f"{module}.{key}" if module else key
