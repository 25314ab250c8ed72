"""The leaves of a nested state dict, under the flattened keys that torch.distributed.checkpoint gives them: paths joined with dots.

Mappings are opened, and lists in which there are tensors or mappings; everything else is a leaf, as torch has it. Unlike torch, an empty
mapping is a leaf too, so that it is there again when the folder is gathered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from ckptlint.core.tree import Composite, Dict, List, Node, Tensor, Value
from ckptlint.errors import OutputError

_MOST_LEAVES = 10_000_000
_DEEPEST = 1000

Path = tuple[str | int, ...]


class Leaf(NamedTuple):
    """A value, the flattened key that it is stored under, and its place: texts are keys, numbers places in lists."""

    key: str
    path: Path
    value: Value


def leaves(root: Value, replace: Callable[[Node], Value]) -> Iterator[Leaf]:
    """Return every leaf of a tree in which `replace` was done everywhere.

    `OutputError` where the root is no mapping, two leaves have one key, or the tree has no end.
    """
    top = replace(root) if isinstance(root, Node) else root
    if not isinstance(top, Dict):
        raise OutputError("a distributed checkpoint holds a dict, and this is none", hint="write a .pt file")
    seen: set[str] = set()
    for path, value in _walk(top, replace):
        key = ".".join(map(str, path))
        if key in seen:
            hint = "rename one of them, or write a .pt file"
            raise OutputError(f"two entries are called {key!r} when their paths are joined with dots", hint=hint)
        if len(seen) > _MOST_LEAVES:
            raise OutputError(f"the tree unfolds to more than {_MOST_LEAVES} values", hint="write a .pt file")
        seen.add(key)
        yield Leaf(key, path, value)


def _walk(top: Dict, replace: Callable[[Node], Value]) -> Iterator[tuple[Path, Value]]:
    pending: list[tuple[Path, Value]] = [((), top)]
    while pending:
        path, value = pending.pop()
        inner = _opened(value, replace) if isinstance(value, Dict | List) else None
        if inner is None or (path and not inner):
            yield path, value
            continue
        if len(path) > _DEEPEST:
            place = "/".join(map(str, path[:3]))
            raise OutputError(f"/{place} is nested without end, or too deeply", hint="write a .pt file")
        below = [((*path, step), replace(each) if isinstance(each, Node) else each) for step, each in inner]
        pending.extend(reversed(below))


def _opened(value: Dict | List, replace: Callable[[Node], Value]) -> list[tuple[str | int, Value]] | None:
    """What is in a container that is opened; None for one that is a leaf."""
    if isinstance(value, Dict):
        return [(key if isinstance(key, str) else str(key), each) for key, each in _last(value)]
    return list(enumerate(value.items)) if _holds_more(value, replace) else None


def _last(value: Dict) -> list[tuple[Value, Value]]:
    """The entries as a dict of Python has them: a key that comes twice has its last value."""
    if any(isinstance(key, Node) for key, _ in value.items):
        raise OutputError("a key that is an object cannot be written as a text", hint="write a .pt file")
    return list({(type(key), key): (key, each) for key, each in value.items}.values())


def _holds_more(value: List, replace: Callable[[Node], Value]) -> bool:
    """Whether a list, or one in it, holds a tensor or a mapping."""
    seen: set[int] = set()
    pending: list[Node] = [value]
    while pending:
        node = pending.pop()
        if isinstance(node, Dict | Tensor | Composite):
            return True
        if isinstance(node, List) and id(node) not in seen:
            seen.add(id(node))
            inner = (replace(each) for each in node.items if isinstance(each, Node))
            pending.extend(each for each in inner if isinstance(each, Node))
    return False
