"""A checkpoint's tree as plain data, one entry a leaf: what `inspect --format json` prints and two checkpoints are compared by."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from math import isfinite
from typing import TypeAlias

from ckptlint.core.paths import children, walk
from ckptlint.core.tree import (
    Bytes,
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
)

Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"

_MOST_OPENED = 1_000_000  # places in objects; many objects may share what one stores
_CONTAINERS = ((Dict, "dict"), (List, "list"), (Tuple, "tuple"))


def tree_notation(root: Value, digest: Callable[[Tensor], str] | None = None) -> dict[str, dict[str, Plain]]:
    """Map each leaf's path to what it is.

    `{"tensor": [dtype, shape]}`, with the digest third where `digest` is given; `{"value": scalar}`, where what JSON does not have is an
    object (`{"float": "nan"}`, `{"bytes": hex}`, `{"complex": "1+2j"}`); `{"empty": "dict" | "list" | "tuple"}`; `{"opaque": name}` for
    an object that is not looked into, and a set is one. A tensor that is no run of elements (sparse, nested, on meta, a wrapper) also has
    its `layout`, and `parts`, the dense tensors in it by name. What opaque objects store is left out.
    """
    tree: dict[str, dict[str, Plain]] = {}
    inside: str | None = None  # an opaque object's items are part of it
    for path, value in walk(root, states=False):
        if inside is not None and path.startswith(inside):
            continue
        inside = f"{path}/" if isinstance(value, Opaque) else None
        entry = _entry(value, digest)
        if entry:
            tree[path] = entry
    return tree


def opened_notation(root: Value) -> dict[str, dict[str, Plain]]:
    """Return `tree_notation` with what objects store below them, `/cfg@/lr`; what an object in several places stores comes once."""
    tree: dict[str, dict[str, Plain]] = {}
    opened: set[int] = set()
    inside, room = None, _MOST_OPENED
    for path, value in walk(root, states=False):
        if inside is not None and path.startswith(inside):
            continue
        inside = f"{path}/" if isinstance(value, Opaque) else None
        first = isinstance(value, Opaque) and id(value) not in opened
        for place, held in islice(walk(value, at=path), max(room, 1)) if first else [(path, value)]:
            room -= first
            if isinstance(held, Opaque):
                opened.add(id(held))
            entry = _entry(held, None)
            if entry:
                tree[place] = entry
    return tree


def _entry(value: Value, digest: Callable[[Tensor], str] | None) -> dict[str, Plain]:
    """What stands for a leaf; nothing for a container that is not empty."""
    if isinstance(value, Tensor):
        shape: list[Plain] = list(value.shape)
        return {"tensor": [value.dtype.long, shape, *([digest(value)] if digest else [])]}
    if isinstance(value, Composite):
        parts: dict[str, Plain] = {name: _entry(part, digest)["tensor"] for name, part in value.parts}
        return {"tensor": [value.dtype.long, list(value.shape)], "layout": value.layout, "parts": parts}
    for kind, name in _CONTAINERS:
        if isinstance(value, kind):
            return {} if next(children(value), None) else {"empty": name}
    return {"opaque": _name(value)} if isinstance(value, Node) else {"value": _scalar(value)}


def _scalar(value: Value) -> Plain:
    if isinstance(value, float) and not isfinite(value):
        return {"float": repr(value)}
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, complex):
        return {"complex": str(value).strip("()")}
    return value if isinstance(value, bool | int | float | str) else None


def _name(node: Node) -> str:
    if isinstance(node, Opaque):
        return node.named
    if isinstance(node, Global):
        return str(node)
    if isinstance(node, Set):
        return "builtins.frozenset" if node.frozen else "builtins.set"
    names = {Bytes: "builtins.bytearray", Storage: "torch.UntypedStorage", Persistent: "persistent id"}
    return names.get(type(node), "?")
