"""Strict YAML: the part of YAML that reads the same to everyone, with the place of every value.

No anchors, aliases, tags, directives, merge keys, duplicate keys, keys that are not text, or several documents; depth, size and
number of nodes are bounded before anything is built. Only PyYAML's events are used, from its C parser where it is built in; nodes
are made from them one by one, so no input can exhaust the stack.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from ckptlint.documents.nodes import Content, Entry, Kind, Node, Trail, scalar_kind, shown
from ckptlint.errors import DocumentError

DEEPEST = 64
LARGEST = 10_000_000  # bytes
MOST_NODES = 120_000

PARSER: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C parser is ten times faster

_UNPRINTABLE = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_DIRECTIVE = re.compile(
    "(?:\\A|[\n\r\x85\u2028\u2029])%"
)  # looked for here, since libyaml takes quadratic time over many
_UNWRITABLE = re.compile("[\0\ud800-\udfff]")  # what escapes can make
_QUOTE = "a text with braces, brackets or a leading * must be quoted"


def parse(document: str | bytes, origin: str) -> Node:
    """Read one YAML document; everything that is wrong with it is a `DocumentError` with file:line:column."""
    text = decoded(document, origin)
    directive = _DIRECTIVE.search(text)
    if directive:
        raise _at(text, directive.end() - 1, origin, "directives are not accepted (% at the start of a line)")
    composer = _Composer(origin)
    for event in _events(text, origin):
        composer.take(event)
    return composer.root or Node(Kind.NOTHING, "", origin, 1, 1)


def decoded(document: str | bytes, origin: str) -> str:
    """Return the text of a UTF-8 file, without its byte order mark; control characters are refused."""
    if len(document) > LARGEST:
        raise DocumentError(f"is larger than {LARGEST // 1_000_000} MB", where=origin)
    if isinstance(document, str):
        text = document
    elif document[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DocumentError("is UTF-16", where=origin, hint="save it as UTF-8")
    else:
        try:
            text = document.decode()
        except UnicodeDecodeError as error:
            raise DocumentError(
                f"is not UTF-8: byte {error.start} is 0x{document[error.start]:02x}", where=origin
            ) from error
    text = text.removeprefix("\ufeff")
    bad = _UNPRINTABLE.search(text)
    if bad:
        raise _at(text, bad.start(), origin, f"has the character U+{ord(bad.group()):04X}, which no document may hold")
    return text


@dataclass(slots=True)
class _Open:
    """A list or mapping that is still being read."""

    start: yaml.Event
    trail: Trail | None
    items: list[Node] = field(default_factory=list)
    entries: dict[str, Entry] = field(default_factory=dict)
    key: Node | None = None

    @property
    def is_list(self) -> bool:
        return isinstance(self.start, yaml.SequenceStartEvent)


class _Composer:
    """Builds nodes from events; the open containers are a list, not the call stack."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.root: Node | None = None
        self.open: list[_Open] = []
        self.nodes = 0

    def take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.NodeEvent):
            self._take_node(event)
        elif isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
            self._close()
        elif isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
            raise self._fail(event, "a second document in one file")

    def _take_node(self, event: yaml.NodeEvent) -> None:
        if isinstance(event, yaml.AliasEvent):
            raise self._fail(event, f"aliases are not accepted (*{str(event.anchor)[:60]})", _QUOTE)
        if event.anchor:
            raise self._fail(
                event, f"anchors are not accepted (&{event.anchor[:60]})", "a text with a leading & must be quoted"
            )
        if isinstance(event, (yaml.ScalarEvent, yaml.CollectionStartEvent)) and event.tag:
            raise self._fail(
                event, f"tags are not accepted ({event.tag[:60]})", "a text with a leading ! must be quoted"
            )
        self.nodes += 1
        if self.nodes > MOST_NODES:
            raise self._fail(event, f"more than {MOST_NODES} values")
        trail = self._trail()
        if isinstance(event, yaml.ScalarEvent):
            if _UNWRITABLE.search(event.value):
                raise self._fail(event, "a NUL or half a surrogate pair in a text")
            kind = Kind.TEXT if event.style else scalar_kind(event.value)
            self._add(self._node(event, kind, event.value, trail))
            return
        self._check_open(event)
        self.open.append(_Open(event, trail))

    def _check_open(self, event: yaml.NodeEvent) -> None:
        if len(self.open) >= DEEPEST:
            line, column = _place(event)
            raise DocumentError(f"nested deeper than {DEEPEST} levels", where=f"{self.origin}:{line}:{column}")
        inner = self.open[-1] if self.open else None
        if inner and not inner.is_list and inner.key is None:
            raise self._fail(event, "a key must be text", _QUOTE)

    def _close(self) -> None:
        done = self.open.pop()
        kind, content = (Kind.LIST, tuple(done.items)) if done.is_list else (Kind.MAPPING, done.entries)
        self._add(self._node(done.start, kind, content, done.trail))

    def _add(self, node: Node) -> None:
        if not self.open:
            self.root = node
            return
        inner = self.open[-1]
        if inner.is_list:
            inner.items.append(node)
        elif inner.key is None:
            inner.key = self._key(inner, node)
        else:
            inner.entries[str(inner.key.content)] = Entry(inner.key, node)
            inner.key = None

    def _key(self, inner: _Open, node: Node) -> Node:
        """Make a key: always text, whatever its scalar looks like, so that `1` and `"1"` are one key."""
        name = str(node.content)
        place = Node(Kind.TEXT, name, self.origin, node.line, node.column, inner.trail)
        if not name and node.bare:
            raise place.fail("a key is empty")
        if name == "<<" and node.bare:
            raise place.fail("merge keys (<<) are not accepted")
        if name in inner.entries:
            raise place.fail(f"duplicate key {shown(name)}; it was first on line {inner.entries[name].key.line}")
        return Node(Kind.TEXT, name, self.origin, node.line, node.column, Trail(inner.trail, name))

    def _trail(self) -> Trail | None:
        if not self.open:
            return None
        inner = self.open[-1]
        if inner.is_list:
            return Trail(inner.trail, len(inner.items))
        return Trail(inner.trail, str(inner.key.content)) if inner.key else inner.trail

    def _node(self, event: yaml.Event, kind: Kind, content: Content, trail: Trail | None) -> Node:
        line, column = _place(event)
        if isinstance(event, yaml.ScalarEvent):
            bare = not event.style
        else:
            bare = isinstance(event, yaml.CollectionStartEvent) and bool(event.flow_style)
        return Node(kind, content, self.origin, line, column, trail, bare)

    def _fail(self, event: yaml.Event, message: str, hint: str = "") -> DocumentError:
        line, column = _place(event)
        return Node(Kind.NOTHING, "", self.origin, line, column, self._trail()).fail(message, hint)


