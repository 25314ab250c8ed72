"""`ops:`, the operations of a rewrite: what an operation's dataclass declares is what the file may say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields
from functools import cache
from types import UnionType
from typing import Any, Literal, TypeGuard, Union, get_args, get_origin, get_type_hints

from ckptlint.core.dtype import DType
from ckptlint.core.expression import Expression
from ckptlint.core.initial import Initial
from ckptlint.core.migration import DeclaredSpec, OpCall, Option
from ckptlint.core.operation import Operation, option_name
from ckptlint.core.spec import TensorSpec
from ckptlint.documents import word_lists
from ckptlint.documents.initial import read_initial
from ckptlint.documents.nodes import Entry, Kind, Node, nearest, shown
from ckptlint.documents.scope import Scope

ORDER = "order"
SLOTS = ("over", "only")  # said beside the options of an operation, about the slots it works on


@cache
def in_ops() -> Mapping[str, type[Operation]]:
    """The operations that may stand in `ops`; most migrations only rename, and do not pay for them."""
    from ckptlint.ops.vocabulary import OPERATIONS

    return {name: op for name, op in OPERATIONS.items() if op.arity != "make"}


def read_op_calls(node: Node | None, scope: Scope) -> tuple[OpCall, ...]:
    return tuple(_op_call(item, scope) for item in node.items()) if node else ()


def _op_call(item: Node, scope: Scope) -> OpCall:
    """Read `{split: {dim: 0, sizes: [1, 2]}}`, or `{rearrange: "a b -> b a", b: 2}` with options beside the name."""
    entry = _named(item)
    name, body = str(entry.key.content), entry.value
    beside = {str(pair.key.content): pair for pair in item.pairs() if pair.key is not entry.key}
    if name == ORDER:
        for pair in beside.values():
            raise item.at_key(pair).fail(
                f"unknown key {shown(str(pair.key.content))}", hint="order is a list of slots, alone"
            )
        return OpCall(name, {ORDER: tuple(_slot(slot) for slot in body.items())}, where=body.where)
    op = in_ops()[name]
    given = _given(body, op, beside)
    slots = {key: given.pop(key) for key in SLOTS if key in given}
    options = _options(body, op, given, scope)
    _try(body, op, options)
    return OpCall(name, options, _over(slots.get("over"), op), _only(slots.get("only")), body.where)


def _named(item: Node) -> Entry:
    """Return the entry that names the operation."""
    pairs = item.pairs()
    named = [pair for pair in pairs if pair.key.content in (*in_ops(), ORDER)]
    if len(named) > 1:
        raise named[1].key.fail("one item of `ops` holds one operation", hint="begin a new item with -")
    if named:
        return named[0]
    if not pairs:
        raise item.fail("should hold an operation")
    word = str(pairs[0].key.content)
    if word == "fill":
        raise pairs[0].key.fail("`fill` makes a tensor of nothing", hint="use the rewrite `new`")
    raise pairs[0].key.fail(f"there is no operation {shown(word)}", hint=nearest(word, (*in_ops(), ORDER)))


def _given(body: Node, op: type[Operation], beside: Mapping[str, Entry]) -> dict[str, Entry]:
    """Collect the options from the operation's own mapping and from beside its name; a bare value is the option it is short for."""
    if isinstance(body.content, Mapping):
        given = dict(body.content)
    elif op.short:
        given = {op.short: Entry(body, body)}
    else:
        raise body.fail(f"should be a mapping of options, not {body.kind}", hint=f"such as {op.example}")
    for name, pair in beside.items():
        if name in given:
            raise pair.key.fail("stands in the operation's options too")
        given[name] = pair
    return given


