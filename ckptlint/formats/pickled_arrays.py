"""NumPy arrays in a pickle as tensors, where plain containers hold them; in objects of other classes they stay what they are.

An array's elements are where the pickle left them, in the file or in memory. Read are: `_reconstruct` with its state (all protocols),
`_frombuffer` (protocol 5), JAX's arrays, which wrap the first, and joblib's, whose elements lie behind their description.
Arrays of what torch has no type for (texts, dates, records, Python objects) stay opaque.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Final, NamedTuple

from ckptlint.core.dtype import BY_TORCH, DType
from ckptlint.core.spec import contiguous
from ckptlint.core.tree import Bytes, Dict, Global, List, Node, Opaque, Set, Storage, Tensor, Tuple, Value
from ckptlint.errors import FormatError
from ckptlint.formats.attributes import attributes
from ckptlint.formats.left_in_file import Behind, Left
from ckptlint.formats.pickles.machine import children
from ckptlint.formats.pickles.names import modern
from ckptlint.formats.pickles.state import State
from ckptlint.formats.pickles.tensor_numbers import MOST

_CODES: Final = {
    **{f"f{width}": f"float{8 * width}" for width in (2, 4, 8)},
    **{f"i{width}": f"int{8 * width}" for width in (1, 2, 4, 8)},
    **{f"u{width}": f"uint{8 * width}" for width in (1, 2, 4, 8)},
    **{f"c{width}": f"complex{8 * width}" for width in (8, 16)},
    "b1": "bool",
}
_RECONSTRUCT: Final = {("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")}
_FROM_BUFFER: Final = {("numpy.core.numeric", "_frombuffer"), ("numpy._core.numeric", "_frombuffer")}
_JAX: Final = {
    ("jax._src.array", "_reconstruct_array"),
    ("jax._src.device_array", "reconstruct_device_array"),
    ("jax.interpreters.xla", "reconstruct_device_array"),
}
_ARRAY_CLASSES: Final = {("numpy", "ndarray")}
_MOST_AXES: Final = 64
_REFERENCES: Final = 1  # flag of a type of numpy's: it holds Python objects
_STATE = 5  # version, shape, dtype, whether by columns, content


class Elements(NamedTuple):
    """An array: where its elements are, and what they are."""

    content: Value  # Left, Behind, bytes, Bytes, or text of latin-1
    dtype: DType
    swapped: bool
    shape: tuple[int, ...]
    stride: tuple[int, ...]


Locate = Callable[[Value, int], "tuple[int, int] | None"]


def find_dtype(value: Value) -> tuple[DType, bool] | None:
    """Return the type that a pickled `numpy.dtype` is, and whether it is big-endian; None where torch has none like it."""
    if not isinstance(value, Opaque) or _named(value.call.function) != ("numpy", "dtype"):
        return None
    arguments = value.call.arguments
    code = arguments.items[0] if isinstance(arguments, Tuple) and arguments.items else None
    if isinstance(code, Global):  # a type of ml_dtypes
        found = BY_TORCH.get(code.name) if code.module.startswith("ml_dtypes") else None
    else:
        found = BY_TORCH.get(_CODES.get(code, "")) if isinstance(code, str) else None
    if found is None:
        return None
    state = value.state()
    order = state.items[1] if isinstance(state, Tuple) and len(state.items) > 1 else "<"
    return found, order == ">"


def describes_array(value: Opaque) -> bool:
    """Whether an object is joblib's description of an array that lies behind it."""
    return ".".join(_named(value.call.function)) == "joblib.numpy_pickle.NumpyArrayWrapper"  # however it is cut in two


def holds_objects(described: Opaque) -> bool:
    """Whether joblib's description is of an array of Python objects, or of rows with such: a pickle of its own lies behind it."""
    dtype = attributes(described).get("dtype")
    if not isinstance(dtype, Opaque) or _named(dtype.call.function) != ("numpy", "dtype"):
        return False
    arguments, state = dtype.call.arguments, dtype.state()
    code = arguments.items[0] if isinstance(arguments, Tuple) and arguments.items else None
    flags = state.items[7] if isinstance(state, Tuple) and len(state.items) > 7 else 0
    return (isinstance(code, str) and code[:1] == "O") or (type(flags) is int and flags & _REFERENCES != 0)


