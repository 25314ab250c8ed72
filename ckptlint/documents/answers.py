"""Answers files of `ckptlint make`: what the user decided about keys, as YAML or JSON; the form is in `docs/migrations.md`."""

from __future__ import annotations

from typing import Final

from ckptlint.documents.nodes import Node
from ckptlint.documents.yaml_nodes import parse
from ckptlint.engine.suggest.answers import Answers

FILLS: Final = {"zeros": 0.0, "ones": 1.0}


def read_answers(text: str, origin: str) -> Answers:
    """Read answers; `DocumentError` with file:line:column for the first thing that is wrong with them."""
    root = parse(text, origin)
    root.only("rename", "drop", "new", "accept")
    given = root.entries()
    drop = {key: node.text() for key, node in given["drop"].entries().items()} if "drop" in given else {}
    for key, reason in drop.items():
        if not reason.strip():
            raise given["drop"].get(key).fail("should say why it is dropped")
    fills = given["new"].entries() if "new" in given else {}
    return Answers(
        rename={key: node.text() for key, node in given["rename"].entries().items()} if "rename" in given else {},
        drop=drop,
        new={key: _fill(node) for key, node in fills.items()},
        accept=tuple(node.text() for node in given["accept"].items()) if "accept" in given else (),
    )


def _fill(node: Node) -> float:
    word = node.content if isinstance(node.content, str) else ""
    return FILLS[word] if word in FILLS else node.number()
