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

Of a model with variants the digest has a line for each, `variant large s1:...`, and `lock_variants` says how their lines stand together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ckptlint.core.digest import ordered_ties, s1
from ckptlint.core.schema import Schema
from ckptlint.core.spec import TensorSpec
from ckptlint.documents.listing import Line, escape, listing, parts, quote
from ckptlint.documents.listing_reader import MOST_KEYS
from ckptlint.documents.lock_classes import SECTION
from ckptlint.documents.lock_reader import FIRST_LINE, MOST_ROWS, REFRESH, Lock, parse_lock, read_lock
from ckptlint.documents.lock_variants import Marked, grouped, together, variant_name, written
from ckptlint.errors import DocumentError

__all__ = ["Lock", "parse_lock", "read_lock", "write_lock", "write_locks"]


class _Word(NamedTuple):
    """What stands behind a key. A tie is to `rest`, behind what is left of the key without its last `up` segments (0: the whole)."""

    text: str
    up: int = 0
    rest: tuple[str, ...] = ()


_Words = tuple[tuple[tuple[str, ...], _Word], ...]  # each with the names of the variants that have it


def write_lock(schema: Schema, *, model: str, factory: str = "", refresh: str = "") -> str:
    """Return the text of a schema's lock. Equal schemas have equal locks, whatever the machine, platform or time.

    `refresh` is the command that writes it anew, by default that of a configured model.

    Raises:
        DocumentError: the schema has more keys than a lock is read with.
    """
    return write_locks({"": schema}, model=model, factory=factory, refresh=refresh)


def write_locks(variants: Mapping[str, Schema], *, model: str, factory: str = "", refresh: str = "") -> str:
    """Return the text of the lock of a model's variants, by name; of a single one it is its own lock, without a name.

    Raises:
        DocumentError: a schema has more keys than a lock is read with; one of several has none, or no name.
    """
    schemas = dict(sorted(variants.items())) if len(variants) > 1 else {"": next(iter(variants.values()))}
    for each in schemas.values():
        if max(map(len, (each.tensors, each.unsaved, each.modules))) > MOST_KEYS:
            raise DocumentError(f"a lock holds no more than {MOST_KEYS:,} keys", where=model)
    if len(schemas) * max(len(each.tensors) + len(each.modules) for each in schemas.values()) > MOST_ROWS:
        raise DocumentError(f"a lock holds no more than {MOST_ROWS:,} keys of variants", where=model)
    name = quote(model)
    command = "".join(each if each.isprintable() else "?" for each in refresh or f"ckptlint lock {name}")
    head = [f"{FIRST_LINE} — generated; do not edit. {REFRESH}{command}", f"model {name}"]
    head += [f"factory {quote(factory)}"] if factory else []
    return "\n".join([*head, *_digests(schemas, model), *_sections(schemas), ""])


def _digests(schemas: Mapping[str, Schema], model: str) -> Iterator[str]:
    for name, schema in schemas.items():
        if len(schemas) == 1:
            yield f"digest {s1(schema)}"
            return
        if not schema.tensors:
            raise DocumentError(f"the variant {name!r} has no tensors", where=model)
        yield f"variant {variant_name(name)} {s1(schema)}"


def _sections(schemas: Mapping[str, Schema]) -> Iterator[str]:
    first = {
        name: {key: group[0] for group in ordered_ties(each) for key in group[1:]} for name, each in schemas.items()
    }
    yield from _section("keys", {name: list(_keys(each, first[name])) for name, each in schemas.items()})
    if any(each.parameters not in (None, _implied(each, first[name])) for name, each in schemas.items()):
        ordered = {name: each.parameters or () for name, each in schemas.items()}
        yield from _section("order", {name: [(key, _Word("")) for key in keys] for name, keys in ordered.items()})
    if any(each.unsaved for each in schemas.values()):
        unsaved = {
            name: [(key, _Word(str(spec))) for key, spec in each.unsaved.items()] for name, each in schemas.items()
        }
        yield from _section("unsaved", unsaved)
    if any(each.modules for each in schemas.values()):
        modules = {
            name: [(path, _Word(quote(cls))) for path, cls in each.modules.items()] for name, each in schemas.items()
        }
        yield from _section("modules", modules)
    if any(each.classes for each in schemas.values()):
        yield from ("", SECTION, *_classes(schemas))


def _section(name: str, sides: Mapping[str, list[tuple[str, _Word]]]) -> Iterator[str]:
    yield ""
    yield f"[{name}]"
    names = list(sides)
    rows = together(sides)
    if (
        len(names) > 1 and len(rows) * len(names) > MOST_ROWS
    ):  # as they stand in the lock, which is what its reader counts
        raise DocumentError(f"a lock holds no more than {MOST_ROWS:,} keys of variants", where=f"[{name}]")
    for line in listing((key, tuple(grouped(words, names))) for key, words in rows):
        word = _written(line, names)
        yield f"{'  ' * line.depth}{line.text}{'  ' if word else ''}{word}"


def _classes(schemas: Mapping[str, Schema]) -> Iterator[str]:
    """The lines of the section of classes, which stay flat, so that a hook reads no others."""
    names = list(schemas)
    for key, words in together({name: list(each.classes.items()) for name, each in schemas.items()}):
        marked = [Marked(having, quote(text)) for having, text in grouped(words, names)]
        yield f"{escape(key)}  {written(marked, names) if len(names) > 1 else marked[0].text}"


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


def _written(line: Line[_Words], names: list[str]) -> str:
    if line.word is None:
        return ""
    said = [Marked(having, _text(word, line.path)) for having, word in line.word]
    return written(said, names) if len(names) > 1 else said[0].text


def _text(word: _Word, path: tuple[str | None, ...]) -> str:
    """Write a word; a tie absolutely, unless a list is in what both keys have in common."""
    if not word.rest:
        return word.text
    rest = ".".join(word.rest)
    common = path[: -word.up] if word.up else ()
    fixed = [segment for segment in common if segment is not None]
    if len(fixed) == len(common):
        return f"{word.text} = {escape('.'.join([*fixed, rest]))}"
    return f"{word.text} = {{-{word.up}}}.{escape(rest)}"


def _implied(schema: Schema, first: Mapping[str, str]) -> tuple[str, ...] | None:
    """The parameters in the order that the kinds of `[keys]` alone say."""
    parameters = frozenset(schema.parameters or ())
    kinds = [key for key in schema.tensors if key not in first]
    return tuple(key for key in kinds if key in parameters) if kinds else None
