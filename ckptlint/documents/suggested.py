"""Write a suggestion as a migration file: the rewrites, each with its evidence, and what is left to the user as comments."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from ckptlint.core.dtype import ANY
from ckptlint.core.migration import ChainPlace
from ckptlint.core.schema import Schema
from ckptlint.documents.resized import resized_lines
from ckptlint.engine.suggest.families import Family
from ckptlint.engine.suggest.gathered_lines import Moved
from ckptlint.engine.suggest.names import words
from ckptlint.engine.suggest.rewriting import Line, rewritten
from ckptlint.engine.suggest.spelling import back as turned_back
from ckptlint.engine.suggest.suggestion import Ambiguity, Match, Suggestion
from ckptlint.engine.suggest.unsourced import Filling, proposed

_PLAIN: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.{}:|()+*/-]*")
_RESERVED: Final = re.compile(r"[0-9.eE+_-]+|true|false|null|yes|no|on|off|y|n|~", re.IGNORECASE)
_WIDTH: Final = 150
_MOST: Final = 40  # ambiguities that are listed


@dataclass(frozen=True, slots=True)
class Said:
    """What was said about the migration beside the schemas: its summary and place in a chain, why keys are dropped, what fills new ones.

    `header` are comments in place of those that introduce a suggestion, `unused` the reason why keys are dropped.
    """

    summary: str = ""
    chain: ChainPlace | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)
    fills: Mapping[str, float] = field(default_factory=dict)
    header: tuple[str, ...] = ()
    unused: str = ""


_NOTHING_SAID: Final = Said()


def migration_yaml(suggestion: Suggestion, old: Schema, new: Schema, said: Said = _NOTHING_SAID) -> str:
    """The text of the migration; it reads and, where the suggestion is complete, proves."""
    return "\n".join(map(in_one_line, _lines(suggestion, old, new, said))) + "\n"


def in_one_line(line: str) -> str:
    """The line with what would end or garble it escaped: keys stand in comments as they are, and may hold anything."""
    return line if line.isprintable() else "".join(each if each.isprintable() else quoted(each)[1:-1] for each in line)


def _lines(suggestion: Suggestion, old: Schema, new: Schema, said: Said) -> Iterator[str]:
    yield from (f"# {line}" for line in said.header) if said.header else _introduction(old, new)
    if not suggestion.complete:
        open_old, open_new = (_count(side) for side in (suggestion.open_sources, suggestion.open_targets))
        yield f"# Not decided: {open_old} keys of the source, {open_new} of the target, listed at the end."
    yield "ckptlint: 1"
    yield f"summary: {quoted(said.summary or _summary(suggestion, old, new))}"
    if said.chain is not None:
        yield chain_line(said.chain)
    yield from body_lines(suggestion, new, said)
    yield from resized_lines(suggestion.resized, new)
    yield from _ambiguous(suggestion.ambiguities[:_MOST])
    yield from _left("source", suggestion.open_sources)
    yield from _left("target", suggestion.open_targets)


def chain_line(place: ChainPlace) -> str:
    """The line of a file that says its place in a chain."""
    said = [f"{name}: {_ids(ids)}" for name, ids in (("parent", place.parents), ("replaces", place.replaces)) if ids]
    sides = (("from", place.before), ("to", place.after))
    said += [f"{side}: {json.dumps(digests.plain)}" for side, digests in sides if digests]
    return f"chain: {{{', '.join(said)}}}"


def _ids(ids: Sequence[str]) -> str:
    return ids[0] if len(ids) == 1 else f"[{', '.join(ids)}]"


def _introduction(old: Schema, new: Schema) -> Iterator[str]:
    yield f"# Suggested: {len(old.tensors)} tensors become {len(new.tensors)}."
    yield "# Behind each rewrite: how many keys it makes, the confidence, and what speaks for it."


def _count(families: Iterable[Family]) -> int:
    return sum(len(family.members) for family in families)


def body_lines(suggestion: Suggestion, new: Schema, said: Said) -> Iterator[str]:
    written = rewritten(suggestion)
    body = [
        *_renames(written.renamed),
        *(line for moved in written.moved for line in _moved(moved, new, said)),
        *(f"  - keep: {_scalar(key)}" for key in written.kept),
        *_dropped(
            written.dropped, [said.reasons.get(family.keys[0], said.unused or _UNUSED) for family in suggestion.dropped]
        ),
    ]
    if body or not written.keep_rest:
        yield "rewrites:" if body else "rewrites: []"
    yield from body
    yield from _unsourced(suggestion.unsourced, new)
    if written.keep_rest:
        yield "rest: keep"


def _summary(suggestion: Suggestion, old: Schema, new: Schema) -> str:
    counts: dict[str, int] = {}
    for match in suggestion.matches:
        counts[match.way] = counts.get(match.way, 0) + sum(len(family.members) for family in match.targets)
    said = ", ".join(f"{count} by {way}" for way, count in counts.items() if way != "new")
    return f"{len(old.tensors)} to {len(new.tensors)} tensors: {said or 'nothing is known to match'}"


def _renames(lines: Sequence[Line]) -> Iterator[str]:
    if lines:
        yield "  - rename:"
    for line in lines:
        yield f"      {_scalar(line.old)}: {_scalar(line.new)}  # {_evidence(line.matches)}"


def _moved(moved: Moved, new: Schema, said: Said) -> Iterator[str]:
    (match, *_), sources, targets = moved
    if match.way == "new":
        yield from (_new(key, new, said) for key in targets)
        return
    yield f"  # {_evidence(moved.matches)}"
    yield from _of_heads(match)
    yield f"  - from: {_sequence(sources)}"
    yield f"    to: {_sequence(targets)}"
    if match.way == "stack":
        yield "    over: e"
    yield "    ops:"
    yield from (f"      - {operation}" for operation in _operations(match))


def _of_heads(match: Match) -> Iterator[str]:
    """A comment where attention's projections are fused: some models keep them head by head, which has the same shape."""
    whole, parts = (match.targets, match.sources) if match.way == "concat" else (match.sources, match.targets)
    named = {word for family in parts for segment in family.template[-2:] for word in words(segment)}
    equal = len({family.shape for family in parts}) == 1
    if equal and match.way in {"concat", "split"} and match.dim == 0 and len(named & _ATTENTION) > 1:
        pattern, back = "(h t d) ... -> (t h d) ...", "(t h d) ... -> (h t d) ..."
        place, said = ("behind", back) if match.way == "concat" else ("before", pattern)
        yield f"  # No shape tells whether {whole[0]} holds its {len(parts)} parts head by head (as Megatron, GPT-NeoX, BLOOM do)."
        yield f'  # If it does, add {place} the others, with the number of heads: - {{rearrange: "{said}", t: {len(parts)}, h: HEADS}}'