def _place(event: yaml.Event) -> tuple[int, int]:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (0, 0)


def _events(text: str, origin: str) -> Iterator[yaml.Event]:
    try:
        yield from yaml.parse(text, Loader=PARSER)
    except yaml.MarkedYAMLError as error:
        raise _syntax(text, origin, error) from error
    except (
        yaml.YAMLError,
        ValueError,
        OverflowError,
    ) as error:  # PyYAML's own int() and chr() of escapes and directives
        raise DocumentError(f"is not YAML: {error}", where=origin) from error


def _syntax(text: str, origin: str, error: yaml.MarkedYAMLError) -> DocumentError:
    mark = error.problem_mark or error.context_mark
    problem = (error.problem or "cannot be read").replace("did not find expected", "expected")
    context = f" {error.context}" if error.context else ""
    if mark is None:
        return DocumentError(f"is not YAML: {problem}{context}", where=origin)
    place = f"{origin}:{mark.line + 1}:{mark.column + 1}"
    return DocumentError(f"is not YAML: {problem}{context}", where=place, hint=_advice(text, mark.index, error))


def _advice(text: str, index: int, error: yaml.MarkedYAMLError) -> str:
    """Say what the author most likely meant, from the characters around the place."""
    here, before = text[index : index + 1], text[max(index - 1, 0) : index]
    if "alias" in (error.context or "") or here in ("{", "[") or before in ("}", "]"):
        return _QUOTE
    if "mapping values are not allowed" in (error.problem or ""):
        return "a text with ': ' in it must be quoted"
    if here == "\t":
        return "indent with spaces"
    return f"a text with a leading {here} must be quoted" if here in tuple("@`%!&*") else ""


def _at(text: str, index: int, origin: str, message: str) -> DocumentError:
    line = text.count("\n", 0, index) + 1
    column = index - text.rfind("\n", 0, index)
    return DocumentError(message, where=f"{origin}:{line}:{column}")
