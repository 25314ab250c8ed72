"""The opcodes, as the tracer follows them: what each puts on the stack, as far as it matters."""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import Final

from ckptlint.core.survey import Odd
from ckptlint.formats.pickles import opcodes as op
from ckptlint.formats.scanning.literals import LITERALS, Handler, constant, utf8
from ckptlint.formats.scanning.trace_calls import build, instance, reduce
from ckptlint.formats.scanning.tracer import BrokenError, Trace, Tracer
from ckptlint.formats.scanning.values import MOST, UNKNOWN, Box, Named, Row, Thing, visits

_U4, _U8 = Struct("<I").unpack_from, Struct("<Q").unpack_from
_LARGEST_MEMO = 1 << 24  # beyond what was read so far; C unpicklers allocate that many entries


def _proto(tracer: Tracer, position: int) -> int:
    protocol = tracer.data[position]
    if protocol > op.HIGHEST_PROTOCOL:
        raise BrokenError(f"there is no protocol {protocol}")
    tracer.protocol = max(tracer.protocol, protocol)
    return position + 1


def _frame(tracer: Tracer, position: int) -> int:
    end = position + 8 + _U8(tracer.data, position)[0]
    if end > len(tracer.data):
        tracer.lie("has a frame that ends behind the data, which some readers ignore")
    elif tracer.frame_end > position:
        tracer.lie("has a frame inside a frame: readers differ in what they run")
    tracer.frame_end = end
    return position + 8


def _stop(tracer: Tracer, position: int) -> int:
    tracer.unfolded = visits(tracer.pop())
    tracer.stopped = True
    return position


def _mark(tracer: Tracer, position: int) -> int:
    tracer.outer.append(tracer.stack)
    tracer.stack = []
    return position


def _pop(tracer: Tracer, position: int) -> int:
    if tracer.stack:
        tracer.stack.pop()
    else:
        tracer.pop_mark()
    return position


def _pop_mark(tracer: Tracer, position: int) -> int:
    tracer.pop_mark()
    return position


def _dup(tracer: Tracer, position: int) -> int:
    tracer.stack.append(tracer.stack[-1])
    return position


def _store(tracer: Tracer, index: int) -> None:
    if index > _LARGEST_MEMO and index > tracer.at:
        tracer.odd(Odd.MEMORY_BOMB, f"stores something under the memo number {index}, for which readers reserve memory")
    if index < 0:
        raise BrokenError("a memo number is negative")
    tracer.memo[index] = tracer.stack[-1]


def _fetch(tracer: Tracer, index: int) -> None:
    if index not in tracer.memo:
        raise BrokenError(f"memo entry {index} was never stored")
    tracer.stack.append(tracer.memo[index])


def _index(tracer: Tracer, position: int) -> tuple[int, int]:
    text, end = tracer.line(position)
    try:
        return int(text[:20]), end
    except ValueError:
        raise BrokenError("a memo number is none") from None


def _put(tracer: Tracer, position: int) -> int:
    index, end = _index(tracer, position)
    _store(tracer, index)
    return end


def _get(tracer: Tracer, position: int) -> int:
    index, end = _index(tracer, position)
    _fetch(tracer, index)
    return end


def _binput(tracer: Tracer, position: int) -> int:
    tracer.memo[tracer.data[position]] = tracer.stack[-1]
    return position + 1


def _long_binput(tracer: Tracer, position: int) -> int:
    _store(tracer, _U4(tracer.data, position)[0])
    return position + 4


def _binget(tracer: Tracer, position: int) -> int:
    _fetch(tracer, tracer.data[position])
    return position + 1


def _long_binget(tracer: Tracer, position: int) -> int:
    _fetch(tracer, _U4(tracer.data, position)[0])
    return position + 4


def _memoize(tracer: Tracer, position: int) -> int:
    tracer.memo[len(tracer.memo)] = tracer.stack[-1]
    return position


def _empty(kind: str) -> Handler:
    def push(tracer: Tracer, position: int) -> int:
        tracer.stack.append(Box(kind))
        return position

    return push


