"""Opcodes that make and fill objects: calls of what is known become values, all others are kept as constructions."""

from __future__ import annotations

from ckptlint.core.tree import Bytes, Call, Dict, Global, List, Opaque, Persistent, Set, Tensor, Tuple, Value, Wrap
from ckptlint.formats.pickles import opcodes as op
from ckptlint.formats.pickles.literals import name_at
from ckptlint.formats.pickles.names import modern
from ckptlint.formats.pickles.state import Handler, Maker, Note, State
from ckptlint.formats.pickles.tensors import TENSOR_MAKERS, persistent

_CALLABLE = (Global, Opaque, Persistent)


def _reduce(state: State, position: int) -> int:
    stack = state.stack
    arguments = stack.pop()
    function = stack[-1]
    if type(arguments) is not Tuple:
        raise state.fail("the arguments of a call are not a tuple", position - 1)
    if type(function) is Global:
        maker = state.makers.get(function) or _find_maker(state, function)
        value = stack[-1] = maker(state, function, arguments, position)
        if state.records is not None and type(value) is Tensor:
            return state.records.run(position)
    else:
        stack[-1] = _opaque(state, function, arguments, position)
    return position


def _find_maker(state: State, function: Global) -> Maker:
    state.called.add(function)
    name = modern(function.module, function.name)
    maker = state.makers[function] = state.own.get(name) or MAKERS.get(name, _opaque)
    return maker


def _opaque(state: State, function: Value, arguments: Tuple, position: int) -> Opaque:
    if not isinstance(function, _CALLABLE):
        raise state.fail(f"a {type(function).__name__} is called", position - 1)
    return Opaque(Call(function, arguments))


def ordered_dict(state: State, function: Global, arguments: Tuple, position: int) -> Value:
    """`OrderedDict()`, or Python 2's `OrderedDict([[key, value], ...])`."""
    if not arguments.items:
        return Dict([], Call(function, arguments))
    pairs = _pairs(arguments.items[0]) if len(arguments.items) == 1 else None
    if pairs is None:
        return _opaque(state, function, arguments, position)
    return Dict(pairs, Call(function, state.empty))


def _pairs(value: Value) -> list[tuple[Value, Value]] | None:
    if type(value) is Dict:
        return list(value.items)
    pairs: list[tuple[Value, Value]] = []
    for pair in value.items if isinstance(value, List | Tuple) else (None,):
        if not isinstance(pair, List | Tuple) or len(pair.items) != 2:
            return None
        pairs.append((pair.items[0], pair.items[1]))
    return pairs


def _default_dict(state: State, function: Global, arguments: Tuple, position: int) -> Value:
    if len(arguments.items) > 1:
        return _opaque(state, function, arguments, position)
    return Dict([], Call(function, arguments))


def _counter(state: State, function: Global, arguments: Tuple, position: int) -> Value:
    if not arguments.items:
        return Dict([], Call(function, arguments))
    counts = arguments.items[0]
    if len(arguments.items) > 1 or type(counts) is not Dict:
        return _opaque(state, function, arguments, position)
    return Dict(list(counts.items), Call(function, state.empty))


def _set(state: State, function: Global, arguments: Tuple, position: int) -> Value:
    source = arguments.items[0] if len(arguments.items) == 1 else None
    if arguments.items and not isinstance(source, List | Tuple | Set):
        return _opaque(state, function, arguments, position)
    items = list(source.items) if isinstance(source, List | Tuple | Set) else []
    return Set(items, frozen=function.name == "frozenset")


def _encode(state: State, function: Global, arguments: Tuple, position: int) -> Value:
    """`_codecs.encode(text, 'latin1')`: how protocols 0 to 2 hold bytes."""
    items = arguments.items
    if len(items) == 2 and type(items[0]) is str and items[1] in {"latin1", "latin-1"}:
        try:
            return items[0].encode("latin1")
        except UnicodeEncodeError:
            raise state.fail("a byte string holds characters that are not bytes", position - 1) from None
    return _opaque(state, function, arguments, position)


def _make_bytes(state: State, function: Global, arguments: Tuple, position: int) -> Value:
    return _opaque(state, function, arguments, position) if arguments.items else b""


def byte_array(state: State, function: Global, arguments: Tuple, position: int) -> Value:
    """`bytearray()`, of bytes, or of a text of latin-1."""
    items = arguments.items
    if not items:
        return Bytes(b"")
    if len(items) == 1 and type(items[0]) is bytes:
        return Bytes(items[0])
    content = _encode(state, function, arguments, position)
    return Bytes(content) if type(content) is bytes else content


def _complex(state: State, function: Global, arguments: Tuple, position: int) -> Value:
    if len(arguments.items) == 2 and all(type(part) is float for part in arguments.items):
        real, imaginary = arguments.items
        return complex(real, imaginary)  # type: ignore[arg-type]  # both are floats, mypy does not follow `all`
    return _opaque(state, function, arguments, position)


def _size(state: State, function: Global, arguments: Tuple, position: int) -> Value:
    sizes = arguments.items[0] if len(arguments.items) == 1 else None
    if isinstance(sizes, Tuple | List) and all(type(size) is int for size in sizes.items):
        return Tuple(tuple(sizes.items), function)
    return _opaque(state, function, arguments, position)


