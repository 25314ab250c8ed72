"""What an expression is made of, and how it is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

_BINDING: Final = {"+": 1, "-": 1, "*": 2, "/": 2, "//": 2, "%": 2}


@dataclass(frozen=True, slots=True)
class Infix:
    """Two operands and `+ - * // / %`; a negation is `0 - x`."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Call:
    """`lookup(table, x)`, its inverse `reverse_lookup(table, x)`, or `rank(template, x)`; `subject` is the table or template."""

    function: str
    subject: str
    argument: Node


Node: TypeAlias = int | str | Infix | Call  # an int is a number, a str a name


def walk(node: Node) -> Iterator[Node]:
    """Every node, operands after what they belong to."""
    waiting = [node]
    while waiting:
        here = waiting.pop()
        yield here
        if isinstance(here, Infix):
            waiting += (here.right, here.left)
        elif isinstance(here, Call):
            waiting.append(here.argument)


def depth(node: Node) -> int:
    level, waiting = 0, [node]
    while waiting:
        level += 1
        waiting = [part for here in waiting for part in _operands(here)]
    return level


def _operands(node: Node) -> tuple[Node, ...]:
    if isinstance(node, Infix):
        return node.left, node.right
    return (node.argument,) if isinstance(node, Call) else ()


def written(node: Node, binding: int) -> str:
    """Write a node; in parentheses where it binds less tightly than `binding`."""
    if isinstance(node, int | str):
        return str(node)
    if isinstance(node, Call):
        return f"{node.function}({_written_subject(node)}, {written(node.argument, 0)})"
    if node.operator == "-" and node.left == 0:
        return f"-{written(node.right, 3)}"
    mine = _BINDING[node.operator]
    text = f"{written(node.left, mine)}{node.operator}{written(node.right, mine + 1)}"
    return f"({text})" if mine < binding else text


def _written_subject(call: Call) -> str:
    text = call.subject
    if call.function != "rank" or (bare_template(text + ",", 0) == len(text) and text == text.strip() != ""):
        return text
    return f'"{text}"' if '"' not in text else f"'{text}'"


def bare_template(text: str, start: int) -> int | None:
    """Where an unquoted template ends: at the first comma outside braces. None where there is no such, or it looks quoted."""
    depth = 0
    if text[start : start + 1] in {'"', "'"}:
        return None
    for column in range(start, len(text)):
        character = text[column]
        depth += (character == "{") - (character == "}")
        if character == "," and depth <= 0:
            return column
    return None