def _row(count: int) -> Handler:
    def push(tracer: Tracer, position: int) -> int:
        stack = tracer.stack
        if len(stack) < count:
            raise IndexError
        items = tuple(stack[-count:])
        del stack[-count:]
        stack.append(Row(items))
        return position

    return push


def _tuple(tracer: Tracer, position: int) -> int:
    values = tracer.pop_mark()
    tracer.stack.append(Row(tuple(values)))
    return position


def _filled(kind: str) -> Handler:
    def push(tracer: Tracer, position: int) -> int:
        values = tracer.pop_mark()
        box = Box(kind)
        box.visits += sum(map(visits, values))
        _note_hashed(tracer, values if kind != "dict" else values[::2], box)
        tracer.stack.append(box)
        return position

    return push


def _note_hashed(tracer: Tracer, values: Iterable[Thing], box: Box) -> None:
    """Note tuples that go into something: into a set or as a dict's key they are hashed, into a list not yet."""
    for value in values:
        if type(value) is Row and value.harmful:
            box.harmful = True
            if box.kind != "list":
                tracer.odd(
                    Odd.HASH_BOMB,
                    f"hashes a tuple nested {value.depth} deep ({value.visits} visits), which crashes or hangs its reader",
                )


def _append_all(tracer: Tracer, values: list[Thing]) -> None:
    target = tracer.stack[-1]
    if type(target) is Box:
        target.visits = min(MOST, target.visits + sum(map(visits, values)))
        if target.kind != "list":
            tracer.refuse("it appends to nothing but lists")
        elif any(type(value) is Row for value in values):
            _note_hashed(tracer, values, target)


def _append(tracer: Tracer, position: int) -> int:
    _append_all(tracer, [tracer.pop()])
    return position


def _appends(tracer: Tracer, position: int) -> int:
    _append_all(tracer, tracer.pop_mark())
    return position


_MAPPINGS = frozenset({"dict", "collections.OrderedDict", "collections.Counter"})


def _set_all(tracer: Tracer, pairs: list[Thing]) -> None:
    keys = pairs[::2]
    target = tracer.stack[-1]
    if type(target) is not Box:
        return
    target.visits = min(MOST, target.visits + sum(map(visits, pairs)))
    if target.kind not in _MAPPINGS:
        tracer.refuse("it sets items of dict, OrderedDict and Counter alone")
    if any(type(key) is Row for key in keys):
        _note_hashed(tracer, keys, target)


def _setitem(tracer: Tracer, position: int) -> int:
    value = tracer.pop()
    _set_all(tracer, [tracer.pop(), value])
    return position


def _setitems(tracer: Tracer, position: int) -> int:
    _set_all(tracer, tracer.pop_mark())
    return position


def _additems(tracer: Tracer, position: int) -> int:
    values = tracer.pop_mark()
    target = tracer.stack[-1]
    if type(target) is Box:
        _note_hashed(tracer, values, target)
    return position


def _global(tracer: Tracer, position: int) -> int:
    module, middle = tracer.line(position)
    name, end = tracer.line(middle)
    tracer.stack.append(_named(tracer, module, name))
    return end


def _named(tracer: Tracer, module: bytes, name: bytes) -> Thing:
    if not module:
        raise BrokenError("a class is of a module without a name")  # which Python refuses to import
    return tracer.name(utf8(tracer, module), utf8(tracer, name))


def _stack_global(tracer: Tracer, position: int) -> int:
    name = tracer.pop()
    module = tracer.pop()
    tracer.stack.append(tracer.name(module, name))
    return position


def _inst(tracer: Tracer, position: int) -> int:
    module, middle = tracer.line(position)
    name, end = tracer.line(middle)
    owner = _named(tracer, module, name)
    arguments = Row(tuple(tracer.pop_mark()))
    tracer.stack.append(reduce(tracer, owner, arguments))
    return end


def _obj(tracer: Tracer, position: int) -> int:
    values = tracer.pop_mark()
    tracer.stack.append(reduce(tracer, values[0], Row(tuple(values[1:]))))
    return position


def _reduce(tracer: Tracer, position: int) -> int:
    arguments = tracer.pop()
    function = tracer.pop()
    tracer.stack.append(reduce(tracer, function, arguments))
    return position