def _new(state: State, function: Global, arguments: Tuple, position: int) -> Value:
    """`copyreg.__newobj__(class, ...)`, the call that protocols 0 and 1 write for NEWOBJ."""
    if not arguments.items:
        raise state.fail(f"{function} is called without a class", position - 1)
    return _instance(state, arguments.items[0], Tuple(arguments.items[1:]), None, position)


def _new_extended(state: State, function: Global, arguments: Tuple, position: int) -> Value:
    if len(arguments.items) != 3:
        raise state.fail(f"{function} is not called with a class, arguments and keywords", position - 1)
    owner, positional, keywords = arguments.items
    return _instance(state, owner, positional, keywords, position)


def _instance(state: State, owner: Value, arguments: Value, keywords: Value, position: int) -> Opaque:
    if not isinstance(owner, _CALLABLE) or type(arguments) is not Tuple:
        raise state.fail("an object is made without a class and a tuple of arguments", position - 1)
    if keywords is not None and type(keywords) is not Dict:
        raise state.fail("the keywords of a new object are not a dict", position - 1)
    if type(owner) is Global:
        state.made.add(owner)
    return Opaque(Call(owner, arguments, keywords, new=True))


def _newobj(state: State, position: int) -> int:
    stack = state.stack
    arguments = stack.pop()
    stack[-1] = _instance(state, stack[-1], arguments, None, position)
    return position


def _newobj_ex(state: State, position: int) -> int:
    stack = state.stack
    keywords = stack.pop()
    arguments = stack.pop()
    if type(keywords) is not Dict:
        raise state.fail("the keywords of a new object are not a dict", position - 1)
    stack[-1] = _instance(state, stack[-1], arguments, keywords, position)
    return position


def _instantiate(state: State, owner: Value, arguments: list[Value], position: int) -> None:
    """Protocol 0's way: the class is called with its arguments; without any, the object is made without `__init__`."""
    state.notes.append(Note("old-opcode", "an object is made the Python 2 way", position))
    if arguments and type(owner) is Global:
        maker = state.makers.get(owner) or _find_maker(state, owner)
        state.stack.append(maker(state, owner, Tuple(tuple(arguments)), position))
    else:
        state.stack.append(_instance(state, owner, state.empty, None, position))


def _inst(state: State, position: int) -> int:
    owner, stop = name_at(state, position)
    _instantiate(state, owner, state.pop_mark(), position)
    return stop


def _obj(state: State, position: int) -> int:
    values = state.pop_mark()
    if not values:
        raise state.fail("OBJ has no class", position - 1)
    _instantiate(state, values[0], values[1:], position)
    return position


def _build(state: State, position: int) -> int:
    given = state.stack.pop()
    target = state.stack[-1]
    if isinstance(target, Opaque):
        target.changes.append(("build", given))
    elif type(target) is Dict and target.made_by is not None:
        target.state = given if target.state is None else _joined(state, target.state, given, position)
    elif type(target) is Tensor:
        target.wrap = Wrap("built", (given,), target.wrap)
    else:
        raise state.fail(f"a {type(target).__name__} is given a state, which it cannot hold", position - 1)
    return position


def _joined(state: State, first: Value, second: Value, position: int) -> Value:
    """Return one state that sets what two set in turn."""
    if type(first) is not Dict or type(second) is not Dict:
        raise state.fail("a dict is given two states", position - 1)
    return Dict([*first.items, *second.items])


def _persid(state: State, position: int) -> int:
    text, stop = state.line(position)
    state.stack.append(persistent(state, text.decode("latin1"), position))
    return stop


def _binpersid(state: State, position: int) -> int:
    state.stack[-1] = persistent(state, state.stack[-1], position)
    return position


def _extension(state: State, position: int) -> int:
    raise state.fail("a class is named by a code that only the process which wrote it knows", position - 1)


def _buffer(state: State, position: int) -> int:
    raise state.fail("a buffer is kept outside of the pickle", position - 1)


MAKERS: dict[tuple[str, str], Maker] = {
    **TENSOR_MAKERS,
    ("collections", "OrderedDict"): ordered_dict,
    ("collections", "defaultdict"): _default_dict,
    ("collections", "Counter"): _counter,
    ("builtins", "set"): _set,
    ("builtins", "frozenset"): _set,
    ("builtins", "bytes"): _make_bytes,
    ("builtins", "bytearray"): byte_array,
    ("builtins", "complex"): _complex,
    ("_codecs", "encode"): _encode,
    ("copyreg", "__newobj__"): _new,
    ("copyreg", "__newobj_ex__"): _new_extended,
    ("torch", "Size"): _size,
}
OBJECTS: dict[int, Handler] = {
    op.REDUCE: _reduce,
    op.NEWOBJ: _newobj,
    op.NEWOBJ_EX: _newobj_ex,
    op.INST: _inst,
    op.OBJ: _obj,
    op.BUILD: _build,
    op.PERSID: _persid,
    op.BINPERSID: _binpersid,
    op.EXT1: _extension,
    op.EXT2: _extension,
    op.EXT4: _extension,
    op.NEXT_BUFFER: _buffer,
    op.READONLY_BUFFER: _buffer,
}
