"""The pickler: writes a tree as a pickle that makes equal objects, shared where nodes are shared, however deep or cyclic.

Nothing recurses: `_todo` holds, last first, what is still to be written, as values and as (method, argument) pairs. As in Python's own
pickler an object that can be filled is memoized before what is in it, one that cannot (a tuple, a call) after; where the
latter contains itself by way of the former it is written twice, and the outer copy is thrown away for the inner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from ckptlint.core.tree import (
    Bytes,
    Call,
    Dict,
    Global,
    List,
    Node,
    Opaque,
    Persistent,
    Set,
    Storage,
    Tensor,
    Tuple,
    Value,
    Wrap,
)
from ckptlint.errors import OutputError
from ckptlint.formats.pickles import opcodes as op
from ckptlint.formats.pickles.emitter import Emitter

_Task: TypeAlias = "Value | tuple[Callable[[Any], object], object]"
_KNOTS = 1000  # objects met again while they are written; more than this is no structure that anyone has saved


def write(
    root: Value,
    *,
    protocol: int = 2,
    storage_key: Callable[[Storage], str],
    replace: Callable[[Node], Value] | None = None,
) -> bytes:
    """Return the pickle of a tree, each storage under the name that `storage_key` gives it.

    `replace` says what is written in the place of a node (itself, mostly), so that a changed tree need not be built. It is asked
    whenever a node is met, and must answer the same each time. Protocols below 2 become 2. `OutputError` where a value cannot be held.
    """
    pickler = _Pickler(max(2, min(protocol, op.HIGHEST_PROTOCOL)), storage_key, replace)
    return pickler.run(root)


class _Pickler:
    def __init__(
        self, protocol: int, storage_key: Callable[[Storage], str], replace: Callable[[Node], Value] | None
    ) -> None:
        self._emit = Emitter(protocol)
        self._replace = replace
        self._storage_key = storage_key
        self._todo: list[_Task] = []
        self._open: set[int] = set()
        self._knots = 0
        self._methods: dict[type, Callable[[Any], None]] = {
            type(None): lambda _: self._emit.code(op.NONE),
            bool: self._emit.boolean,
            int: self._emit.integer,
            float: self._emit.real,
            str: self._emit.text,
            bytes: self._emit.bytestring,
            complex: self._emit.complex,
            tuple: self._perform,
            Global: self._emit.globals,
            Tuple: self._tuple,
            List: self._list,
            Dict: self._dict,
            Set: self._set,
            Bytes: self._bytes,
            Opaque: self._opaque,
            Persistent: self._persistent,
            Storage: self._storage,
            Tensor: self._tensor,
        }

    def run(self, root: Value) -> bytes:
        todo = self._todo
        methods = self._methods
        replace = self._replace
        todo.append(root)
        while todo:
            task = todo.pop()
            if replace is not None and isinstance(task, Node):
                task = replace(task)
            method = methods.get(type(task))
            if method is None:
                raise TypeError(f"a {type(task).__name__} is no value of a tree")
            method(task)
        self._emit.code(op.STOP)
        return bytes(self._emit.out)

    def _perform(self, task: tuple[Callable[[Any], object], object]) -> None:
        task[0](task[1])

    def _then(self, tasks: Iterable[_Task]) -> None:
        """Do these next, in this order."""
        self._todo.extend(reversed(list(tasks)))

    def _code(self, *codes: int) -> _Task:
        return (lambda codes: self._emit.code(*codes), codes)

    def _enter(self, node: Node) -> None:
        """Begin to write a node that can only be memoized when it is complete."""
        if id(node) in self._open:
            self._knots += 1
            if self._knots > _KNOTS:
                raise OutputError("an object contains itself in more ways than a pickle can hold")
        self._open.add(id(node))

    def _complete(self, node: Node) -> bool:
        """Memoize a node that is now on the stack; if it was written within itself, take that copy and return False."""
        self._open.discard(id(node))
        if self._emit.knows(node):
            self._emit.code(op.POP)
            self._emit.recall(node)
            return False
        self._emit.remember(node)
        return True

    # --- containers

    def _tuple(self, node: Tuple) -> None:
        if node.made_by is not None:
            self._made_tuple(node, node.made_by)
        elif not node.items:
            self._emit.code(op.EMPTY_TUPLE)
        elif not self._emit.recall(node):
            self._enter(node)
            if len(node.items) > 3:
                self._emit.code(op.MARK)
            self._then([*node.items, (self._end_tuple, node)])

    def _end_tuple(self, node: Tuple) -> None:
        size = len(node.items)
        if self._emit.knows(node):
            self._open.discard(id(node))
            self._emit.code(*([op.POP_MARK] if size > 3 else [op.POP] * size))
            self._emit.recall(node)
            return
        self._emit.code((op.TUPLE, op.TUPLE1, op.TUPLE2, op.TUPLE3)[size if size <= 3 else 0])
        self._complete(node)

    def _made_tuple(self, node: Tuple, maker: Global) -> None:
        if not self._emit.recall(node):
            self._emit.globals(maker)
            self._enter(node)
            end = self._code(op.TUPLE, op.TUPLE1, op.REDUCE)
            self._then([self._code(op.MARK), *node.items, end, (self._complete, node)])

    def _list(self, node: List) -> None:
        if not self._emit.recall(node):
            self._emit.code(op.EMPTY_LIST)
            self._emit.remember(node)
            self._then(self._batches(node.items, 1, op.APPENDS, op.APPEND))

    def _batches(self, values: list[Value], width: int, several: int, single: int | None = None) -> list[_Task]:
        """Lay values out in batches of a thousand, `width` values each, as Python does."""
        tasks: list[_Task] = []
        for start in range(0, len(values), op.BATCH * width):
            batch = values[start : start + op.BATCH * width]
            if len(batch) == width and single is not None:
                tasks += [*batch, self._code(single)]
            else:
                tasks += [self._code(op.MARK), *batch, self._code(several)]
        return tasks

    def _items(self, pairs: list[tuple[Value, Value]]) -> list[_Task]:
        return self._batches([part for pair in pairs for part in pair], 2, op.SETITEMS, op.SETITEM)

    def _dict(self, node: Dict) -> None:
        if self._emit.recall(node):
            return
        if node.made_by is None:
            self._emit.code(op.EMPTY_DICT)
            self._emit.remember(node)
            self._then(self._items(node.items))
        else:
            self._enter(node)
            self._then([*self._made(node.made_by), (self._fill_dict, node)])

    def _fill_dict(self, node: Dict) -> None:
        if self._complete(node):
            state = [] if node.state is None else [node.state, self._code(op.BUILD)]
            self._then([*self._items(node.items), *state])

    def _set(self, node: Set) -> None:
        if self._emit.recall(node):
            return
        if self._emit.protocol < 4:
            self._enter(node)
            self._emit.name("builtins", "frozenset" if node.frozen else "set")
            self._emit.code(op.EMPTY_LIST)
            items = self._batches(node.items, 1, op.APPENDS, op.APPEND)
            self._then([*items, self._code(op.TUPLE1, op.REDUCE), (self._complete, node)])
        elif node.frozen:
            self._enter(node)
            self._then([self._code(op.MARK), *node.items, self._code(op.FROZENSET), (self._complete, node)])
        else:
            self._emit.code(op.EMPTY_SET)
            self._emit.remember(node)
            self._then(self._batches(node.items, 1, op.ADDITEMS))

    def _bytes(self, node: Bytes) -> None:
        if not self._emit.recall(node):
            self._emit.bytearray(node.content)
            self._emit.remember(node)

    # --- objects

    def _made(self, call: Call) -> list[_Task]:
        """Lay out the call that makes an object."""
        if not call.new:
            return [call.function, call.arguments, self._code(op.REDUCE)]
        if call.keywords is None:
            return [call.function, call.arguments, self._code(op.NEWOBJ)]
        parts: list[_Task] = [call.function, call.arguments, call.keywords]
        if self._emit.protocol >= 4:
            return [*parts, self._code(op.NEWOBJ_EX)]
        return [Global("copyreg", "__newobj_ex__"), *parts, self._code(op.TUPLE3, op.REDUCE)]

    def _opaque(self, node: Opaque) -> None:
        if not self._emit.recall(node):
            self._enter(node)
            self._then([*self._made(node.call), (self._change, node)])

    def _change(self, node: Opaque) -> None:
        """Redo what was done to an object after it was made, in order; neighbours of one kind go in batches."""
        if not self._complete(node):
            return
        tasks: list[_Task] = []
        start = 0
        changes = node.changes
        while start < len(changes):
            kind = changes[start][0]
            stop = start + 1
            while stop < len(changes) and changes[stop][0] == kind and kind in {"append", "item", "add"}:
                stop += 1
            tasks += self._changed(node, str(kind), changes[start:stop])
            start = stop
        self._then(tasks)

    def _changed(self, node: Opaque, kind: str, changes: list[tuple[Value, ...]]) -> list[_Task]:
        values = [part for change in changes for part in change[1:]]
        if kind == "append":
            return self._batches(values, 1, op.APPENDS, op.APPEND)
        if kind == "item":
            return self._batches(values, 2, op.SETITEMS, op.SETITEM)
        if kind == "add":
            return self._batches(values, 1, op.ADDITEMS)
        if kind == "build":
            return [*values, self._code(op.BUILD)]
        function, state = values
        return [function, node, state, self._code(op.TUPLE2, op.REDUCE, op.POP)]

    def _persistent(self, node: Persistent) -> None:
        self._then([node.pid, self._code(op.BINPERSID)])

    # --- tensors

    def _storage(self, node: Storage) -> None:
        emit = self._emit
        owner = node.made_by
        emit.code(op.MARK)
        emit.text("storage")
        if owner is None:
            emit.name(*(("torch", node.dtype.storage) if node.dtype.storage else ("torch.storage", "UntypedStorage")))
        else:
            emit.globals(owner)
        emit.text(self._storage_key(node))
        emit.text(node.location)
        emit.integer(node.numel if owner is not None or node.dtype.storage else node.nbytes)
        emit.code(op.TUPLE)
        emit.put()
        emit.code(op.BINPERSID)

    def _tensor(self, node: Tensor) -> None:
        if self._emit.recall(node):
            return
        if node.wrap is None:
            self._emit.globals(_function(node, None))
            self._plain(node)
            self._emit.code(op.REDUCE)
            self._emit.remember(node)
            return
        wrap: Wrap | None = node.wrap
        states: list[Value] = []
        while wrap is not None and wrap.kind == "built":
            states.extend(wrap.arguments)
            wrap = wrap.inner
        self._enter(node)
        self._then([*self._rebuilt(node, wrap), (self._build, (node, states[::-1]))])

    def _build(self, built: tuple[Tensor, list[Value]]) -> None:
        node, states = built
        if self._complete(node):
            self._then([task for state in states for task in (state, self._code(op.BUILD))])

    def _rebuilt(self, node: Tensor, wrap: Wrap | None) -> list[_Task]:
        """Lay out the call that makes a tensor."""
        if wrap is not None and wrap.kind == "built":
            return [*self._rebuilt(node, wrap.inner), *wrap.arguments, self._code(op.BUILD)]
        return [_function(node, wrap), *self._arguments(node, wrap), self._code(op.REDUCE)]

    def _arguments(self, node: Tensor, wrap: Wrap | None) -> list[_Task]:
        """Lay out the arguments of that call, one tuple."""
        if wrap is None:
            return [(self._plain, node)]
        end = self._code(op.TUPLE)
        if wrap.kind == "tensor":
            hooks, *metadata = wrap.arguments
            dtype = [] if _is_typed(node) else [Global("torch", node.dtype.torch)]
            return [(self._geometry, node), hooks, *dtype, *metadata, end]
        inner = wrap.inner
        if wrap.kind == "subclass":
            owner, state = wrap.arguments
            return [self._code(op.MARK), _function(node, inner), owner, *self._arguments(node, inner), state, end]
        return [self._code(op.MARK), (self._inner, (node, inner)), *wrap.arguments, end]

    def _inner(self, within: tuple[Tensor, Wrap | None]) -> None:
        self._then(self._rebuilt(*within))

    def _plain(self, node: Tensor) -> None:
        """Write the arguments of a tensor that has nothing around it."""
        emit = self._emit
        self._geometry(node)
        emit.name("collections", "OrderedDict")
        emit.code(op.EMPTY_TUPLE, op.REDUCE)
        emit.put()
        if not _is_typed(node):
            emit.name("torch", node.dtype.torch)
        emit.code(op.TUPLE)
        emit.put()

    def _geometry(self, node: Tensor) -> None:
        """Open the arguments of a tensor: storage, offset, size, stride, requires_grad."""
        if not node.dtype.torch:
            raise OutputError(f"torch has no tensors of {node.dtype}")
        emit = self._emit
        emit.code(op.MARK)
        self._storage(node.storage)
        emit.integer(node.offset)
        self._numbers(node.shape)
        self._numbers(node.stride)
        emit.boolean(node.requires_grad)

    def _numbers(self, numbers: tuple[int, ...]) -> None:
        emit = self._emit
        if not numbers:
            emit.code(op.EMPTY_TUPLE)
            return
        if len(numbers) > 3:
            emit.code(op.MARK)
        for number in numbers:
            emit.integer(number)
        emit.code((op.TUPLE, op.TUPLE1, op.TUPLE2, op.TUPLE3)[len(numbers) if len(numbers) <= 3 else 0])
        emit.put()


def _is_typed(node: Tensor) -> bool:
    """Whether the storage says the dtype; else the call must."""
    storage = node.storage
    untyped = storage.made_by is not None and storage.made_by.name.endswith("UntypedStorage")
    return bool(storage.dtype.storage) and node.dtype is storage.dtype and not untyped


_FUNCTIONS = {
    "parameter": Global("torch._utils", "_rebuild_parameter"),
    "parameter_with_state": Global("torch._utils", "_rebuild_parameter_with_state"),
    "subclass": Global("torch._tensor", "_rebuild_from_type_v2"),
}
_TYPED = Global("torch._utils", "_rebuild_tensor_v2")
_UNTYPED = Global("torch._utils", "_rebuild_tensor_v3")


def _function(node: Tensor, wrap: Wrap | None) -> Global:
    if wrap is not None and wrap.kind in _FUNCTIONS:
        return _FUNCTIONS[wrap.kind]
    return _TYPED if _is_typed(node) else _UNTYPED