def _options(body: Node, op: type[Operation], given: dict[str, Entry], scope: Scope) -> dict[str, Option]:
    known = _fields(op)
    options: dict[str, Option] = {}
    others: dict[str, Option] = {}
    for name, pair in given.items():
        if name in known:
            options[known[name][0].name] = _option(pair.value, known[name][1], scope)
        elif op.rest:
            others[name] = scope.number(pair.value)
        else:
            raise pair.key.fail(f"{op.name} has no option {shown(name)}", hint=nearest(name, (*known, *SLOTS)))
    if others:
        if op.rest in options:
            raise given[op.rest].key.fail(f"{' and '.join(others)} stand beside it; say all of them in one place")
        options[op.rest] = others
    for name, (field, _) in known.items():
        if field.name not in options and field.default is MISSING and field.default_factory is MISSING:
            raise body.fail(f"lacks {name!r}", hint=f"such as {op.example}")
    return options


def declared_spec(node: Node, scope: Scope) -> DeclaredSpec:
    """Read `f32[heads * 4, 8]`: sizes are expressions."""
    name, bracket, rest = node.text().strip().partition("[")
    if not bracket or not rest.endswith("]"):
        raise node.fail(f"{shown(node.text())} is not a tensor spec", hint="write it as f32[4,8]")
    sizes = [size.strip() for size in rest[:-1].split(",")] if rest != "]" else []
    return DeclaredSpec(
        node.located(DType.parse, name.strip()), tuple(scope.expression_of(node, size) for size in sizes)
    )


_SCALARS: dict[object, Callable[[Node, Scope], Option]] = {
    int: lambda node, scope: scope.number(node),
    float: lambda node, scope: scope.number(node) if node.kind is Kind.TEXT else node.number(),
    str: lambda node, _: node.text(),
    bool: lambda node, _: node.boolean(),
    DType: lambda node, _: node.read(DType.parse),
    TensorSpec: declared_spec,
    Initial: lambda node, _: read_initial(node),
}


@cache
def _fields(op: type[Operation]) -> dict[str, tuple[Field[Any], Any]]:
    hints = get_type_hints(op)
    return {option_name(field.name): (field, hints[field.name]) for field in fields(op)}  # type: ignore[arg-type]  # operations are dataclasses


def _option(node: Node, hint: Any, scope: Scope) -> Option:
    """Read an option of the annotated type; an integer may be an expression."""
    if hint in _SCALARS:
        return _SCALARS[hint](node, scope)
    arguments, origin = get_args(hint), get_origin(hint)
    if origin in (Union, UnionType):
        return _option(node, next(each for each in arguments if each is not type(None)), scope)
    if origin is Literal:
        return str(node.choice(arguments))
    if origin is tuple and arguments[0] is str and word_lists.is_file(node):
        return word_lists.names(node)
    if origin is tuple:
        return tuple(_option(item, arguments[0], scope) for item in node.items())
    if origin is not None and issubclass(origin, Mapping):
        return {key: _option(value, arguments[1], scope) for key, value in node.entries().items()}
    raise TypeError(f"no YAML is known for an option of type {hint}")


def _try(body: Node, op: type[Operation], options: Mapping[str, Option]) -> None:
    """Build the operation where nothing waits for a checkpoint: what it refuses has a place here, and none later."""
    if _settled(options):
        body.located(lambda: op(**options))


def _settled(option: object) -> TypeGuard[object]:
    if isinstance(option, Mapping):
        return all(map(_settled, option.values()))
    if isinstance(option, tuple):
        return all(map(_settled, option))
    return not isinstance(option, Expression | DeclaredSpec)


def _over(pair: Entry | None, op: type[Operation]) -> str:
    if pair is None:
        return ""
    if op.arity not in ("join", "split", "mix"):
        raise pair.key.fail(
            f"{op.name} works on each tensor by itself; `over` is for those that fold or scatter a list"
        )
    return pair.value.text()


def _only(pair: Entry | None) -> tuple[int, ...] | None:
    if pair is None:
        return None
    slots = tuple(_slot(node) for node in pair.value.one_or_more())
    if len(set(slots)) < len(slots):
        raise pair.value.fail("names a slot twice")
    return slots


def _slot(node: Node) -> int:
    number = node.integer()
    if node.kind is not Kind.INTEGER or not 0 <= number < 1000:
        raise node.fail("should be a slot, counted from 0")
    return number