def _newobj(tracer: Tracer, position: int) -> int:
    arguments = tracer.pop()
    tracer.stack.append(instance(tracer, tracer.pop(), arguments))
    return position


def _newobj_ex(tracer: Tracer, position: int) -> int:
    tracer.pop()
    return _newobj(tracer, position)


def _build(tracer: Tracer, position: int) -> int:
    state = tracer.pop()
    build(tracer, tracer.stack[-1], state)
    return position


def _persid(tracer: Tracer, position: int) -> int:
    _, end = tracer.line(position)
    tracer.stack.append(UNKNOWN)
    return end


def _binpersid(tracer: Tracer, position: int) -> int:
    pid = tracer.pop()
    first = pid.items[0] if type(pid) is Row and pid.items else None
    if first not in ("storage", b"storage"):
        tracer.refuse("it takes no persistent ids but those of storages")
    tracer.stack.append(_module_class(pid) or UNKNOWN)
    return position


def _module_class(pid: Thing) -> Named | None:
    """The class that old files store with its source text: `("module", class, file, source)`, and before 0.1.10 without the first."""
    items = pid.items if type(pid) is Row else ()
    at = 1 if items[:1] in (("module",), (b"module",)) else 0
    owner = items[at] if len(items) > at else None
    return owner if type(owner) is Named else None


def _extension(size: int) -> Handler:
    def push(tracer: Tracer, position: int) -> int:
        code = int.from_bytes(tracer.block(position, size)[0], "little")
        tracer.odd(
            Odd.EXTENSION,
            f"takes the class registered under the code {code} in the process that loads it, whatever that is",
        )
        tracer.stack.append(UNKNOWN)
        return position + size

    return push


def _buffer(_: Tracer, __: int) -> int:
    raise BrokenError("a buffer is kept outside of the pickle")


def _readonly(_: Tracer, position: int) -> int:
    return position


HANDLERS: Final[dict[int, Handler]] = {
    op.MARK: _mark, op.STOP: _stop, op.POP: _pop, op.POP_MARK: _pop_mark, op.DUP: _dup,
    **LITERALS,
    op.EMPTY_TUPLE: constant(Row(())), op.TUPLE1: _row(1), op.TUPLE2: _row(2), op.TUPLE3: _row(3), op.TUPLE: _tuple,
    op.EMPTY_LIST: _empty("list"), op.LIST: _filled("list"), op.APPEND: _append, op.APPENDS: _appends,
    op.EMPTY_DICT: _empty("dict"), op.DICT: _filled("dict"), op.SETITEM: _setitem, op.SETITEMS: _setitems,
    op.EMPTY_SET: _empty("builtins.set"), op.ADDITEMS: _additems, op.FROZENSET: _filled("builtins.frozenset"),
    op.GET: _get, op.BINGET: _binget, op.LONG_BINGET: _long_binget, op.PUT: _put, op.BINPUT: _binput,
    op.LONG_BINPUT: _long_binput, op.MEMOIZE: _memoize,
    op.GLOBAL: _global, op.STACK_GLOBAL: _stack_global, op.INST: _inst, op.OBJ: _obj, op.REDUCE: _reduce,
    op.NEWOBJ: _newobj, op.NEWOBJ_EX: _newobj_ex, op.BUILD: _build, op.PERSID: _persid, op.BINPERSID: _binpersid,
    op.EXT1: _extension(1), op.EXT2: _extension(2), op.EXT4: _extension(4),
    op.PROTO: _proto, op.FRAME: _frame, op.NEXT_BUFFER: _buffer, op.READONLY_BUFFER: _readonly,
}  # fmt: skip


def trace(data: bytes, place: str, *, start: int = 0, nested: bool = False, doubtful: int | None = None) -> Trace:
    """Follow the pickle that begins at `start`. Never raises; linear in the data, and bounded.

    From `doubtful` on some reader may begin an operation anywhere, so that names are looked for at every byte.
    """
    tracer = Tracer(data, place, start, nested=nested)
    if doubtful is not None:
        tracer.doubtful = doubtful
    return tracer.run(HANDLERS)
