"""A value of a tree in a few words, for plans and messages."""

from __future__ import annotations

from ckptlint.core.tree import Bytes, Composite, Dict, Global, List, Node, Opaque, Set, Tensor, Tuple, Value

_LONGEST = 60
_MOST_BITS = 256


def in_short(value: Value) -> str:
    """A scalar as YAML mostly writes it, cut where it is long; of a container how much it holds."""
    if isinstance(value, Node):
        return _of_node(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        return f"an integer of {value.bit_length()} bits"  # Python refuses to write it in decimals
    text = repr(value) if isinstance(value, str | bytes) else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _of_node(node: Node) -> str:
    if isinstance(node, Tensor | Composite):
        return f"tensor {node.spec}"
    if isinstance(node, Opaque):
        return f"an object of {node.named}"
    if isinstance(node, Global):
        return str(node)
    if isinstance(node, Dict):
        return f"a mapping of {len(node.items)}" if node.items else "{}"
    if isinstance(node, List | Tuple):
        return f"a list of {len(node.items)}" if node.items else "[]"
    if isinstance(node, Set):
        return f"a set of {len(node.items)}"
    return f"{len(node.content)} bytes" if isinstance(node, Bytes) else f"a {type(node).__name__.lower()}"
