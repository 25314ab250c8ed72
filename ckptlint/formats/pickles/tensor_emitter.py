"""The bytes of storages and tensors as they are written: torch's persistent ids and rebuild calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from ckptlint.core.tree import Global, Storage, Tensor, Wrap
from ckptlint.errors import OutputError
from ckptlint.formats.pickles import opcodes as op
from ckptlint.formats.pickles.emitter import Emitter

TUPLES: Final = (op.TUPLE, op.TUPLE1, op.TUPLE2, op.TUPLE3)


class TensorEmitter(Emitter):
    """Writes tensors and storages too, each storage under the name that `storage_key` gives it.

    With `views`, its persistent id has a place for a part of it, as torch wrote them before 1.6.
    """

    def __init__(self, protocol: int, storage_key: Callable[[Storage], str], *, views: bool = False) -> None:
        super().__init__(protocol)
        self._storage_key = storage_key
        self._views = views

    def storage(self, node: Storage) -> None:
        owner = node.made_by
        self.code(op.MARK)
        self.text("storage")
        if owner is None:
            self.name(*(("torch", node.dtype.storage) if node.dtype.storage else ("torch.storage", "UntypedStorage")))
        else:
            self.globals(owner)
        self.text(self._storage_key(node))
        self.text(node.location)
        self.integer(node.count)
        self.code(*((op.NONE, op.TUPLE) if self._views else (op.TUPLE,)))
        self.put()
        self.code(op.BINPERSID)

    def plain(self, node: Tensor) -> None:
        """Write the arguments of a tensor that has nothing around it."""
        self.geometry(node)
        self.name("collections", "OrderedDict")
        self.code(op.EMPTY_TUPLE, op.REDUCE)
        self.put()
        if not is_typed(node):
            self.name("torch", node.dtype.torch)
        self.code(op.TUPLE)
        self.put()

    def geometry(self, node: Tensor) -> None:
        """Open the arguments of a tensor: storage, offset, size, stride, requires_grad."""
        self.place(node)
        self.boolean(node.requires_grad)

    def place(self, node: Tensor) -> None:
        """Open the arguments of a tensor: storage, offset, size, stride."""
        if not node.dtype.torch:
            raise OutputError(f"torch has no tensors of {node.dtype}")
        self.code(op.MARK)
        self.storage(node.storage)
        self.integer(node.offset)
        self._numbers(node.shape)
        self._numbers(node.stride)

    def _numbers(self, numbers: tuple[int, ...]) -> None:
        if not numbers:
            self.code(op.EMPTY_TUPLE)
            return
        if len(numbers) > 3:
            self.code(op.MARK)
        for number in numbers:
            self.integer(number)
        self.code(TUPLES[len(numbers) if len(numbers) <= 3 else 0])
        self.put()


def wraps(node: Tensor) -> Iterator[Wrap]:
    wrap = node.wrap
    while wrap is not None:
        yield wrap
        wrap = wrap.inner


def is_typed(node: Tensor) -> bool:
    """Whether the storage says the dtype; else the call must."""
    return bool(node.storage.dtype.storage) and node.dtype is node.storage.dtype


_FUNCTIONS = {
    "parameter": Global("torch._utils", "_rebuild_parameter"),
    "parameter_with_state": Global("torch._utils", "_rebuild_parameter_with_state"),
    "subclass": Global("torch._tensor", "_rebuild_from_type_v2"),
    "subclass_v1": Global("torch._tensor", "_rebuild_from_type"),
    "quantized": Global("torch._utils", "_rebuild_qtensor"),
}
_TYPED = Global("torch._utils", "_rebuild_tensor_v2")
_UNTYPED = Global("torch._utils", "_rebuild_tensor_v3")


def rebuild_function(node: Tensor, wrap: Wrap | None) -> Global:
    if wrap is not None and wrap.kind in _FUNCTIONS:
        return _FUNCTIONS[wrap.kind]
    return _TYPED if is_typed(node) else _UNTYPED
