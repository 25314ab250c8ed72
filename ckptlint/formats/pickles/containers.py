"""Opcodes that move the stack and the memo, and that make and fill tuples, lists, dicts and sets."""

from __future__ import annotations

from ckptlint.core.tree import Bytes, Dict, List, Opaque, Set, Tuple, Value
from ckptlint.formats.pickles import opcodes as op
from ckptlint.formats.pickles.literals import U4
from ckptlint.formats.pickles.state import Handler, Note, State

_UNHASHABLE = (List, Dict, Bytes)


def _mark(state: State, position: int) -> int:
    outer = state.outer
    if len(outer) >= state.limits.depth:
        raise state.fail(f"values are nested deeper than {state.limits.depth}", position)
    outer.append(state.stack)
    state.stack = []
    return position


def _pop(state: State, position: int) -> int:
    if not state.stack:
        state.pop_mark()
        return position
    value = state.stack.pop()
    if isinstance(value, Opaque):
        _discard(state, value, position)
    return position


def _discard(state: State, value: Opaque, position: int) -> None:
    """Keep what a discarded call did: pickle sets a state by calling a function with the object, and drops what it returns."""
    call = value.call
    target = state.stack[-1] if state.stack else None
    items = call.arguments.items if type(call.arguments) is Tuple and not call.new and not value.changes else ()
    if isinstance(target, Opaque) and len(items) == 2 and items[0] is target:
        target.changes.append(("apply", call.function, items[1]))
    else:
        state.notes.append(Note("discarded", f"an object of {value.named} is made and thrown away", position - 1))


def _pop_mark(state: State, position: int) -> int:
    for value in state.pop_mark():
        if isinstance(value, Opaque):
            _discard(state, value, position)
    return position


def _dup(state: State, position: int) -> int:
    state.stack.append(state.stack[-1])
    return position


def _binput(state: State, position: int) -> int:
    index = state.data[position]
    if index == len(state.memo):
        state.memo.append(state.stack[-1])
    else:
        state.put(index, position)
    return position + 1


def _long_binput(state: State, position: int) -> int:
    index = U4(state.data, position)[0]
    if index == len(state.memo):
        state.memo.append(state.stack[-1])
    else:
        state.put(index, position)
    return position + 4


def _memo_index(state: State, position: int) -> tuple[int, int]:
    text, stop = state.line(position)
    if not text.isdigit() or len(text) > 10:
        raise state.fail(f"{text[:40]!r} is not a memo index", position)
    return int(text), stop


def _put(state: State, position: int) -> int:
    index, stop = _memo_index(state, position)
    state.put(index, position)
    return stop


def _memoize(state: State, position: int) -> int:
    if state.sparse:
        raise state.fail("MEMOIZE follows a PUT that left gaps in the memo", position)
    state.memo.append(state.stack[-1])
    return position


def _binget(state: State, position: int) -> int:
    index = state.data[position]
    value = state.memo[index] if index < len(state.memo) else state.absent
    state.stack.append(state.get(index, position) if value is state.absent else value)
    return position + 1


def _long_binget(state: State, position: int) -> int:
    index = U4(state.data, position)[0]
    value = state.memo[index] if index < len(state.memo) else state.absent
    state.stack.append(state.get(index, position) if value is state.absent else value)
    return position + 4


def _get(state: State, position: int) -> int:
    index, stop = _memo_index(state, position)
    value = state.memo[index] if index < len(state.memo) else state.absent
    state.stack.append(state.get(index, position) if value is state.absent else value)
    return stop


def _empty_tuple(state: State, position: int) -> int:
    state.stack.append(state.empty)
    return position


def _tuple1(state: State, position: int) -> int:
    state.stack[-1] = Tuple((state.stack[-1],))
    return position


def _tuple2(state: State, position: int) -> int:
    stack = state.stack
    last = stack.pop()
    stack[-1] = Tuple((stack[-1], last))
    return position


def _tuple3(state: State, position: int) -> int:
    stack = state.stack
    last = stack.pop()
    middle = stack.pop()
    stack[-1] = Tuple((stack[-1], middle, last))
    return position


