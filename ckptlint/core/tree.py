"""What a checkpoint holds, as nodes: nothing in it is ever called, and all of it can be written back.

A value is a scalar (`None`, `bool`, `int`, `float`, `complex`, `str`, `bytes`) or a `Node`. Nodes have identity: the same node
in two places is one shared object, and cycles are legal, so whoever walks a tree keeps a set of the nodes on the path.
These are the only mutable nouns: a pickle builds its objects first and fills them later, and the nodes must follow it. Once
a reader has returned a tree, nobody changes it; a writer is given a new tree that shares what is unchanged.
Plain slotted classes, not dataclasses: a large checkpoint has a million of them, and nodes compare by identity.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import TypeAlias

from ckptlint.core.dtype import DType
from ckptlint.core.spec import TensorSpec, contiguous


class Node:
    """Anything in a tree that is not a scalar."""

    __slots__ = ()


class Global(Node):
    """The name of a class or function (`collections.OrderedDict`), never looked up."""

    __slots__ = ("module", "name")

    def __init__(self, module: str, name: str) -> None:
        self.module = module
        self.name = name

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class Dict(Node):
    """A dict, or one of the known dict classes; items stay in file order, a key may be any value.

    `made_by` is the call that made it (None: a plain dict), for instance `collections.OrderedDict` without arguments, or
    `collections.defaultdict` with its factory; `state` the attributes set on it, where torch keeps a state dict's `_metadata`.
    """

    __slots__ = ("items", "made_by", "state")

    def __init__(self, items: list[tuple[Value, Value]], made_by: Call | None = None, state: Value = None) -> None:
        self.items = items
        self.made_by = made_by
        self.state = state

    def get(self, key: Value) -> Value:
        """Return the last value stored under a scalar key, None where there is none."""
        return next((v for k, v in reversed(self.items) if type(k) is type(key) and k == key), None)


class List(Node):
    """A list."""

    __slots__ = ("items",)

    def __init__(self, items: list[Value]) -> None:
        self.items = items


class Tuple(Node):
    """A tuple, or a known tuple class: then `made_by` is that class, for instance `torch.Size`."""

    __slots__ = ("items", "made_by")

    def __init__(self, items: tuple[Value, ...], made_by: Global | None = None) -> None:
        self.items = items
        self.made_by = made_by


class Set(Node):
    """A set or frozenset, in file order."""

    __slots__ = ("frozen", "items")

    def __init__(self, items: list[Value], *, frozen: bool = False) -> None:
        self.items = items
        self.frozen = frozen


class Bytes(Node):
    """A bytearray: mutable, so it has identity, unlike `bytes`."""

    __slots__ = ("content",)

    def __init__(self, content: bytes) -> None:
        self.content = content


class Call:
    """How an object was asked for: `function(*arguments, **keywords)`, or `function.__new__(...)` where `new`."""

    __slots__ = ("arguments", "function", "keywords", "new")

    def __init__(self, function: Value, arguments: Value, keywords: Value = None, *, new: bool = False) -> None:
        self.function = function
        self.arguments = arguments
        self.keywords = keywords
        self.new = new


class Opaque(Node):
    """An object of a class we do not know: its construction, in the order the file gave it.

    `changes` are what was done to it afterwards: `("append", value)`, `("item", key, value)`, `("add", value)`, `("build", state)`,
    `("apply", function, state)` where a function set the state.
    """

    __slots__ = ("call", "changes")

    def __init__(self, call: Call, changes: list[tuple[Value, ...]] | None = None) -> None:
        self.call = call
        self.changes = [] if changes is None else changes

    @property
    def named(self) -> str:
        """Its class, or its callable where it is made by a function: `pkg.mod.Thing`."""
        maker = self.call.function
        arguments = self.call.arguments
        if (
            isinstance(maker, Global)
            and maker.name == "_reconstructor"
            and isinstance(arguments, Tuple)
            and arguments.items
        ):
            maker = arguments.items[0]  # copyreg's way to make an object in protocols 0 and 1: the class is an argument
        return str(maker) if isinstance(maker, Global) else "?"

    def state(self) -> Value:
        """What it stores: the last state it was built with, None where there is none."""
        return next((change[1] for change in reversed(self.changes) if change[0] == "build"), None)


class Composite(Opaque):
    """A tensor that is no strided run of stored elements, but has a dtype and a shape: sparse, nested, on meta, or a wrapper around others.

    `layout` says which (`sparse_csr`, `meta`, a wrapper class), `parts` are the dense tensors in it, by the names torch gives them. It
    keeps its construction like any opaque object.
    """

    __slots__ = ("dtype", "layout", "parts", "requires_grad", "shape")

    def __init__(self, call: Call, spec: TensorSpec, layout: str, parts: tuple[tuple[str, Tensor], ...] = ()) -> None:
        super().__init__(call)
        self.dtype = spec.dtype
        self.shape = spec.shape
        self.layout = layout
        self.parts = parts
        self.requires_grad = False

    @property
    def spec(self) -> TensorSpec:
        return TensorSpec(self.dtype, self.shape)

    @property
    def identity(self) -> tuple[object, ...]:
        """Equal for two names of one object."""
        return (id(self),)

    @property
    def lazy(self) -> tuple[str, ...]:
        """Why its elements cannot be computed with as they are stored."""
        return (self.layout,)


class Persistent(Node):
    """A persistent id that is not a storage of this file."""

    __slots__ = ("pid",)

    def __init__(self, pid: Value) -> None:
        self.pid = pid


class Storage(Node):
    """A run of bytes that tensors look into.

    `key` is its name in the file, `dtype` its element type (`u8` for untyped storages), `numel` its length in elements, `location`
    the device it was saved from. `start` is the offset of its first byte in the checkpoint's data source number `part` (a shard;
    0 where there is one file); `swapped` where its elements are big-endian. `made_by` keeps the storage class as the file names it.
    """

    __slots__ = ("dtype", "key", "location", "made_by", "numel", "part", "start", "swapped")

    def __init__(
        self, key: str, dtype: DType, numel: int, location: str = "cpu", *, made_by: Global | None = None
    ) -> None:
        self.key = key
        self.dtype = dtype
        self.numel = numel
        self.location = location
        self.made_by = made_by
        self.part = 0
        self.start = -1
        self.swapped = False

    @property
    def nbytes(self) -> int:
        return self.dtype.nbytes(self.numel)

    @property
    def count(self) -> int:
        """Its length as torch writes it: in elements; in bytes where elements share a byte, or where torch has no such storage."""
        typed = self.made_by is not None or self.dtype.storage
        return self.numel if typed and self.dtype.bits >= 8 else self.nbytes


_LAZY = ("conj", "neg")
_SCALED = "quantized"
_dense = lru_cache(maxsize=1 << 14)(contiguous)
_spec = lru_cache(maxsize=1 << 14)(TensorSpec)  # a checkpoint has many tensors and few specs


class Tensor(Node):
    """A strided view of a storage; `offset` and `stride` count elements of `dtype`.

    `wrap` is what the file puts around it beyond a plain tensor (parameter, subclass, hooks, attributes), None for a plain one.
    """

    __slots__ = ("dtype", "offset", "requires_grad", "shape", "storage", "stride", "wrap")

    def __init__(
        self, storage: Storage, dtype: DType, shape: tuple[int, ...], stride: tuple[int, ...], offset: int = 0
    ) -> None:
        self.storage = storage
        self.dtype = dtype
        self.shape = shape
        self.stride = stride
        self.offset = offset
        self.requires_grad = False
        self.wrap: Wrap | None = None

    @property
    def spec(self) -> TensorSpec:
        return _spec(self.dtype, self.shape)

    @property
    def identity(self) -> tuple[object, ...]:
        """Equal for two names of one tensor: same storage, offset, shape, stride and dtype."""
        return (id(self.storage), self.offset, self.shape, self.stride, self.dtype.name, *self.lazy)

    @property
    def lazy(self) -> tuple[str, ...]:
        """What torch still has to do to the stored elements when it reads them: `conj`, `neg`, `quantized` (scale them)."""
        found: list[str] = []
        wrap = self.wrap
        while wrap is not None:
            if wrap.kind == "tensor":
                bits = [each for each in wrap.arguments[1:] if isinstance(each, Dict)]
                found += [name for each in bits for name in _LAZY if each.get(name) is True]
            elif wrap.kind == _SCALED:
                found.append(_SCALED)
            wrap = wrap.inner
        return tuple(found)

    @property
    def numel(self) -> int:
        return prod(self.shape)

    @property
    def is_dense(self) -> bool:
        """Whether its strides are those that torch gives a new tensor; also of sizes 1, where they do not matter."""
        return self.stride == _dense(self.shape)

    @property
    def is_contiguous(self) -> bool:
        expected = contiguous(self.shape)
        return 0 in self.shape or all(
            size == 1 or have == want for size, have, want in zip(self.shape, self.stride, expected, strict=True)
        )


class Wrap:
    """The call around a tensor's data, `arguments` its arguments after the tensor, as the file has them.

    `kind` is `tensor` (hooks[, metadata]: torch's `conj` and `neg` bits), `parameter` (requires_grad, hooks), `parameter_with_state`
    (requires_grad, hooks, state), `quantized` (quantizer, hooks), `subclass` (class, state; `subclass_v1` in files before torch 1.9),
    `built` (state set afterwards). `inner` is the wrap inside it, if any.
    """

    __slots__ = ("arguments", "inner", "kind")

    def __init__(self, kind: str, arguments: tuple[Value, ...], inner: Wrap | None = None) -> None:
        self.kind = kind
        self.arguments = arguments
        self.inner = inner


Scalar: TypeAlias = "bool | int | float | complex | str | bytes | None"
Value: TypeAlias = "Scalar | Node"
