"""The pickler: writes a tree as a pickle that makes equal objects, shared where nodes are shared, however deep or cyclic.

Nothing recurses: `_todo` holds, last first, what is still to be written, as values and as (method, argument) pairs. An object that can be
filled is memoized before what is in it, one that cannot (a tuple, a call's result) after. Where the latter contains itself by way of
the former, the step that closes the cycle is put off until it is complete: that is the only order in which it can have been made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeAlias

from ckptlint.core.tree import (
    Bytes,
    Call,
    Composite,
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
from ckptlint.formats.pickles.tensor_emitter import TUPLES, TensorEmitter, is_typed, rebuild_function, wraps

_Task: TypeAlias = "Value | tuple[Callable[[Any], object], object]"
_Change: TypeAlias = tuple[Value, ...]  # as an opaque object keeps them: what was done, and with which values
_LOOKS = 50_000_000  # nodes looked at to find an order; no object that anyone has saved comes near


def write(
    root: Value,
    *,
    protocol: int = 2,
    storage_key: Callable[[Storage], str],
    replace: Callable[[Node], Value] | None = None,
    views: bool = False,
) -> bytes:
    """Return the pickle of a tree, each storage under the name that `storage_key` gives it; with `views` as before torch 1.6.

    `replace` says what is written in the place of a node (itself, mostly), so that a changed tree need not be built. It is asked
    whenever a node is met, and must answer the same each time. Protocols below 2 become 2. `OutputError` where a value cannot be held.
    """
    protocol = max(2, min(protocol, op.HIGHEST_PROTOCOL))
    try:
        return _Pickler(TensorEmitter(protocol, storage_key, views=views), replace, careful=False).run(root)
    except _KnotError:
        return _Pickler(TensorEmitter(protocol, storage_key, views=views), replace, careful=True).run(root)


class _KnotError(Exception):
    """An object is met again while its parts are written; rare enough to find an order only then."""


class _Pickler:
    def __init__(
        self,
        emitter: TensorEmitter,
        replace: Callable[[Node], Value] | None,
        *,
        careful: bool,
    ) -> None:
        self._emit = emitter
        self._replace = replace
        self._careful = careful
        self._looks = 0
        self._todo: list[_Task] = []
        self._open: dict[int, list[_Task]] = {}  # nodes half written, outermost first, each with what waits for it
        self._arguments_of: dict[int, tuple[Value, ...]] = {}  # of those of them that a call makes
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
            Composite: self._opaque,
            Persistent: self._persistent,
            Storage: self._emit.storage,
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

    # --- nodes that can only be memoized when they are complete

    def _enter(self, node: Node) -> None:
        if id(node) in self._open:
            if not self._careful:
                raise _KnotError
            raise OutputError("an object contains itself in a way that no pickle can hold")
        self._open[id(node)] = []
        if isinstance(node, Opaque):
            self._arguments_of[id(node)] = (node.call.arguments, node.call.keywords)

    def _complete(self, node: Node) -> None:
        """Memoize a node that is now on the stack, then do what waited for it."""
        waiting = self._open.pop(id(node))
        self._arguments_of.pop(id(node), None)
        self._emit.remember(node)
        self._then(waiting)

    def _awaited(self, change: _Change, seen: set[int], *, surely: bool = False) -> int | None:
        """Return the outermost half-written node that must be complete before a change can be made; None where there is none.

        `surely` leaves out what must be complete only if calls copy the containers that they are given.
        """
        kind, *values = change
        todo = [(value, kind in {"build", "apply"}) for value in values]
        found: set[int] = set()
        while todo:
            value, consumed = todo.pop()
            if self._replace is not None and isinstance(value, Node):
                value = self._replace(value)
            if id(value) in self._open:
                found.add(id(value))
            elif isinstance(value, Node) and id(value) not in seen and not self._emit.knows(value):
                seen.add(id(value))
                self._looks += 1
                parts = self._ingredients(value, consumed=consumed and not surely)
                todo.extend([(part, False) for part, _ in parts] if surely else parts)
        if self._looks > _LOOKS:
            raise OutputError("objects contain each other in more ways than can be written")
        return next((node for node in self._open if node in found), None)

    def _ingredients(self, node: Node, *, consumed: bool) -> list[tuple[Value, bool]]:
        """Return what must be there before a node can be made, and whether its content counts: a call may copy its arguments, and a
        state is copied, so they must be filled before; what is only put into something may be filled later.
        """
        if isinstance(node, Tuple):
            return [(item, consumed) for item in node.items]
        if isinstance(node, Opaque):
            return [(part, True) for part in (node.call.function, node.call.arguments, node.call.keywords)]
        if isinstance(node, Persistent):
            return [(node.pid, True)]
        if isinstance(node, Tensor):
            return [(value, True) for wrap in wraps(node) if wrap.kind != "built" for value in wrap.arguments]
        if isinstance(node, Set) and (node.frozen or self._emit.protocol < 4):
            consumed = True
        made: list[tuple[Value, bool]] = []
        if isinstance(node, Dict) and node.made_by is not None:
            made.append((node.made_by.arguments, True))
        return [*made, *((part, True) for part in _content(node))] if consumed else made

    def _fill(self, filled: tuple[Node, list[_Change]]) -> None:
        """Make changes to the node on the stack; from the first on that must wait, they wait."""
        node, changes = filled
        now = len(changes)
        if self._careful and self._open:
            seen: set[int] = set()
            for number, change in enumerate(changes):
                awaited = self._awaited(change, seen)
                if awaited is not None and self._taken_by(node, awaited):
                    awaited = self._awaited(change, set(), surely=True)
                if awaited is not None:
                    self._open[awaited].append((self._refill, (node, changes[number:])))
                    now = number
                    break
        self._then(self._changed(node, changes[:now]))

    def _taken_by(self, node: Node, half_written: int) -> bool:
        """Whether a half-written node is made by a call that is given this container: it may copy it, so to wait would be too late."""
        todo = [(value, True) for value in self._arguments_of.get(half_written, ())]
        seen: set[int] = set()
        while todo:
            value, consumed = todo.pop()
            if value is node:
                return consumed
            if isinstance(value, Tuple) and id(value) not in seen:
                seen.add(id(value))
                todo.extend(self._ingredients(value, consumed=consumed))
        return False

    def _refill(self, filled: tuple[Node, list[_Change]]) -> None:
        self._emit.recall(filled[0])
        self._then([(self._fill, filled), self._code(op.POP)])

    def _changed(self, node: Node, changes: list[_Change]) -> list[_Task]:
        """Lay changes out in order, neighbours of one kind together."""
        tasks: list[_Task] = []
        for kind, group in groupby(changes, itemgetter(0)):
            values = [part for change in group for part in change[1:]]
            if kind == "append":
                tasks += self._batches(values, 1, op.APPENDS, op.APPEND)
            elif kind == "item":
                tasks += self._batches(values, 2, op.SETITEMS, op.SETITEM)
            elif kind == "add":
                tasks += self._batches(values, 1, op.ADDITEMS)
            elif kind == "build":
                tasks += [part for value in values for part in (value, self._code(op.BUILD))]
            else:
                end = self._code(op.TUPLE2, op.REDUCE, op.POP)
                pairs = zip(values[::2], values[1::2], strict=True)
                tasks += [part for function, state in pairs for part in (function, node, state, end)]
        return tasks

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

    # --- containers

    def _tuple(self, node: Tuple) -> None:
        size = len(node.items)
        if not size and node.made_by is None:
            self._emit.code(op.EMPTY_TUPLE)
        elif not self._emit.recall(node):
            self._enter(node)
            maker: list[_Task] = [] if node.made_by is None else [node.made_by]
            mark = [self._code(op.MARK)] if not 0 < size <= 3 else []
            call = [] if node.made_by is None else [self._code(op.TUPLE1, op.REDUCE)]
            end = self._code(TUPLES[size if size <= 3 else 0])
            self._then([*maker, *mark, *node.items, end, *call, (self._complete, node)])

    def _list(self, node: List) -> None:
        if not self._emit.recall(node):
            self._emit.code(op.EMPTY_LIST)
            self._emit.remember(node)
            self._fill((node, [("append", item) for item in node.items]))

    def _dict(self, node: Dict) -> None:
        if self._emit.recall(node):
            return
        changes: list[_Change] = [("item", *pair) for pair in node.items]
        if node.state is not None:
            changes.append(("build", node.state))
        if node.made_by is None:
            self._emit.code(op.EMPTY_DICT)
            self._emit.remember(node)
            self._fill((node, changes))
        else:
            self._enter(node)
            self._then([*self._made(node.made_by), (self._complete, node), (self._fill, (node, changes))])

    def _set(self, node: Set) -> None:
        if self._emit.recall(node):
            return
        if self._emit.protocol >= 4 and not node.frozen:
            self._emit.code(op.EMPTY_SET)
            self._emit.remember(node)
            self._fill((node, [("add", item) for item in node.items]))
            return
        self._enter(node)
        if self._emit.protocol >= 4:
            self._then([self._code(op.MARK), *node.items, self._code(op.FROZENSET), (self._complete, node)])
        else:
            self._emit.name("builtins", "frozenset" if node.frozen else "set")
            self._emit.code(op.EMPTY_LIST)
            items = self._batches(node.items, 1, op.APPENDS, op.APPEND)
            self._then([*items, self._code(op.TUPLE1, op.REDUCE), (self._complete, node)])

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
            self._then([*self._made(node.call), (self._complete, node), (self._fill, (node, node.changes))])

    def _persistent(self, node: Persistent) -> None:
        self._then([node.pid, self._code(op.BINPERSID)])

    # --- tensors

    def _tensor(self, node: Tensor) -> None:
        if self._emit.recall(node):
            return
        if node.wrap is None:
            self._emit.globals(rebuild_function(node, None))
            self._emit.plain(node)
            self._emit.code(op.REDUCE)
            self._emit.remember(node)
            return
        wrap: Wrap | None = node.wrap
        states: list[Value] = []
        while wrap is not None and wrap.kind == "built":
            states.extend(wrap.arguments)
            wrap = wrap.inner
        changes: list[_Change] = [("build", state) for state in reversed(states)]
        self._enter(node)
        self._then([*self._rebuilt(node, wrap), (self._complete, node), (self._fill, (node, changes))])

    def _rebuilt(self, node: Tensor, wrap: Wrap | None) -> list[_Task]:
        """Lay out the call that makes a tensor."""
        if wrap is not None and wrap.kind == "built":
            return [*self._rebuilt(node, wrap.inner), *wrap.arguments, self._code(op.BUILD)]
        return [rebuild_function(node, wrap), *self._arguments(node, wrap), self._code(op.REDUCE)]

    def _arguments(self, node: Tensor, wrap: Wrap | None) -> list[_Task]:
        """Lay out the arguments of that call, one tuple."""
        if wrap is None:
            return [(self._emit.plain, node)]
        end = self._code(op.TUPLE)
        if wrap.kind == "tensor":
            hooks, *metadata = wrap.arguments
            dtype = [] if is_typed(node) else [Global("torch", node.dtype.torch)]
            return [(self._emit.geometry, node), hooks, *dtype, *metadata, end]
        if wrap.kind == "quantized":
            quantizer, hooks = wrap.arguments
            return [(self._emit.place, node), quantizer, node.requires_grad, hooks, end]
        inner = wrap.inner
        if wrap.kind in {"subclass", "subclass_v1"}:
            owner, state = wrap.arguments
            return [
                self._code(op.MARK),
                rebuild_function(node, inner),
                owner,
                *self._arguments(node, inner),
                state,
                end,
            ]
        return [self._code(op.MARK), (self._inner, (node, inner)), *wrap.arguments, end]

    def _inner(self, within: tuple[Tensor, Wrap | None]) -> None:
        self._then(self._rebuilt(*within))


def _content(node: Node) -> Iterable[Value]:
    """Return what a container is filled with."""
    if isinstance(node, Dict):
        return (part for pair in node.items for part in pair)
    return node.items if isinstance(node, List | Set) else ()