def joblib_array(state: State, described: Opaque, position: int) -> tuple[int, bool]:
    """Return how many bytes lie behind joblib's description of an array, and whether a padding stands before them."""
    fields = attributes(described)
    width, shape = _width(fields.get("dtype")), _shape(fields.get("shape"))
    if width is None or shape is None:
        raise state.fail("joblib stored an array of an unknown type, whose end nobody knows", position)
    return prod(shape) * width, fields.get("numpy_array_alignment_bytes") is not None


def _width(dtype: Value) -> int | None:
    """Bytes of an element, of any type whose pickled name ends with them (`f4`, `S10`, `V16`)."""
    arguments = dtype.call.arguments if isinstance(dtype, Opaque) else None
    code = arguments.items[0] if isinstance(arguments, Tuple) and arguments.items else None
    if not isinstance(code, str) or code[:1] not in "fiucbSVUmM" or not code[1:].isdecimal() or len(code) > 10:
        return None
    return int(code[1:]) * (4 if code[0] == "U" else 1)


def _named(value: Value) -> tuple[str, str]:
    return modern(value.module, value.name) if isinstance(value, Global) else ("", "")


def _shape(value: Value) -> tuple[int, ...] | None:
    if not isinstance(value, Tuple | List) or len(value.items) > _MOST_AXES:
        return None
    sizes = tuple(size for size in value.items if type(size) is int and 0 <= size <= MOST)
    return sizes if len(sizes) == len(value.items) and prod(sizes) <= MOST >> 5 else None


class Arrays:
    """Puts tensors in place of arrays. `locate` says where content lies, as (part, start), None where it has not that length."""

    def __init__(
        self, behind: Mapping[int, Behind], locate: Locate, restore: Callable[[Left], Value], where: str
    ) -> None:
        self._behind = behind
        self._locate = locate
        self._restore = restore
        self._where = where
        self._made: dict[int, Value] = {}
        self._alive: list[Node] = []  # whose identities are remembered
        self.storages: list[Storage] = []

    def replace(self, root: Value) -> Value:
        """Return the tree with tensors in its containers, and nothing left in the file but their elements."""
        top = self._in_containers(root)
        return self._everywhere(top)

    def _in_containers(self, root: Value) -> Value:
        top = self._tensor_for(root)
        pending, seen = [top], set[int]()
        while pending:
            node = pending.pop()
            if not isinstance(node, Dict | List | Tuple) or id(node) in seen:
                continue
            seen.add(id(node))
            if isinstance(node, Dict):
                node.items[:] = [(key, self._tensor_for(value)) for key, value in node.items]
                pending.extend(value for _, value in node.items)
                continue
            values = [self._tensor_for(value) for value in node.items]
            if isinstance(node, List):
                node.items[:] = values
            else:
                node.items = tuple(values)
            pending.extend(values)
        return top

    def _everywhere(self, root: Value) -> Value:
        top = self._restored(root)
        pending, seen = [top], set[int]()
        while pending:
            node = pending.pop()
            if isinstance(node, Node) and id(node) not in seen:
                seen.add(id(node))
                self._restore_inside(node)
                pending.extend(children(node))
        return top

    def _restore_inside(self, node: Node) -> None:
        swap = self._restored
        if isinstance(node, Dict):
            node.items[:] = [(swap(key), swap(value)) for key, value in node.items]
            node.state = swap(node.state)
        elif isinstance(node, List | Set):
            node.items[:] = map(swap, node.items)
        elif isinstance(node, Tuple):
            node.items = tuple(map(swap, node.items))
        elif isinstance(node, Opaque):
            node.call.arguments = swap(node.call.arguments)
            node.changes[:] = [(change[0], *map(swap, change[1:])) for change in node.changes]
        elif isinstance(node, Tensor) and node.wrap is not None:
            node.wrap.arguments = tuple(map(swap, node.wrap.arguments))

    def _restored(self, value: Value) -> Value:
        if not isinstance(value, Left):
            return value
        if id(value) not in self._made:
            self._alive.append(value)
            self._made[id(value)] = self._restore(value)
        return self._made[id(value)]

    def _tensor_for(self, value: Value) -> Value:
        if not isinstance(value, Opaque):
            return value
        if id(value) not in self._made:
            found = self._elements(value)
            self._alive.append(value)
            self._made[id(value)] = value if found is None else self._tensor(found)
        return self._made[id(value)]

    def _elements(self, value: Opaque) -> Elements | None:
        function = _named(value.call.function)
        arguments = value.call.arguments
        items = arguments.items if isinstance(arguments, Tuple) else ()
        if id(value) in self._behind:
            return self._behind_description(value)
        if function in _RECONSTRUCT and items and _named(items[0]) in _ARRAY_CLASSES:
            return _described(value.state())
        if function in _JAX and len(items) == 4 and _named(items[0]) in _RECONSTRUCT:
            return _described(items[2])
        return _from_buffer(items) if function in _FROM_BUFFER else None

    def _behind_description(self, value: Opaque) -> Elements | None:
        fields = value.state()
        if not isinstance(fields, Dict) or _named(fields.get("subclass")) not in _ARRAY_CLASSES:
            return None
        return _checked(self._behind[id(value)], fields.get("dtype"), fields.get("shape"), fields.get("order") == "F")

    def _tensor(self, found: Elements) -> Tensor:
        numel = prod(found.shape)
        place = self._locate(found.content, found.dtype.nbytes(numel))
        if place is None:
            raise FormatError(
                f"has an array of {found.dtype}{list(found.shape)} whose content has another length",
                where=self._where,
                hint="the file is damaged; fetch it again",
            )
        storage = Storage(str(len(self.storages)), found.dtype, numel)
        storage.part, storage.start = place
        storage.swapped = found.swapped and found.dtype.bits > 8
        self.storages.append(storage)
        return Tensor(storage, found.dtype, found.shape, found.stride)


