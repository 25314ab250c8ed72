"""Digests by which a schema is recognised: `k1:` of its keys and shapes, `s1:` of all that a lock promises.

Both are SHA-256 in hex over bytes in which every text is written as its length in UTF-8 bytes, a colon, and the text, so that no two
schemas have the same bytes. Shapes are decimal sizes, `[4,8]`.

`k1`  for each key, keys sorted by code point: `text shape LF`. A file has the same k1 whatever its precision and key order.
`s1`  `schema LF`, then for each key in order `text kind dtype shape LF`, kind P (parameter), B (buffer) or - (not known);
      `ties LF` and for each group, in key order, `text ... LF`; `parameters LF` and, if they are known, `text ... LF` in their order;
      `unsaved LF` and for each non-persistent buffer in order `text dtype shape LF`;
      where the classes of modules are known `modules LF` and for each path in order `text text LF`. The origin does not count.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from ckptlint.core.schema import Schema

SHORT = 12  # hex digits that tell schemas apart to a reader


def k1(schema: Schema) -> str:
    """`k1:` and 64 hex digits: the same for two schemas just where their keys and shapes are."""
    return "k1:" + _hashed(f"{_text(key)} {_shape(schema.tensors[key].shape)}\n" for key in sorted(schema.tensors))


def s1(schema: Schema) -> str:
    """`s1:` and 64 hex digits: changes with every key, dtype, shape, kind, tie, unsaved buffer and class, and with their order."""
    known, parameters = schema.parameters is not None, frozenset(schema.parameters or ())
    kinds = {True: "P", False: "B"} if known else {False: "-"}
    lines = ["schema\n"]
    lines += (
        f"{_text(key)} {kinds[key in parameters]} {spec.dtype} {_shape(spec.shape)}\n"
        for key, spec in schema.tensors.items()
    )
    lines.append("ties\n")
    lines += (" ".join(map(_text, group)) + "\n" for group in ordered_ties(schema))
    lines.append("parameters\n")
    lines += [" ".join(map(_text, schema.parameters)) + "\n"] if schema.parameters is not None else []
    lines.append("unsaved\n")
    lines += (f"{_text(key)} {spec.dtype} {_shape(spec.shape)}\n" for key, spec in schema.unsaved.items())
    lines += ["modules\n"] if schema.modules else []
    lines += (f"{_text(path)} {_text(name)}\n" for path, name in schema.modules.items())
    return "s1:" + _hashed(lines)


def short(digest: str) -> str:
    """Shorten a digest for reading: `s1:` and 12 hex digits."""
    kind, colon, digits = digest.partition(":")
    return kind + colon + digits[:SHORT]


def ordered_ties(schema: Schema) -> tuple[tuple[str, ...], ...]:
    """The groups of tied keys in key order, also within each; of keys that the schema has. What shares a key is one group."""
    order = {key: place for place, key in enumerate(schema.tensors)} if schema.ties else {}
    groups: dict[str, set[str]] = {}
    for tied in schema.ties:
        merged = {key for key in tied if key in order}
        for other in [groups[key] for key in merged if key in groups]:
            merged |= other
        groups |= dict.fromkeys(merged, merged)
    apart = {id(group): group for group in groups.values()}.values()
    ordered = sorted(sorted((order[key], key) for key in group) for group in apart if len(group) > 1)
    return tuple(tuple(key for _, key in group) for group in ordered)


def _text(text: str) -> str:
    """A text with the number of its bytes; a lone surrogate, which a pickled key may hold, counts as three."""
    return f"{len(text) if text.isascii() else len(text.encode('utf-8', 'surrogatepass'))}:{text}"


def _shape(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"


def _hashed(lines: Iterable[str]) -> str:
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogatepass")).hexdigest()
