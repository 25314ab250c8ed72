"""Find names that seem to have changed hands: what is called k becomes q, and q k; what is split from `qkv` is not q, k, v.

Shapes let such a mistake through, and it is the commonest one in conversions written by hand. Only names witness it, so it is a warning:
there are layouts whose names do lie. Rewrites are compared by their templates, once for all layers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Final, TypeAlias

from ckptlint.core.finding import Severity
from ckptlint.core.migration import Move
from ckptlint.core.template import Target, Template
from ckptlint.engine.faults import CROSSED, Faults
from ckptlint.engine.stage import Bound, StageRun
from ckptlint.engine.suggest.names import abbreviates, words

Words: TypeAlias = tuple[str, ...]

_HINT: Final = "if it is meant so, compare the model's outputs; no shape and no strict load would tell"
_REORDERING: Final = frozenset({"index", "roll", "flip", "remap_rows", "python"})  # what names cannot follow
_OF_ATTENTION: Final = re.compile("w(?:q|k|v|o|qkv|kv)")
_GATED: Final = {("w", "1"): "gate", ("w", "3"): "up"}  # w2 is what comes down, in another shape
_MOST: Final = 64  # siblings that are compared with each other: more are a list of names, not parts of one thing


def note_crossed(run: StageRun, faults: Faults) -> None:
    """Note rewrites of a stage whose names say that two tensors of one spec were exchanged."""
    moves = [(bound, bound.rewrite) for bound in run.bound if isinstance(bound.rewrite, Move) and bound.edges]
    for bound, move in moves:
        found = _out_of_order(move) if _is_fusing(move) else ""
        if found and _are_alike(run, bound, move):
            keys = bound.edges[0].targets if len(move.targets) > 1 else bound.edges[0].sources
            faults.add(CROSSED, found, keys=keys, where=move.where, hint=_HINT, severity=Severity.WARNING)
    _note_exchanged(run, [(bound, move) for bound, move in moves if not move.ops and not move.over], faults)


def _note_exchanged(run: StageRun, moves: Sequence[tuple[Bound, Move]], faults: Faults) -> None:
    """Two renames of siblings, each of which takes the other's name."""
    siblings: dict[tuple[Words, Words], list[tuple[str, str, Bound]]] = {}
    for bound, move in moves:
        for source, target in zip(move.sources, move.targets, strict=True):
            _add(siblings, _words(source), _words(target), bound)
    told: set[int] = set()
    for group in siblings.values():
        for (old, new, one), (other_old, other_new, other) in combinations(group[:_MOST], 2):
            crossed = (
                _same(old, other_new) and _same(other_old, new) and not (_same(old, new) or _same(other_old, other_new))
            )
            if crossed and id(other) not in told and _specs(run, one) & _specs(run, other):
                told.add(id(other))
                text = (
                    f"is made of what is called {other_old}, and {old} becomes {new}: their names seem to be exchanged"
                )
                keys = other.edges[0].targets
                where = other.rewrite.where
                faults.add(CROSSED, text, keys=keys, where=where, hint=_HINT, severity=Severity.WARNING)


def _add(
    siblings: dict[tuple[Words, Words], list[tuple[str, str, Bound]]], old: Words, new: Words, bound: Bound
) -> None:
    for here, word in enumerate(old):
        for there, other in enumerate(new):
            mark = (*old[:here], "", *old[here + 1 :]), (*new[:there], "", *new[there + 1 :])
            siblings.setdefault(mark, []).append((word, other, bound))


def _specs(run: StageRun, bound: Bound) -> set[object]:
    return {run.board.specs[run.values[key]] for edge in bound.edges for key in edge.sources}


def _is_fusing(move: Move) -> bool:
    several = sorted((len(move.sources), len(move.targets)))
    return several[0] == 1 < several[1] and not any(call.op in _REORDERING for call in move.ops)


def _are_alike(run: StageRun, bound: Bound, move: Move) -> bool:
    """Whether the parts have one spec, so that no shape keeps them apart."""
    edge = bound.edges[0]
    values, keys = (run.result, edge.targets) if len(move.targets) > 1 else (run.values, edge.sources)
    specs = [run.board.specs[values[key]] for key in keys if key in values]
    return len(set(specs)) < len(specs)


def _out_of_order(move: Move) -> str:
    """Say in which order the name of the whole has the parts, where they are in another one."""
    splits = len(move.targets) > 1
    parts, wholes = (move.targets, move.sources) if splits else (move.sources, move.targets)
    order = _order(move, len(parts))
    if not order:
        return ""
    laid = [parts[order.index(place) if splits else order[place]] for place in range(len(parts))]
    own = _own(tuple(_words(part) for part in laid))
    for whole in _words(wholes[0]), *(tuple(word) for word in _words(wholes[0])):
        places = [list(_places(whole, word)) for word in own]
        found = [each[0] for each in places if len(each) == 1]
        if own and len(found) == len(own) == len(set(found)):
            if found == sorted(found):
                return ""
            named = ", ".join(word for _, word in sorted(zip(found, own, strict=True)))
            return f"{wholes[0]} names {named} in this order, and here they are {', '.join(own)}"
    return ""


def _order(move: Move, count: int) -> tuple[int, ...]:
    """What the calls of `order` make of the parts together; nothing where they order something else."""
    order = tuple(range(count))
    for call in move.ops:
        if call.op == "order":
            (then,) = call.options.values()
            if not isinstance(then, tuple) or sorted(map(str, then)) != sorted(map(str, order)):
                return ()
            order = tuple(order[int(str(place))] for place in then)
    return order


def _own(parts: Sequence[Words]) -> Words:
    """The one word of each part that tells it from the others; none where there is no such word."""
    if len({len(part) for part in parts}) != 1:
        return ()
    differing = [column for column in zip(*parts, strict=True) if len(set(column)) > 1]
    return differing[0] if len(differing) == 1 and len(set(differing[0])) == len(parts) else ()


def _places(whole: Words, word: str) -> Iterator[int]:
    yield from (place for place, each in enumerate(whole) if _same(each, word))


def _same(one: str, other: str) -> bool:
    return one == other or abbreviates(one, other) or abbreviates(other, one)


def _words(pattern: Template | Target) -> Words:
    """The words of a template's literal text, `wq` being q; what it captures is one word, whatever its name."""
    found: list[str] = []
    for token in pattern.tokens:
        if isinstance(token, str):
            found += [word for segment in token.split(".") for word in _plain(words(segment))]
        else:
            found.append("{}")
    return tuple(found)


def _plain(said: Words) -> Words:
    """The words of a segment without the w of a weight, and by what LLaMA's numbers of the parts of a gated MLP mean."""
    if said in _GATED:
        return (_GATED[said],)
    return tuple(word[1:] if _OF_ATTENTION.fullmatch(word) else word for word in said)