def _from_buffer(items: tuple[Value, ...]) -> Elements | None:
    """An array by what `_frombuffer(content, dtype, shape, order[, axes])` is given."""
    if len(items) not in {4, 5}:
        return None
    content, dtype, shape, order = items[:4]
    found = _checked(content, dtype, shape, order == "F")
    return _turned(found, items[4]) if order == "K" and len(items) > 4 else found


def _described(state: Value) -> Elements | None:
    """An array by the state that `_reconstruct` is built with; older ones have no version before it."""
    if not isinstance(state, Tuple) or len(state.items) not in {_STATE - 1, _STATE}:
        return None
    shape, dtype, by_columns, content = state.items[-4:]
    return _checked(content, dtype, shape, by_columns is True or by_columns == 1)


def _checked(content: Value, dtype: Value, shape: Value, by_columns: bool) -> Elements | None:  # noqa: FBT001  a fact of the array
    known, sizes = find_dtype(dtype), _shape(shape)
    if known is None or sizes is None or not isinstance(content, Left | Behind | bytes | Bytes | str):
        return None
    stride = contiguous(sizes[::-1])[::-1] if by_columns else contiguous(sizes)
    return Elements(content, *known, sizes, stride)


def _turned(found: Elements | None, order: Value) -> Elements | None:
    """The array with its axes in another order, as NumPy 2 pickles what is dense and neither by rows nor by columns."""
    axes = order.items if isinstance(order, Tuple | List) else ()
    if found is None or sorted(axis for axis in axes if type(axis) is int) != list(range(len(found.shape))):
        return None
    picked = [axis for axis in axes if type(axis) is int]
    shape, stride = (tuple(sizes[axis] for axis in picked) for sizes in (found.shape, found.stride))
    return found._replace(shape=shape, stride=stride) if len(picked) == len(axes) else None
