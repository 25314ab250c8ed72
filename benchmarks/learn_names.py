"""Learn what published conversions call the same thing, and write it as the data that `ckptlint suggest` reads.

    python benchmarks/learn_names.py FOLDER [-o ckptlint/documents/evidence/names.json] [--without FAMILY]...

FOLDER holds layouts: `NAME.json.gz` with source, target and truth (see benchmarks/README.md). A pair of names counts once
for each model family that has it. Order plays no part in what is learned.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ckptlint.engine.suggest.joined import own_name, roles, spelled
from ckptlint.engine.suggest.names import Names, Synonyms, cuts, words

Counts = dict[str, dict[str, set[str]]]
ATTENTION = ("q", "k", "v")  # as torch.nn.MultiheadAttention documents its in_proj_weight
ORDINALS = (  # words of English that say which of several comes first
    ("first", "second", "third", "fourth"),
    ("one", "two", "three", "four"),
    ("pre", "post"),
    ("before", "after"),
    ("input", "post"),
    ("input", "output"),
    ("in", "out"),
    ("start", "end"),
    ("initial", "final"),
)
WORDS = (  # what everyone who writes models calls the same thing
    ("attn", "attention"),
    ("cross", "encoder"),
    ("emb", "embedding"),
    ("embed", "embedding"),
    ("embd", "embedding"),
    ("pos", "position"),
    ("positional", "position"),
    ("tok", "token"),
    ("word", "token"),
    ("wte", "token"),
    ("wpe", "position"),
    ("ln", "norm"),
    ("ln", "layernorm"),
    ("bn", "norm"),
    ("gn", "norm"),
    ("norm", "layernorm"),
    ("fc", "linear"),
    ("fc", "dense"),
    ("lin", "linear"),
    ("linear", "dense"),
    ("ffn", "mlp"),
    ("ff", "mlp"),
    ("ff", "ffn"),
    ("feedforward", "mlp"),
    ("feedforward", "ffn"),
    ("proj", "projection"),
    ("o", "out"),
    ("out", "output"),
    ("cls", "class"),
    ("rel", "relative"),
    ("head", "classifier"),
    ("gamma", "scale"),
    ("kernel", "weight"),
    ("ds", "downsample"),
    ("down", "downsample"),
    ("up", "upsample"),
    ("enc", "encoder"),
    ("dec", "decoder"),
    ("att", "attention"),
    ("att", "attn"),
    ("shortcut", "downsample"),
    ("se", "squeeze"),
    ("dw", "depthwise"),
    ("pw", "pointwise"),
    ("visual", "vision"),
    ("image", "vision"),
    ("txt", "text"),
    ("block", "layer"),
    ("b", "bias"),
    ("s", "scale"),
    ("g", "scale"),
)
SHIPPED = Path(__file__).parent.parent / "ckptlint" / "documents" / "evidence" / "names.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=SHIPPED)
    parser.add_argument("--without", action="append", default=[])
    given = parser.parse_args()
    found = learn(layout for layout in read(given.folder) if layout["family"] not in given.without)
    given.output.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    sys.stdout.write(f"{len(found['phrases'])} phrases, {len(found['joined'])} joined, {len(found['words'])} words\n")


def read(folder: Path) -> Iterator[dict[str, Any]]:
    for file in sorted(folder.glob("*.json.gz")):
        with gzip.open(file) as packed:
            yield json.load(packed)


def learn(layouts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Count phrases, joined names and words over the families of the layouts."""
    return learned((layout["family"], dict.fromkeys(patterns(layout))) for layout in layouts)


def learned(families: Iterable[tuple[str, Iterable[tuple[tuple[str, ...], tuple[str, ...]]]]]) -> dict[str, Any]:
    """The same from the patterns of each family's layouts."""
    phrases: Counts = defaultdict(lambda: defaultdict(set))
    joined = {ATTENTION}
    synonyms: Counts = defaultdict(lambda: defaultdict(set))
    for one, other in WORDS:
        synonyms[one][other].add("")
        synonyms[other][one].add("")
    for family, pairs in families:
        for old, new in pairs:
            if len(old) == len(new) == 1:
                _learn_one(old[0], new[0], family, phrases, synonyms)
            elif len(old) == 1 < len(new):
                _learn_joined(old[0], new, joined)
            elif len(new) == 1 < len(old):
                _learn_joined(new[0], old, joined)
    return {
        "phrases": _counted(phrases),
        "joined": sorted(joined),
        "ordinals": ORDINALS,
        "words": {word: sorted(found) for word, found in sorted(synonyms.items())},
    }


def patterns(layout: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Each edge of the truth as paths below the innermost number; keys outside the schemas are skipped."""
    for edge in layout["truth"]:
        if edge["ops"] in ([], ["rename"]) and len(edge["sources"]) == len(edge["targets"]) == 1:
            if edge["sources"][0] in layout["source"] and edge["targets"][0] in layout["target"]:
                yield (_tail(edge["sources"][0]),), (_tail(edge["targets"][0]),)
        elif edge["sources"] and edge["targets"] and len(edge["sources"]) + len(edge["targets"]) > 2:
            yield tuple(dict.fromkeys(map(_tail, edge["sources"]))), tuple(dict.fromkeys(map(_tail, edge["targets"])))


def _tail(key: str) -> str:
    return re.split(r"(?:^|\.)\d+\.", key)[-1]


def _learn_one(old: str, new: str, family: str, phrases: Counts, synonyms: Counts) -> None:
    mine, theirs = tuple(old.split(".")), tuple(new.split("."))
    if mine[-1] == theirs[-1]:
        mine, theirs = mine[:-1], theirs[:-1]
    if mine == theirs:
        return
    for one, other in (*cuts(mine, theirs), (mine[-1:], theirs[-1:])):
        if one and other and one != other:
            phrases[".".join(one)][".".join(other)].add(family)
            phrases[".".join(other)][".".join(one)].add(family)
            _learn_word(one, other, family, synonyms)


def _learn_word(one: tuple[str, ...], other: tuple[str, ...], family: str, synonyms: Counts) -> None:
    """Two single segments that differ in one word say that the words are alike."""
    if len(one) == len(other) == 1:
        mine, theirs = words(one[0]), words(other[0])
        different = [pair for pair in zip(mine, theirs, strict=False) if pair[0] != pair[1]]
        if len(mine) == len(theirs) and len(different) == 1 and not "".join(different[0]).isdigit():
            synonyms[different[0][0]][different[0][1]].add(family)
            synonyms[different[0][1]][different[0][0]].add(family)


def _learn_joined(whole: str, parts: Iterable[str], joined: set[tuple[str, ...]]) -> None:
    """The parts of a fused tensor in the order in which its name spells them."""
    names = sorted({own_name(tuple(part.split("."))) for part in parts})
    order = spelled(own_name(tuple(whole.split("."))), names, Names(Synonyms())) if len(names) > 1 else None
    if order is not None:
        found = roles(names)
        joined.add(tuple("".join(found[place]) for place in order))


def _counted(counts: Counts) -> dict[str, dict[str, int]]:
    return {
        one: {other: len(found) for other, found in sorted(others.items())} for one, others in sorted(counts.items())
    }


if __name__ == "__main__":
    main()
