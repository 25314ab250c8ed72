"""Tensors that are no strided run of elements: sparse, nested, on the meta device, from another device, and wrappers around others.

Each keeps its construction, so that it is written back as it was; what it is for the reader is its dtype, its shape and the dense tensors
in it. Where the call is not one that torch makes, the object stays opaque: nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Iterator

from ckptlint.core.dtype import BY_TORCH, DType
from ckptlint.core.spec import TensorSpec
from ckptlint.core.tree import Call, Composite, Dict, Global, Opaque, Tensor, Tuple, Value
from ckptlint.formats.pickles.state import Maker, State
from ckptlint.formats.pickles.tensor_numbers import sizes

_SPARSE: dict[str, tuple[str, ...]] = {
    "torch.sparse_coo": ("indices", "values"),
    "torch.sparse_csr": ("crow_indices", "col_indices", "values"),
    "torch.sparse_csc": ("ccol_indices", "row_indices", "values"),
    "torch.sparse_bsr": ("crow_indices", "col_indices", "values"),
    "torch.sparse_bsc": ("ccol_indices", "row_indices", "values"),
}
_NESTED = ("values", "sizes", "strides", "offsets")
_DEEP = 2  # a state is a dict, or (dict, slots): how deep its tensors lie


def sparse(state: State, function: Global, arguments: Tuple, position: int) -> Value:
    """`_rebuild_sparse_tensor(layout, (indices, values, size[, is_coalesced]) | (compressed, plain, values, size))`."""
    call = Call(function, arguments)
    layout = _layout(arguments.items[0]) if len(arguments.items) == 2 else ""
    held = arguments.items[1] if layout else None
    if not isinstance(held, Tuple):
        return Opaque(call)
    names = _SPARSE.get(layout)
    if names is None or not len(names) < len(held.items) <= 4:
        raise state.fail(f"a sparse tensor of layout {layout} is described by {len(held.items)} values", position - 1)
    parts = _named(names, held.items)
    if parts is None:
        return Opaque(call)
    spec = TensorSpec(parts[-1][1].dtype, sizes(state, held.items[len(names)], "size", position))
    return Composite(call, spec, layout.removeprefix("torch."), parts)


def _layout(value: Value) -> str:
    """A layout's name: torch pickles it as the call that looks it up, other picklers as the global itself."""
    if isinstance(value, Opaque) and value.named == "torch.serialization._get_layout":
        arguments = value.call.arguments
        name = arguments.items[0] if isinstance(arguments, Tuple) and len(arguments.items) == 1 else None
        return name if isinstance(name, str) else ""
    return str(value) if isinstance(value, Global) else ""


def _named(names: tuple[str, ...], values: tuple[Value, ...]) -> tuple[tuple[str, Tensor], ...] | None:
    parts = [(name, value) for name, value in zip(names, values, strict=False) if isinstance(value, Tensor)]
    return tuple(parts) if len(parts) == len(names) else None


def nested(state: State, function: Global, arguments: Tuple, position: int) -> Value:
    """`_rebuild_nested_tensor(buffer, sizes, strides, offsets)`: ragged, so its buffer's shape stands for its own."""
    del state, position
    call = Call(function, arguments)
    parts = _named(_NESTED, arguments.items) if len(arguments.items) == len(_NESTED) else None
    return Opaque(call) if parts is None else Composite(call, parts[0][1].spec, "nested", parts)


def jagged(state: State, function: Global, arguments: Tuple, position: int) -> Value:
    """`_rebuild_njt(keywords)`: ragged along one dimension; its values' shape stands for its own."""
    del state, position
    call = Call(function, arguments)
    keywords = arguments.items[0] if len(arguments.items) == 1 else None
    parts = tuple(_tensors_of(keywords)) if isinstance(keywords, Dict) else ()
    values = dict(parts).get("values")
    return Opaque(call) if values is None else Composite(call, values.spec, "jagged", parts)


