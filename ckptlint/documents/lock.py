"""Locks: a model's schema as a short text that is committed and reviewed, and changes by a line where the model does.

    # ckptlint lock v1 — generated; do not edit. refresh: ckptlint lock detector
    model detector
    factory det.models:build
    digest s1:9f2c...

    [keys]
    embed.weight  P f32[100,8]
    layers.{i=0..31}:
      attn.qkv.weight  P f32[24,8]
      norm.running_mean  B f32[8]
    head.weight  T f32[100,8] = embed.weight

Keys are in registration order (`listing` says how repetition is folded), each with P (parameter), B (buffer), - (not known) or T (tied
to an earlier key; `{-2}.a.weight` is this key without its last two segments, then `a.weight`). Then, where there are such: `[order]`, the
parameters in `model.parameters()` order where that is not the order of the P keys; `[unsaved]`, buffers that are not saved; `[modules]`,
the class of each submodule; `[classes]`, fingerprints of the classes' text, which the digest does not cover. There are no dates, paths or
versions. Law: what is read writes the same text, and what was written reads as the same schema (ties in key order).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from ckptlint.core.digest import ordered_ties, s1
from ckptlint.core.schema import Schema
from ckptlint.core.spec import TensorSpec
from ckptlint.documents.listing import Line, escape, listing, parts, quote
from ckptlint.documents.listing_reader import MOST_KEYS
from ckptlint.documents.lock_classes import SECTION, class_lines
from ckptlint.documents.lock_reader import FIRST_LINE, REFRESH, Lock, parse_lock, read_lock
from ckptlint.errors import DocumentError

__all__ = ["Lock", "parse_lock", "read_lock", "write_lock"]


class _Word(NamedTuple):
    """What stands behind a key. A tie is to `rest`, behind what is left of the key without its last `up` segments (0: the whole)."""

    text: str
    up: int = 0
    rest: tuple[str, ...] = ()


def write_lock(schema: Schema, *, model: str, factory: str = "", refresh: str = "") -> str:
    """Return the text of a schema's lock. Equal schemas have equal locks, whatever the machine, platform or time.

    `refresh` is the command that writes it anew, by default that of a configured model.

    Raises:
        DocumentError: the schema has more keys than a lock is read with.
    """
    if max(map(len, (schema.tensors, schema.unsaved, schema.modules))) > MOST_KEYS:
        raise DocumentError(f"a lock holds no more than {MOST_KEYS:,} keys", where=model)
    name = quote(model)
    command = "".join(each if each.isprintable() else "?" for each in refresh or f"ckptlint lock {name}")
    head = [f"{FIRST_LINE} — generated; do not edit. {REFRESH}{command}", f"model {name}"]
    head += [f"factory {quote(factory)}"] if factory else []
    return "\n".join([*head, f"digest {s1(schema)}", *_sections(schema), ""])


def _sections(schema: Schema) -> Iterator[str]:
    first = {key: group[0] for group in ordered_ties(schema) for key in group[1:]}
    yield from _section("keys", _keys(schema, first))
    parameters = schema.parameters
    if parameters is not None and parameters != _implied(schema, first):
        yield from _section("order", [(key, _Word("")) for key in parameters])
    if schema.unsaved:
        yield from _section("unsaved", [(key, _Word(str(spec))) for key, spec in schema.unsaved.items()])
    if schema.modules:
        yield from _section("modules", [(path, _Word(quote(name))) for path, name in schema.modules.items()])
    if schema.classes:
        yield from ("", SECTION, *class_lines(schema.classes))


def _section(name: str, rows: Iterable[tuple[str, _Word]]) -> Iterator[str]:
    yield ""
    yield f"[{name}]"
    for line in listing(rows):
        word = _written(line) if line.word is not None else ""
        yield f"{'  ' * line.depth}{line.text}{'  ' if word else ''}{word}"


def _keys(schema: Schema, first: Mapping[str, str]) -> Iterator[tuple[str, _Word]]:
    parameters = None if schema.parameters is None else frozenset(schema.parameters)
    for key, spec in schema.tensors.items():
        if key in first:
            yield key, _tied(key, first[key], spec)
        else:
            kind = "-" if parameters is None else "P" if key in parameters else "B"
            yield key, _Word(f"{kind} {spec}")


def _tied(key: str, other: str, spec: TensorSpec) -> _Word:
    """Say what a key is tied to relative to itself, so that the blocks of a repeated module are equal."""
    mine, its = parts(key), parts(other)
    common = 0
    while common < min(len(mine), len(its)) - 1 and mine[common] == its[common]:
        common += 1
    return _Word(f"T {spec}", len(mine) - common if common else 0, tuple(its[common:]))


def _written(line: Line[_Word]) -> str:
    """Write a word; a tie absolutely, unless a list is in what both keys have in common."""
    word = line.word or _Word("")
    if not word.rest:
        return word.text
    rest = ".".join(word.rest)
    common = line.path[: -word.up] if word.up else ()
    fixed = [segment for segment in common if segment is not None]
    if len(fixed) == len(common):
        return f"{word.text} = {escape('.'.join([*fixed, rest]))}"
    return f"{word.text} = {{-{word.up}}}.{escape(rest)}"


def _implied(schema: Schema, first: Mapping[str, str]) -> tuple[str, ...] | None:
    """The parameters in the order that the kinds of `[keys]` alone say."""
    parameters = frozenset(schema.parameters or ())
    kinds = [key for key in schema.tensors if key not in first]
    return tuple(key for key in kinds if key in parameters) if kinds else None