_ATTENTION: Final = frozenset(("q", "k", "v", "query", "key", "value"))
_TURNED: Final = 'rearrange: "a b -> b a"'


def _operations(match: Match) -> Iterator[str]:
    """What is done to the tensors; those of another framework are turned to torch's way before, or from it behind."""
    old = match.sources[0]
    if old.turn:
        yield f"rearrange: {quoted(old.turn)}"
    yield from _way(match)
    new = match.targets[0]
    if new.turn:
        yield f"{{rearrange: {turned_back(new.turn, new.stored)}}}"


def _way(match: Match) -> Iterator[str]:
    if match.way == "rename":
        return
    if match.way == "transpose":
        yield _TURNED
    elif match.way == "reshape":
        yield f"rearrange: {quoted(_reshaping(match))}"
    elif match.way in {"concat", "stack"}:
        yield from _joining(match)
    else:
        yield from _cutting(match)


def _joining(match: Match) -> Iterator[str]:
    if match.turned:
        yield _TURNED
    if match.stacked:
        yield "stack: {over: e, dim: 0}"
    if len(match.sources) > 1:
        yield f"concat: {{dim: {match.dim + match.stacked}}}"


def _cutting(match: Match) -> Iterator[str]:
    if len(match.targets) > 1:
        sizes = [(part.shape[::-1] if match.turned else part.shape)[match.dim] for part in match.targets]
        cut = f"parts: {len(sizes)}" if len(set(sizes)) == 1 else f"sizes: [{', '.join(map(str, sizes))}]"
        yield f"split: {{dim: {match.dim + match.stacked}, {cut}}}"
    if match.stacked:
        yield "unstack: {over: e, dim: 0}"
    if match.turned:
        yield _TURNED