def meta(state: State, function: Global, arguments: Tuple, position: int) -> Value:
    """`_rebuild_meta_tensor_no_storage(dtype, size, stride, requires_grad)`: there are no values anywhere."""
    items = arguments.items
    dtype = _dtype(items[0]) if len(items) == 4 else None
    if dtype is None:
        return Opaque(Call(function, arguments))
    shape = sizes(state, items[1], "size", position)
    if len(sizes(state, items[2], "stride", position)) != len(shape):
        raise state.fail("a tensor on meta has not as many strides as sizes", position - 1)
    return _graded(Composite(Call(function, arguments), TensorSpec(dtype, shape), "meta"), items[3])


def from_device(state: State, function: Global, arguments: Tuple, position: int) -> Value:
    """`_rebuild_device_tensor_from_cpu_tensor(tensor, dtype, device, requires_grad)`, also from a numpy array."""
    items = arguments.items
    dtype = _dtype(items[1]) if len(items) == 4 else None
    if dtype is None or not isinstance(items[2], str):
        return Opaque(Call(function, arguments))
    data = items[0]
    if isinstance(data, Tensor):
        made = Composite(Call(function, arguments), TensorSpec(dtype, data.shape), items[2], (("data", data),))
        return _graded(made, items[3])
    shape = _array_shape(state, data, position)
    if shape is None:
        return Opaque(Call(function, arguments))
    return _graded(Composite(Call(function, arguments), TensorSpec(dtype, shape), items[2]), items[3])


def _array_shape(state: State, array: Value, position: int) -> tuple[int, ...] | None:
    """The shape of a pickled numpy array, whose state is (version, shape, dtype, is_fortran, content)."""
    given = array.state() if isinstance(array, Opaque) and array.named.startswith("numpy.") else None
    if not isinstance(given, Tuple) or len(given.items) != 5:
        return None
    return sizes(state, given.items[1], "shape", position)


def wrapper(state: State, function: Global, arguments: Tuple, position: int) -> Value:
    """`_rebuild_wrapper_subclass(class, dtype, size, stride, offset, layout, device, requires_grad)`; what it wraps is in its state."""
    items = arguments.items
    dtype = _dtype(items[1]) if len(items) == 8 else None
    if dtype is None or not isinstance(items[0], Global):
        return Opaque(Call(function, arguments))
    shape = sizes(state, items[2], "size", position)
    return _graded(Composite(Call(function, arguments), TensorSpec(dtype, shape), str(items[0])), items[7])


def _graded(made: Composite, requires_grad: Value) -> Composite:
    made.requires_grad = requires_grad is True
    return made


def _dtype(value: Value) -> DType | None:
    return BY_TORCH.get(value.name) if isinstance(value, Global) and value.module == "torch" else None


def around(function: Global, arguments: Tuple, inner: Composite, given: Value = None) -> Composite:
    """The same tensor with a call more around it, which gives it a state: a parameter, or an object of a subclass."""
    known = {name for name, _ in inner.parts}
    parts = (*inner.parts, *((name, part) for name, part in _tensors_of(given) if name not in known))
    outer = Composite(Call(function, arguments), inner.spec, inner.layout, parts)
    outer.requires_grad = inner.requires_grad
    return outer


def _tensors_of(given: Value, depth: int = _DEEP) -> Iterator[tuple[str, Tensor]]:
    """The tensors that a state holds under their attributes' names."""
    if isinstance(given, Dict):
        yield from ((key, value) for key, value in given.items if isinstance(key, str) and isinstance(value, Tensor))
    elif isinstance(given, Tuple) and depth:
        for item in given.items:
            yield from _tensors_of(item, depth - 1)


_UTILS = "torch._utils"
COMPOSITE_MAKERS: dict[tuple[str, str], Maker] = {
    (_UTILS, "_rebuild_sparse_tensor"): sparse,
    (_UTILS, "_rebuild_nested_tensor"): nested,
    ("torch.nested._internal.nested_tensor", "_rebuild_njt"): jagged,
    (_UTILS, "_rebuild_meta_tensor_no_storage"): meta,
    (_UTILS, "_rebuild_device_tensor_from_cpu_tensor"): from_device,
    (_UTILS, "_rebuild_device_tensor_from_numpy"): from_device,
    (_UTILS, "_rebuild_xla_tensor"): from_device,
    (_UTILS, "_rebuild_wrapper_subclass"): wrapper,
}