def _tuple(state: State, position: int) -> int:
    values = state.stack
    state.stack = state.outer.pop()
    state.stack.append(Tuple(tuple(values)) if values else state.empty)
    return position


def _empty_list(state: State, position: int) -> int:
    state.stack.append(List([]))
    return position


def _list(state: State, position: int) -> int:
    values = state.pop_mark()
    state.stack.append(List(values))
    return position


def _extend(state: State, values: list[Value], position: int) -> None:
    target = state.stack[-1]
    if type(target) is List:
        target.items.extend(values)
    elif isinstance(target, Opaque):
        target.changes.extend(("append", value) for value in values)
    else:
        raise state.fail(f"a {type(target).__name__} is appended to as if it were a list", position - 1)


def _append(state: State, position: int) -> int:
    _extend(state, [state.stack.pop()], position)
    return position


def _appends(state: State, position: int) -> int:
    _extend(state, state.pop_mark(), position)
    return position


def _empty_dict(state: State, position: int) -> int:
    state.stack.append(Dict([]))
    return position


def _check_keys(state: State, keys: list[Value], position: int) -> None:
    for key in keys:
        if type(key) is not str and isinstance(key, _UNHASHABLE):
            raise state.fail(f"a {type(key).__name__} cannot be a key", position - 1)


def _store(state: State, values: list[Value], position: int) -> None:
    """Set items from a flat run of keys and values."""
    target = state.stack[-1]
    if len(values) % 2:
        raise state.fail("a key has no value", position - 1)
    keys = values[::2]
    _check_keys(state, keys, position)
    if type(target) is Dict:
        target.items.extend(zip(keys, values[1::2], strict=True))
    elif isinstance(target, Opaque):
        target.changes.extend(("item", key, value) for key, value in zip(keys, values[1::2], strict=True))
    else:
        raise state.fail(f"items are set on a {type(target).__name__} as if it were a dict", position - 1)


def _setitem(state: State, position: int) -> int:
    value = state.stack.pop()
    key = state.stack.pop()
    _store(state, [key, value], position)
    return position


def _setitems(state: State, position: int) -> int:
    _store(state, state.pop_mark(), position)
    return position


def _dict(state: State, position: int) -> int:
    values = state.pop_mark()
    state.stack.append(Dict([]))
    _store(state, values, position)
    return position


def _empty_set(state: State, position: int) -> int:
    state.stack.append(Set([]))
    return position


def _additems(state: State, position: int) -> int:
    values = state.pop_mark()
    target = state.stack[-1]
    _check_keys(state, values, position)
    if type(target) is Set and not target.frozen:
        target.items.extend(values)
    elif isinstance(target, Opaque):
        target.changes.extend(("add", value) for value in values)
    else:
        raise state.fail(f"a {type(target).__name__} is added to as if it were a set", position - 1)
    return position


def _frozenset(state: State, position: int) -> int:
    values = state.pop_mark()
    _check_keys(state, values, position)
    state.stack.append(Set(values, frozen=True))
    return position


CONTAINERS: dict[int, Handler] = {
    op.MARK: _mark,
    op.POP: _pop,
    op.POP_MARK: _pop_mark,
    op.DUP: _dup,
    op.PUT: _put,
    op.BINPUT: _binput,
    op.LONG_BINPUT: _long_binput,
    op.MEMOIZE: _memoize,
    op.GET: _get,
    op.BINGET: _binget,
    op.LONG_BINGET: _long_binget,
    op.EMPTY_TUPLE: _empty_tuple,
    op.TUPLE1: _tuple1,
    op.TUPLE2: _tuple2,
    op.TUPLE3: _tuple3,
    op.TUPLE: _tuple,
    op.EMPTY_LIST: _empty_list,
    op.LIST: _list,
    op.APPEND: _append,
    op.APPENDS: _appends,
    op.EMPTY_DICT: _empty_dict,
    op.DICT: _dict,
    op.SETITEM: _setitem,
    op.SETITEMS: _setitems,
    op.EMPTY_SET: _empty_set,
    op.ADDITEMS: _additems,
    op.FROZENSET: _frozenset,
}
