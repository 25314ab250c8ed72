"""Storages and tensors: torch's persistent ids and rebuild calls, checked against each other before anyone believes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import prod

from ckptlint.core.dtype import BY_STORAGE, BY_TORCH, DType
from ckptlint.core.tree import (
    Call,
    Composite,
    Dict,
    Global,
    List,
    Node,
    Opaque,
    Persistent,
    Storage,
    Tensor,
    Tuple,
    Value,
    Wrap,
)
from ckptlint.formats.pickles.composites import COMPOSITE_MAKERS, around
from ckptlint.formats.pickles.names import modern
from ckptlint.formats.pickles.state import Maker, State
from ckptlint.formats.pickles.tensor_numbers import MOST, sizes

_KEY = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_UNTYPED = ("UntypedStorage", "_UntypedStorage")
_BYTE = BY_TORCH["uint8"]
_OF_SCRIPTS = {
    f"{name}Storage": BY_TORCH[name.lower()]
    for name in (
        *("UInt16", "UInt32", "UInt64", "Bits8", "Bits16", "Bits1x8", "Bits2x4", "Bits4x2", "Float4_e2m1fn_x2"),
        *(f"Float8_{kind}" for kind in ("e4m3fn", "e5m2", "e4m3fnuz", "e5m2fnuz", "e8m0fnu")),
    )
} | {"ComplexHalfStorage": BY_TORCH["complex32"]}


def persistent(state: State, pid: Value, position: int) -> Value:
    """Return what a persistent id stands for: a storage, the class of a pickled module, or an id we do not know."""
    if state.objects is not None:
        return _kept_outside(state, state.objects, pid, position)
    if type(pid) is Tuple and len(pid.items) >= 4:
        if pid.items[0] == "storage":
            return _storage(state, pid, position)
        if pid.items[0] == "module" and type(pid.items[1]) is Global:
            return pid.items[1]  # torch's old format stores the class with its source text
    return Persistent(pid)


def _kept_outside(state: State, objects: Mapping[str, Node], pid: Value, position: int) -> Value:
    """The object that the file keeps under a key, or the class that it stores with its source text."""
    if type(pid) is Tuple and pid.items and type(pid.items[0]) is Global:
        return pid.items[0]
    found = objects.get(str(pid)) if isinstance(pid, int | str) else None
    if found is None:
        raise state.fail(f"there is no object {str(pid)[:40]!a} beside the pickle", position - 1)
    return found


def _storage(state: State, pid: Tuple, position: int) -> Value:
    items = pid.items
    if len(items) not in {5, 6}:
        raise state.fail(f"a storage is described by {len(items)} values", position - 1)
    dtype = storage_dtype(items[1])
    if dtype is None:
        raise state.fail("a storage is of an unknown class", position - 1)
    key, location, numel = items[2:5]
    if type(key) is not str or _KEY.fullmatch(key) is None:
        raise state.fail(f"{str(key)[:40]!a} is not the name of a storage", position - 1)
    if type(location) is not str or type(numel) is not int or not 0 <= numel <= MOST // 16:
        raise state.fail(f"storage {key} has no location or an impossible length", position - 1)
    owner = None if _is_scripts(items[1]) else items[1]
    made = Storage(key, dtype, _elements(dtype, numel), location, made_by=owner)  # type: ignore[arg-type]  # a Global, or it had no dtype
    known = _same(state, made, position)
    return known if len(items) == 5 or items[5] is None else Persistent(pid)


def _elements(dtype: DType, counted: int) -> int:
    """A length as torch counts it, in elements: of those that share a byte it counts the bytes."""
    return counted * 8 // dtype.bits if dtype.bits < 8 else counted


def _same(state: State, made: Storage, position: int) -> Storage:
    """The storage that the file has under this key already, which must be like this one."""
    known = state.storages.setdefault(made.key, made)
    if known.dtype is made.dtype and known.numel == made.numel:
        return known
    if known.numel == made.numel == 0:
        made.start = 0  # torch remembers no empty storage, so that each use may have another type
        return made
    raise state.fail(
        f"storage {made.key} is {made.numel} elements of {made.dtype} here and {known.numel} of {known.dtype} before",
        position - 1,
    )


def storage_dtype(owner: Value) -> DType | None:
    """Return the element type of a storage class, bytes for an untyped one; None where it is no such class."""
    if type(owner) is Global and (owner.module == "torch" or owner.module.startswith("torch.")):
        return _BYTE if owner.name in _UNTYPED else BY_STORAGE.get(owner.name) or _OF_SCRIPTS.get(owner.name)
    return None


def _is_scripts(owner: Value) -> bool:
    """Whether only TorchScript has this class: Python has none of its name, and holds such elements untyped."""
    return type(owner) is Global and owner.name in _OF_SCRIPTS


def _view(state: State, pid: Tuple, position: int) -> tuple[Storage, int, int]:
    """A part of a storage under a name of its own, as files of 2017 have it: (key, first element, elements)."""
    view = pid.items[5]
    storage = state.storages[str(pid.items[2])]
    if type(view) is Tuple and len(view.items) == 3:
        _, first, numel = view.items
        if type(first) is int and type(numel) is int and first >= 0 <= numel <= storage.numel - first:
            return storage, first, numel
    raise state.fail(f"the view of storage {storage.key} lies outside of it", position - 1)


def _is_view(pid: Tuple) -> bool:
    return len(pid.items) == 6 and pid.items[0] == "storage"


def _room(state: State, value: Value, position: int) -> tuple[Storage, int, int] | None:
    """Return the run a tensor may lie in as (storage, first element, elements); None where it is no storage of this file."""
    if type(value) is Persistent and type(value.pid) is Tuple and _is_view(value.pid):
        return _view(state, value.pid, position)
    if isinstance(value, Opaque | Persistent | Global):
        return None
    raise state.fail(f"a tensor lies in a {type(value).__name__}, not in a storage", position - 1)


def span(shape: tuple[int, ...], stride: tuple[int, ...]) -> int:
    """Return how many elements lie between a tensor's first and its last, both counted; more than any storage has, where torch
    could not count the elements themselves.
    """
    if 0 in shape:
        return 0
    last = 1
    for size, step in zip(shape, stride, strict=True):
        last += (size - 1) * step
    return last if prod(shape) <= MOST else MOST


def _strided(state: State, values: tuple[Value, ...], dtype: DType | None, position: int) -> Tensor | None:
    """Return the tensor of (storage, offset, size, stride); None where it lies in something unknown."""
    storage, offset = values[:2]
    first = 0
    if type(storage) is Storage:
        elements = storage.numel
    else:
        room = _room(state, storage, position)
        if room is None:
            return None
        storage, first, elements = room
    shape = sizes(state, values[2], "size", position)
    stride = sizes(state, values[3], "stride", position)
    if type(offset) is not int or not 0 <= offset <= MOST:
        raise state.fail("a tensor has an impossible offset", position - 1)
    if len(shape) != len(stride):
        raise state.fail(f"a tensor has not as many strides as sizes: {len(stride)} for {len(shape)}", position - 1)
    if dtype is None:
        dtype = storage.dtype
    elif dtype is not storage.dtype:
        elements = storage.dtype.nbytes(elements) * 8 // dtype.bits
    spanned = span(shape, stride)
    if spanned and offset + spanned > elements:
        raise state.fail(
            f"a tensor of shape {list(shape)} and stride {list(stride)} from element {offset} reaches beyond "
            f"storage {storage.key}, which has room for {elements}",
            position - 1,
        )
    return Tensor(storage, dtype, shape, stride, offset + first)


def _is_plain(hooks: Value) -> bool:
    return type(hooks) is Dict and not hooks.items and hooks.made_by is not None and hooks.state is None


def _finish(state: State, tensor: Tensor, values: tuple[Value, ...], position: int) -> Tensor:
    """Add what follows the geometry: (requires_grad, hooks[, metadata])."""
    if type(values[0]) is not bool:
        raise state.fail("a tensor's requires_grad is neither true nor false", position - 1)
    tensor.requires_grad = values[0]
    if len(values) > 2 or not _is_plain(values[1]):
        tensor.wrap = Wrap("tensor", values[1:])
    return tensor


def _tensor_v1(state: State, function: Global, arguments: Tuple, position: int) -> Value:
    if len(arguments.items) != 4:
        raise state.fail("a tensor is not described by 4 values", position - 1)
    tensor = _strided(state, arguments.items, None, position)
    return Opaque(Call(function, arguments)) if tensor is None else tensor


def tensor_v2(state: State, function: Global, arguments: Tuple, position: int) -> Value:
    items = arguments.items
    if len(items) not in {6, 7}:
        raise state.fail("a tensor is not described by 6 or 7 values", position - 1)
    tensor = _strided(state, items, None, position)
    return Opaque(Call(function, arguments)) if tensor is None else _finish(state, tensor, items[4:], position)


def _tensor_v3(state: State, function: Global, arguments: Tuple, position: int) -> Value:
    items = arguments.items
    if len(items) not in {7, 8}:
        raise state.fail("a tensor is not described by 7 or 8 values", position - 1)
    named = items[6]
    dtype = BY_TORCH.get(named.name) if type(named) is Global and named.module == "torch" else None
    if dtype is None and type(named) is not Global:
        raise state.fail("a tensor has something else than a dtype for its dtype", position - 1)
    tensor = _strided(state, items, dtype, position) if dtype is not None else None
    if tensor is None:
        return Opaque(Call(function, arguments))
    return _finish(state, tensor, (*items[4:6], *items[7:]), position)


def _quantized(state: State, function: Global, arguments: Tuple, position: int) -> Value:
    """`_rebuild_qtensor(storage, offset, size, stride, quantizer, requires_grad, hooks)`: what is stored are the integers."""
    items = arguments.items
    if len(items) != 7:
        raise state.fail("a quantized tensor is not described by 7 values", position - 1)
    tensor = _strided(state, items, None, position)
    if tensor is None or not isinstance(items[4], Tuple) or not items[4].items:
        return Opaque(Call(function, arguments))
    if type(items[5]) is not bool:
        raise state.fail("a tensor's requires_grad is neither true nor false", position - 1)
    _check_quantizer(state, items[4], tensor, position)
    tensor.requires_grad = items[5]
    tensor.wrap = Wrap("quantized", (items[4], items[6]))
    return tensor


def _check_quantizer(state: State, quantizer: Tuple, tensor: Tensor, position: int) -> None:
    """Channels are counted along one dimension; torch does not look whether there are as many as elements."""
    if len(quantizer.items) != 4:
        return
    _, scales, zeros, axis = quantizer.items
    if type(axis) is not int or not 0 <= axis < len(tensor.shape):
        raise state.fail("a tensor is quantized along a dimension that it does not have", position - 1)
    for each in (scales, zeros):
        length = prod(each.shape) if isinstance(each, Tensor) else len(each.items) if isinstance(each, List) else None
        if length != tensor.shape[axis]:
            raise state.fail(
                f"a tensor has {length} scales or zero points for {tensor.shape[axis]} channels", position - 1
            )


def _wrapped(tensor: Tensor, kind: str, arguments: tuple[Value, ...]) -> Tensor:
    """Return another tensor over the same data, with a wrap around."""
    outer = Tensor(tensor.storage, tensor.dtype, tensor.shape, tensor.stride, tensor.offset)
    outer.requires_grad = tensor.requires_grad
    outer.wrap = Wrap(kind, arguments, tensor.wrap)
    return outer


def _parameter(state: State, function: Global, arguments: Tuple, position: int) -> Value:
    expected = 4 if function.name == "_rebuild_parameter_with_state" else 3
    if len(arguments.items) != expected:
        raise state.fail(f"a parameter is not described by {expected} values", position - 1)
    inner, requires_grad = arguments.items[:2]
    if not isinstance(inner, Tensor | Composite):
        return Opaque(Call(function, arguments))
    if type(requires_grad) is not bool:
        raise state.fail("a parameter's requires_grad is neither true nor false", position - 1)
    outer: Tensor | Composite
    if isinstance(inner, Composite):
        outer = around(function, arguments, inner)
    else:
        kind = "parameter_with_state" if expected == 4 else "parameter"
        outer = _wrapped(inner, kind, arguments.items[1:])
    outer.requires_grad = requires_grad
    return outer


def _subclass(state: State, function: Global, arguments: Tuple, position: int) -> Value:
    """`_rebuild_from_type_v2(function, class, arguments, state)`: the inner call is given in parts."""
    items = arguments.items
    if len(items) != 4 or type(items[0]) is not Global or type(items[2]) is not Tuple:
        return Opaque(Call(function, arguments))
    state.called.add(items[0])
    maker = _INNER.get(modern(items[0].module, items[0].name))
    inner = None if maker is None else maker(state, items[0], items[2], position)
    if isinstance(inner, Composite):
        return around(function, arguments, inner, items[3])
    if type(inner) is not Tensor:
        return Opaque(Call(function, arguments))
    kind = "subclass" if function.name == "_rebuild_from_type_v2" else "subclass_v1"
    return _wrapped(inner, kind, (items[1], items[3]))


_UTILS = "torch._utils"
_INNER: dict[tuple[str, str], Maker] = {
    **COMPOSITE_MAKERS,
    (_UTILS, "_rebuild_tensor"): _tensor_v1,
    (_UTILS, "_rebuild_tensor_v2"): tensor_v2,
    (_UTILS, "_rebuild_tensor_v3"): _tensor_v3,
    (_UTILS, "_rebuild_parameter"): _parameter,
    (_UTILS, "_rebuild_parameter_with_state"): _parameter,
    (_UTILS, "_rebuild_qtensor"): _quantized,
}
TENSOR_MAKERS: dict[tuple[str, str], Maker] = {
    **_INNER,
    ("torch._tensor", "_rebuild_from_type"): _subclass,
    ("torch._tensor", "_rebuild_from_type_v2"): _subclass,
}
