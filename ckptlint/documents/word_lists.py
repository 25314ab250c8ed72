"""Lists of names that a migration reads from files beside it: vocabularies and classes, `{file: vocab.json}`.

The digest of a migration covers what these files hold, since that decides what it does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from ckptlint.documents.nodes import Node, shown
from ckptlint.documents.yaml_nodes import decoded

FILE = "file"
_LARGEST = 64_000_000  # bytes of such a file


def is_file(node: Node) -> bool:
    """Whether a node is `{file: NAME}`."""
    return isinstance(node.content, Mapping) and list(node.content) == [FILE]


def names(node: Node) -> tuple[str, ...]:
    """Read the names of `{file: NAME}`: a JSON list, a JSON object of name: number in the order of the numbers, or one name a line."""
    content = _content(node)
    try:
        text = decoded(content, str(node.get(FILE).text()))
        value = json.loads(text) if text.lstrip()[:1] in ("[", "{") else text.splitlines()
    except (ValueError, RecursionError) as error:
        raise node.fail(f"{shown(node.get(FILE).text())} is not JSON: {error}") from error
    if isinstance(value, dict):
        numbers: dict[str, object] = value
        if sorted(map(str, numbers.values())) != sorted(map(str, range(len(numbers)))):
            raise node.fail("the numbers of a vocabulary should be 0, 1, 2 ... without a gap, each once")
        value = sorted(numbers, key=lambda name: int(str(numbers[name])))
    if not all(isinstance(name, str) for name in value):
        raise node.fail("should hold names")
    return tuple(value)


def digests(root: Node) -> Iterator[str]:
    """Return the SHA-256 of every file that the operations of a migration name, in the order of the document."""
    todo = [root]
    while todo:
        node = todo.pop()
        if is_file(node) and node.trail is not None and ".ops[" in f".{node.path}":
            yield hashlib.sha256(_content(node)).hexdigest()
        elif isinstance(node.content, Mapping):
            todo += [entry.value for entry in reversed(tuple(node.content.values()))]
        elif isinstance(node.content, tuple):
            todo += reversed(node.content)


def _content(node: Node) -> bytes:
    name = node.get(FILE).text()
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise node.get(FILE).fail(f"{shown(name)} should be a file beside the migration, or in a folder there")
    place = Path(node.origin).parent / path
    try:
        if place.stat().st_size > _LARGEST:
            raise node.get(FILE).fail(f"{shown(name)} is larger than {_LARGEST // 1_000_000} MB")
        return place.read_bytes()
    except (OSError, ValueError) as error:
        raise node.get(FILE).fail(f"{shown(name)} cannot be read: {error}") from error