def _reshaping(match: Match) -> str:
    """A `rearrange` that adds or takes away axes of size 1."""
    old, new = match.sources[0].shape, match.targets[0].shape
    names = iter("abcdfghjklm")
    axes = {place: next(names) for place, size in enumerate(old) if size != 1}
    left = " ".join(axes.get(place, "1") for place in range(len(old)))
    kept = iter(axes.values())
    right = " ".join("1" if size == 1 else next(kept) for size in new)
    return f"{left} -> {right}"


def _new(key: str, schema: Schema, said: Said) -> str:
    if key not in said.fills:
        return f"{_made(key, schema, 'fill: zeros')}  # its first value is known"
    value = said.fills[key]
    fill = {0.0: "zeros", 1.0: "ones"}.get(value, repr(value))
    return f"{_made(key, schema, f'fill: {fill}')}  # answered"


def _made(key: str, schema: Schema, filling: str) -> str:
    spec = schema.tensors[key]
    dtype = "f32" if spec.dtype is ANY else spec.dtype.name
    shape = ", ".join(map(str, spec.shape))
    return f"  - new: {{key: {quoted(key)}, shape: [{shape}], dtype: {dtype}, {filling}}}"


_FILLINGS: Final[Mapping[Filling, str]] = {
    "zeros": "fill: zeros",
    "ones": "fill: ones",
    "as the model": "init: {from_model: true, seed: 0}",
}


def _unsourced(families: Sequence[Family], schema: Schema) -> Iterator[str]:
    """What is proposed for tensors that nothing becomes, as comments: a rewrite each once the `# ` before it is gone."""
    if families:
        yield "# no source: nothing can become these tensors of the target. They are trained, so their values are yours to choose; each"
        yield "# line is a proposal, and a rewrite without its `# `:"
    for family in families:
        for key in family.keys:
            filling = _FILLINGS[proposed(key, len(schema.tensors[key].shape))]
            yield f"# {_made(key, schema, filling)}"


_UNUSED: Final = "every tensor of the target is made from others"


def _dropped(keys: Sequence[str], reasons: Sequence[str]) -> Iterator[str]:
    for reason in dict.fromkeys(reasons):
        yield "  - drop:"
        yield "      keys:"
        yield from (f"        - {quoted(key)}" for key, its in zip(keys, reasons, strict=True) if its == reason)
        yield f"      reason: {reason if reason == _UNUSED else quoted(reason)}"


def _evidence(matches: Sequence[Match]) -> str:
    keys = sum(len(match.targets[0].members) for match in matches)
    confidence = min(match.confidence for match in matches)
    kinds = dict.fromkeys(kind for match in matches for kind in match.evidence)
    return f"{keys}, {confidence:.2f}: {', '.join(kinds)}"


def _ambiguous(ambiguities: Iterable[Ambiguity]) -> Iterator[str]:
    for ambiguity in ambiguities:
        yield "# ambiguous:"
        yield f"#   from: {ambiguity.source}  ({_said(ambiguity.source)})"
        for candidate in ambiguity.candidates:
            said = f"  ({', '.join(candidate.evidence)})" if candidate.evidence else ""
            yield f"#   - {candidate.chance:.2f} {candidate.target}{said}"


def _left(side: str, families: Sequence[Family]) -> Iterator[str]:
    if families:
        yield f"# open keys of the {side}:"
        yield from (f"#   {family}  ({_said(family)})" for family in families)


def _said(family: Family) -> str:
    shape = ",".join(map(str, family.shape))
    return f"{len(family.members)} of [{shape}]" if len(family.members) > 1 else f"[{shape}]"


def _sequence(patterns: Sequence[str]) -> str:
    return _scalar(patterns[0]) if len(patterns) == 1 else f"[{', '.join(map(quoted, patterns))}]"


def _scalar(text: str) -> str:
    plain = _PLAIN.fullmatch(text) and not text.endswith(":") and not _RESERVED.fullmatch(text)
    return text if plain else quoted(text)


def quoted(text: str) -> str:
    return json.dumps(text)
