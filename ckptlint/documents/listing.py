r"""An ordered list of dotted keys, each with a word, written as short text: consecutive repetition is written once.

    model.layers.{i=0..31}:
      self_attn.{q_proj,k_proj}.weight  f32[8,8]
      mlp.weight  f32[8,32]

A block stands for its lines once for each item of its list, the last list varying fastest, so that the order of the keys is exact. A line
`.` is the block's own key; a head `layers.5: like layers.3` has the lines of the latest block with that head. Only printable ASCII without
`\ { } , = : # [ ]` and blanks stands for itself; other characters are `\x20`, `\u00e9` or `\U0001f600`, and `\e` is an empty text. Writing
takes time linear in the keys; `listing_reader` reads it.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, NamedTuple, TypeVar

from ckptlint.core.selector import Run

DEEPEST: Final = 64  # segments of a key that may make blocks; all that is behind them counts as one
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.\-+/@!\"$%&'()*;<>?^`|~]")
_NOT_GRAPHIC: Final = re.compile(r"[^!-\[\]-~]")
_PLAIN: Final = re.compile(r"0|[1-9][0-9]{0,17}")
_NUMBERED: Final = re.compile(r"([^0-9]*)([0-9]{1,18})([^0-9]*)")
_NAMES: Final = "ijklmn"  # of blocks within blocks
_WORTH_SHARING: Final = 6  # lines from which a block that came before is referred to
_OWN: Final = -1  # in place of a body: the key itself, and its word

W = TypeVar("W", bound=Hashable)


class Line(NamedTuple, Generic[W]):
    """A line: `word` is None for a block's head; `path` has the key's segments, None where it is a list's."""

    depth: int
    text: str
    word: W | None
    path: tuple[str | None, ...]


def listing(rows: Iterable[tuple[str, W]]) -> Iterator[Line[W]]:
    """Fold keys with their words, in their order, into lines."""
    tree: _Tree[W] = _Tree()
    return tree.lines(tree.read(rows), None, (), 0)


def parts(key: str) -> list[str]:
    """The segments of a key, as blocks see them."""
    return key.split(".", DEEPEST - 1)


def escape(key: str) -> str:
    """Write a whole key, outside any list."""
    return _begun(_safe(key))


def quote(text: str) -> str:
    """Write a text that is no key, such as the name of a class: only blanks, backslashes and what is not ASCII are escaped."""
    return _NOT_GRAPHIC.sub(_escaped, text) or r"\e"


def _safe(text: str) -> str:
    return text if _UNSAFE.search(text) is None else _UNSAFE.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


class _Entry(NamedTuple, Generic[W]):
    """Siblings whose bodies are equal: their segments and the number of the body. At `_OWN` the key itself, and its word."""

    labels: tuple[str, ...]
    body: int
    word: W | None


@dataclass(slots=True)
class _Open(Generic[W]):
    """A segment whose keys are still being read: its entries, segments still growing."""

    label: str
    entries: list[tuple[list[str], int, W | None]] = field(default_factory=list)


