"""Several migration files as one: their stages behind each other, and what each says of the whole where all agree.

A file is taken as its plain content, in the order in which it stands there. What a later file asks of the checkpoint as it is then (params,
conditions, cases, prefixes) has no place in one file that is matched against what comes first: such files are refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from ckptlint.documents.nodes import Node, Plain
from ckptlint.documents.yaml_nodes import parse
from ckptlint.errors import UsageError

_ONLY_FIRST: Final = ("prefix", "params", "when", "lookups")
_STAGE: Final = ("rewrites", "rest")
_STRONGEST: Final = ("refuse", "leave", "reset", "carry")  # of what they say of the optimizer
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_RESERVED: Final = re.compile(r"true|false|null|yes|no|on|off|y|n|~", re.IGNORECASE)
_NARROW: Final = 100  # a list or mapping without nesting that fits this stands in one line


def squashed(files: Sequence[tuple[str, str]], head: Sequence[str]) -> str:
    """The text of one migration that does what the files (text and origin) do in their order; `head` are its lines before that.

    Raises:
        UsageError: a file says something that only holds where it stands.
    """
    documents = [(parse(text, origin), origin) for text, origin in files]
    said: dict[str, Plain] = {}
    stages: list[Plain] = []
    tree: list[Plain] = []
    for number, (root, origin) in enumerate(documents):
        given = {key: node.plain() for key, node in root.entries().items()}
        if number:
            _check_later(given, root, tree_before=bool(tree))
        else:
            said |= {key: given[key] for key in _ONLY_FIRST if key in given}
        if "cases" in given:
            raise UsageError("has cases, which a squash cannot take", where=origin)
        stages += _stages(given)
        tree += _listed(given.get("tree"))
    said |= _agreed("sections", documents)
    said |= _optimizer(documents)
    return "\n".join([*head, *_block(_joined(said, stages, tree), 0), ""])


def _check_later(given: Mapping[str, Plain], root: Node, *, tree_before: bool) -> None:
    for key in _ONLY_FIRST:
        if key in given:
            raise root.entries()[key].fail(
                f"`{key}` is about the checkpoint as it is at this migration: a squash has no place for it"
            )
    if tree_before and _asks(given):
        raise root.fail("its rewrites look at the tree, which an earlier one changes: a squash would do that too late")


def _asks(given: Mapping[str, Plain]) -> bool:
    """Whether some rewrite has a condition on the tree."""
    return '"tree":' in json.dumps([given.get("rewrites"), given.get("stages")])


def _stages(given: Mapping[str, Plain]) -> list[Plain]:
    first: dict[str, Plain] = {key: given[key] for key in _STAGE if key in given}
    return [*([first] if first else []), *_listed(given.get("stages"))]


def _listed(content: Plain) -> list[Plain]:
    return content if isinstance(content, list) else []


def _agreed(key: str, documents: Sequence[tuple[Node, str]]) -> dict[str, Plain]:
    """What all say of something, or none does."""
    found = [node.plain() if (node := root.find(key)) else None for root, _ in documents]
    for each, (_, origin) in zip(found, documents, strict=True):
        if each != found[0]:
            raise UsageError(f"says another `{key}` than {documents[0][1]}", where=origin)
    return {} if found[0] is None else {key: found[0]}


def _optimizer(documents: Sequence[tuple[Node, str]]) -> dict[str, Plain]:
    """What is left of an optimizer behind all of them."""
    found = {node.text() if (node := root.find("optimizer")) else "carry" for root, _ in documents}
    if "leave" in found and len(found) > 1:
        raise UsageError("some of them leave the optimizer alone, and some do not", where=documents[0][1])
    strongest = next(each for each in _STRONGEST if each in found)
    return {} if strongest == "carry" else {"optimizer": strongest}


def _joined(said: dict[str, Plain], stages: list[Plain], tree: list[Plain]) -> dict[str, Plain]:
    first = stages[0] if stages else None
    if isinstance(first, dict) and "rewrites" not in first:
        first = {"rewrites": [], **first}
    if isinstance(first, dict):
        said |= first
    later: list[Plain] = [{"rewrites": [], **each} if isinstance(each, dict) else each for each in stages[1:]]
    if later:
        said["stages"] = later
    if tree:
        said["tree"] = tree
    return said


def _block(content: Plain, depth: int) -> Iterator[str]:
    """Write a value as lines of block YAML."""
    indent = "  " * depth
    if isinstance(content, dict):
        for key, value in content.items():
            yield from _entry(f"{indent}{_scalar(key)}:", value, depth + 1)
    elif isinstance(content, list):
        for value in content:
            lines = list(_block(value, depth + 1)) if _nested(value) else [f"{indent}  {_flow(value)}"]
            yield f"{indent}- {lines[0].lstrip()}"
            yield from lines[1:]
    else:
        yield indent + _scalar(content)


def _entry(start: str, value: Plain, depth: int) -> Iterator[str]:
    if _nested(value):
        yield start
        yield from _block(value, depth)
    else:
        yield f"{start} {_flow(value)}"


def _nested(value: Plain) -> bool:
    """Whether a value takes lines of its own."""
    if not isinstance(value, dict | list) or not value:
        return False
    inner = list(value.values()) if isinstance(value, dict) else value
    return any(isinstance(each, dict | list) for each in inner) or len(_flow(value)) > _NARROW


def _flow(value: Plain) -> str:
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_scalar(key)}: {_flow(each)}' for key, each in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_flow, value))}]"
    return _scalar(value)


def _scalar(value: Plain) -> str:
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) and not _RESERVED.fullmatch(value)
        return value if plain else json.dumps(value)
    return repr(value) if isinstance(value, float) else json.dumps(value)
