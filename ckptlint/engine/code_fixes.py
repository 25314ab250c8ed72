"""Mend loading code where the syntax alone says how: edits of a few characters at the places that the checks found.

The edits are insertions and replacements at positions of the syntax tree, so that every other byte of the file stays as it is, layout and
comments too. That needs no concrete syntax tree: none of these edits moves a statement, and what is edited must still parse to be kept.
Mended is what has one meaning: a `torch.load` that says nothing gets `weights_only=True`, `lstrip("module.")` becomes `removeprefix`.
What is left to the user: `strict=False` whose result nobody reads (what to do with the result is for them to say), and keys that are
rewritten by hand, for which `ckptlint suggest` writes a migration.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ckptlint.engine.syntax import Spot

_STRIPS = {"lstrip": "removeprefix", "rstrip": "removesuffix"}


class Edit(NamedTuple):
    """Bytes of a UTF-8 text from `start` to `end` that become `text`."""

    start: int
    end: int
    text: str


def fixed(text: str, spots: Iterable[Spot]) -> tuple[str, int]:
    """The text with all that can be mended, and how many places that are; itself where an edit would not parse."""
    content = text.encode()
    starts = [0]
    for line in content.split(b"\n"):
        starts.append(starts[-1] + len(line) + 1)
    edits = sorted({edit for spot in spots for edit in _edits(spot, content, starts)}, reverse=True)
    for edit in edits:
        content = content[: edit.start] + edit.text.encode() + content[edit.end :]
    mended = content.decode()
    try:
        ast.parse(mended)
    except SyntaxError:
        return text, 0
    return mended, len(edits)


def _edits(spot: Spot, content: bytes, starts: list[int]) -> Iterator[Edit]:
    node = spot.node
    if not isinstance(node, ast.Call):
        return
    if spot.check == "unsafe-torch-load" and all(each.arg not in ("weights_only", None) for each in node.keywords):
        last = max(
            [*node.args, *(each.value for each in node.keywords)], key=lambda each: _end(each, starts), default=None
        )
        if last is not None:
            place = _behind(content, _end(last, starts), _end(node, starts))
            yield Edit(place, place, ", weights_only=True")
    elif spot.check == "stripped-characters" and isinstance(node.func, ast.Attribute) and node.func.attr in _STRIPS:
        end = _end(node.func, starts)
        yield Edit(end - len(node.func.attr), end, _STRIPS[node.func.attr])


def _behind(content: bytes, start: int, end: int) -> int:
    """Behind the brackets that close around an argument, which the tree does not know: `load((path))`."""
    tail = content[start : end - 1]
    closing = len(tail) - len(tail.lstrip(b" \t\n)"))
    return start + tail[:closing].rfind(b")") + 1


def _end(node: ast.expr, starts: list[int]) -> int:
    return starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
