"""Everything in a tree that has data, found without unfolding what is shared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from ckptlint.core.tree import Call, Composite, Dict, List, Node, Opaque, Persistent, Set, Storage, Tensor, Tuple, Value

Below = Callable[[Value], Iterable[Value] | None]


def held(root: Value, instead: Below) -> Iterator[Tensor | Storage]:
    """Yield each tensor and bare storage once, wherever in the tree it is.

    `instead` gives what is to be looked into in the place of a node's own content, None for a node that is as it is.
    """
    seen: set[int] = set()
    pending: list[Value] = [root]
    while pending:
        value = pending.pop()
        if type(value) not in _INSIDE or id(value) in seen:
            continue
        seen.add(id(value))
        other = instead(value)
        if other is not None:
            pending.extend(other)
            continue
        if isinstance(value, Tensor | Storage):
            yield value
        pending.extend(_INSIDE[type(value)](value))


def reached(root: Value) -> Iterator[Value]:
    """Yield everything that is in a tree, each object once: keys, what made objects, and what they store."""
    seen: set[int] = set()
    pending: list[Value] = [root]
    while pending:
        value = pending.pop()
        if isinstance(value, Node):
            if id(value) in seen:
                continue
            seen.add(id(value))
            pending.extend(_INSIDE[type(value)](value) if type(value) in _INSIDE else ())
        yield value


def _of_dict(node: Dict) -> Iterator[Value]:
    for key, value in node.items:
        yield key
        yield value
    yield node.state
    if node.made_by is not None:
        yield from _of_call(node.made_by)


def _of_opaque(node: Opaque) -> Iterator[Value]:
    yield from _of_call(node.call)
    for _, *values in node.changes:
        yield from values


def _of_call(call: Call) -> Iterator[Value]:
    yield from (call.function, call.arguments, call.keywords)


def _of_tensor(node: Tensor) -> Iterator[Value]:
    wrap = node.wrap
    while wrap is not None:
        yield from wrap.arguments
        wrap = wrap.inner


def _of_sequence(node: List | Tuple | Set) -> Iterable[Value]:
    return node.items


def _of_persistent(node: Persistent) -> Iterator[Value]:
    yield node.pid


_INSIDE: dict[type, Callable[..., Iterable[Value]]] = {
    Dict: _of_dict,
    List: _of_sequence,
    Tuple: _of_sequence,
    Set: _of_sequence,
    Opaque: _of_opaque,
    Composite: _of_opaque,
    Persistent: _of_persistent,
    Tensor: _of_tensor,
    Storage: lambda _: (),
}
