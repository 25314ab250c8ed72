"""Checks of which keys are there at all."""

from __future__ import annotations

from collections.abc import Iterator

from ckptlint.checks.base import CHECKPOINT, MODEL, Check, Comparison, NoOptions, said_as
from ckptlint.checks.nodes import nodes, objects
from ckptlint.core.finding import Fact
from ckptlint.core.paths import join, step
from ckptlint.core.tree import Dict, Node


def missing(seen: Comparison, _: NoOptions) -> Iterator[Fact]:
    """Keys of the model that the checkpoint lacks and nothing else explains."""
    for key, spec in seen.missing.items():
        yield Fact(key, said_as("expected", spec))


def unexpected(seen: Comparison, _: NoOptions) -> Iterator[Fact]:
    """Keys of the checkpoint that the model lacks and nothing else explains."""
    for key, spec in seen.unexpected.items():
        yield Fact(key, said_as("actual", spec))


def repeated(seen: Comparison, _: NoOptions) -> Iterator[Fact]:
    """Keys that the file stores more than once; a loader keeps the last."""
    for section in seen.checkpoint.sections if seen.checkpoint else ():
        for key in dict.fromkeys(section.repeated):
            yield Fact(key, {"section": section.path})


def number_and_text(seen: Comparison, _: NoOptions) -> Iterator[Fact]:
    """Dicts with two keys that read alike, as the number 0 and the text "0" do: no path can tell them apart."""
    if seen.checkpoint is None or not any(map(_mixed, objects(seen.checkpoint.root))):
        return
    for path, node in nodes(seen.checkpoint.root):
        if isinstance(node, Dict) and _mixed(node):
            kinds: dict[str, type] = {}
            for key, _value in node.items:
                if kinds.setdefault(step(key), type(key)) is not type(key):
                    yield Fact(join(path, key))


def _mixed(node: Node) -> bool:
    """Whether it is a dict with keys of several types, which alone can read alike."""
    return isinstance(node, Dict) and len({type(key) for key, _value in node.items}) > 1


KEY_CHECKS = {
    "missing-key": Check(missing, words=("expected",), needs=MODEL),
    "unexpected-key": Check(unexpected, words=("actual",), needs=MODEL),
    "repeated-key": Check(repeated, words=("section",), needs=CHECKPOINT),
    "number-and-text": Check(number_and_text, needs=CHECKPOINT),
}
