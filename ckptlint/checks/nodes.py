"""Every object of a checkpoint's tree, each once, however often it is shared."""

from __future__ import annotations

from collections.abc import Iterator

from ckptlint.core.paths import children, join, stored
from ckptlint.core.tree import Call, Dict, Node, Opaque, Set, Tensor, Value

_HIDDEN = "@"


def objects(root: Value) -> Iterator[Node]:
    """Yield each node once, in no promised order; much quicker than `nodes`, which also says where they are."""
    seen: set[int] = set()
    waiting: list[Value] = [root]
    while waiting:
        value = waiting.pop()
        if not isinstance(value, Node) or id(value) in seen:
            continue
        seen.add(id(value))
        yield value
        if isinstance(value, Dict):
            plain = {id(each): each for _, each in value.items if type(each) is Tensor and each.wrap is None}
            yield from (each for number, each in plain.items() if number not in seen)  # nearly all: nothing is in them
            seen.update(plain)
            waiting.extend([member for _, member in value.items if id(member) not in plain])
            waiting.append(stored(value))
        elif not isinstance(value, Tensor) or value.wrap is not None:
            waiting.extend([member for _, member in _inside("", value)])


def nodes(root: Value) -> Iterator[tuple[str, Node]]:
    """Yield each node under the first path that leads to it, outer before inner; also what no path leads to (arguments, sets)."""
    seen: set[int] = set()
    waiting: list[tuple[str, Value]] = [("/", root)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, Node) and id(value) not in seen:
            seen.add(id(value))
            yield path, value
            waiting.extend(reversed([*_inside(path, value)]))


def _inside(path: str, node: Node) -> Iterator[tuple[str, Value]]:
    yield from ((join(path, key), member) for key, member in children(node))
    yield (f"{path}{_HIDDEN}", stored(node))
    if isinstance(node, Set):
        yield from ((path, member) for member in node.items)
    if isinstance(node, Opaque):
        yield from ((path, part) for part in _parts(node.call))
        yield from ((path, part) for change in node.changes for part in change[1:])
    wrap = node.wrap if isinstance(node, Tensor) else None
    while wrap is not None:
        yield from ((path, argument) for argument in wrap.arguments)
        wrap = wrap.inner


def _parts(call: Call) -> tuple[Value, ...]:
    return (call.function, call.arguments, call.keywords)