class _Tree(Generic[W]):
    """Keys in order; equal bodies are kept once."""

    def __init__(self) -> None:
        self.bodies: list[tuple[_Entry[W], ...]] = []
        self.known: dict[tuple[_Entry[W], ...], int] = {}
        self.heights: list[int] = []  # how many lines a body takes
        self.uses: list[int] = []  # how many entries have it
        self.written: dict[str, int] = {}  # the latest block with this head
        self.places: dict[int, str] = {}  # and the latest head of a body

    def read(self, rows: Iterable[tuple[str, W]]) -> int:
        """Return the number of the body that holds all rows."""
        path: list[_Open[W]] = [_Open("")]
        for key, word in rows:
            segments = parts(key)
            common = 0
            for segment, opened in zip(segments, path[1:], strict=False):
                if opened.label != segment:
                    break
                common += 1
            self._close(path, common + 1)
            path += [_Open(segment) for segment in segments[common:]]
            path[-1].entries.append(([], _OWN, word))
        self._close(path, 1)
        return self._body(path[0])

    def _close(self, path: list[_Open[W]], length: int) -> None:
        """Close the innermost segments. Neighbours with the same body become one entry."""
        while len(path) > length:
            closed = path.pop()
            body, entries = self._body(closed), path[-1].entries
            if entries and entries[-1][1] == body:
                entries[-1][0].append(closed.label)
            else:
                entries.append(([closed.label], body, None))

    def _body(self, closed: _Open[W]) -> int:
        body = tuple(_Entry(tuple(labels), number, word) for labels, number, word in closed.entries)
        fresh = len(self.bodies)
        number = self.known.setdefault(body, fresh)
        if number == fresh:
            self.bodies.append(body)
            self.heights.append(sum(map(self._height, body)))
            self.uses.append(0)
        return number

    def _height(self, entry: _Entry[W]) -> int:
        if entry.body == _OWN:
            return 1
        self.uses[entry.body] += 1
        height = self.heights[entry.body]
        return height + 1 if height > 1 and len(entry.labels) > 1 else height

    def lines(self, number: int, before: str | None, path: tuple[str | None, ...], depth: int) -> Iterator[Line[W]]:
        """Write a body; `before` is the text in front of it, None at the start of a block."""
        for labels, body, word in self.bodies[number]:
            if body == _OWN:
                yield Line(depth, "." if before is None else _begun(before), word, path)
                continue
            shared = self.uses[body] > 1 and self.heights[body] >= _WORTH_SHARING
            inline = self.heights[body] == 1 or (len(labels) == 1 and not shared)
            own = _segment(labels, "" if inline else f"{_NAMES[depth % len(_NAMES)]}=")
            text = own if before is None else f"{before}.{own}"
            if inline:
                yield from self.lines(body, text, (*path, labels[0] if len(labels) == 1 else None), depth)
            else:
                yield from self._block(body, _begun(text), (*([None] * len(path) if shared else path), None), depth)

    def _block(self, body: int, head: str, path: tuple[str | None, ...], depth: int) -> Iterator[Line[W]]:
        """Write a body as a block, or as like the latest block that has it."""
        known = self.places.get(body)
        if known is not None and self.written[known] == body and self.heights[body] >= _WORTH_SHARING:
            yield Line(depth, f"{head}: like {known}", None, path)
            return
        yield Line(depth, f"{head}:", None, path)
        yield from self.lines(body, None, path, depth + 1)
        self.written[head] = body
        self.places[body] = head


def _begun(text: str) -> str:
    """A text at the start of a line, where nothing, and a dot, could be taken for something else."""
    return rf"\e{text}" if not text or text[0] == "." else text


def _segment(labels: Sequence[str], name: str) -> str:
    """Write segments as one, with a list in it in their order if there are several: `layer{1..4}`, `{q,k,v}`."""
    if len(labels) == 1:
        return _safe(labels[0])
    found = [_NUMBERED.fullmatch(label) for label in labels]
    frames = {(match[1], match[3]) if match else None for match in found}
    if len(frames) == 1 and None not in frames:
        numbers = [match[2] for match in found if match]
        ahead, behind = (_safe(text) for text in next(iter(frames)) or ())
        return f"{ahead}{{{name}{','.join(_items(numbers))}}}{behind}"
    return f"{{{name}{','.join(_items(labels))}}}"


def _items(labels: Sequence[str]) -> Iterator[str]:
    """Words, and runs of three or more numbers that count up by one."""
    start = 0
    for index in range(1, len(labels) + 1):
        grown = index < len(labels) and _follows(labels[index - 1], labels[index])
        if grown and (len(labels[start]) == len(labels[index]) or _PLAIN.fullmatch(labels[start])):
            continue
        if index - start > 2:
            first, last = labels[start], labels[index - 1]
            yield str(Run(int(first), int(last), 0 if _PLAIN.fullmatch(first) else len(first)))
        else:
            yield from (_safe(label).replace(".", r"\x2e") or r"\e" for label in labels[start:index])
        start = index


def _follows(first: str, second: str) -> bool:
    """Whether both are numbers, the second the next one, written alike."""
    if not (first.isascii() and first.isdigit() and second.isascii() and second.isdigit()) or len(first) > 18:
        return False
    padded = first[0] == "0" and len(first) > 1
    return int(first) + 1 == int(second[:19]) and second == f"{int(second[:19]):0{len(first) if padded else 0}d}"
