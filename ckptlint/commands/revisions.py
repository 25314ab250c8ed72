"""The schema at a revision of a chain. A chain keeps digests alone; the locks that had them are in the history of git."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from ckptlint.commands import blobs, sources
from ckptlint.commands.chain_folder import LOCK
from ckptlint.commands.sources import Building
from ckptlint.core.digest import k1, short
from ckptlint.core.schema import Schema
from ckptlint.documents.lock_reader import read_lock
from ckptlint.engine.chain import Chain
from ckptlint.engine.infer_source import infer_source
from ckptlint.engine.planner import draft
from ckptlint.errors import DocumentError, PlanError, UsageError


def schema_at(chain: Chain, folder: str, place: int, source: str | None = None) -> Schema:
    """The schema at a place: `source` if it is named, else found by its digest, or made of that of another place.

    Looked at are the lock beside the chain, and that of every commit, on every branch, that changed it.
    """
    if source is not None:
        return _named(chain, place, sources.schema(source, Building()))
    known: dict[int, Schema] = {}
    for schema in _locks(Path(folder) / LOCK):
        for at in _places(chain, schema):
            known.setdefault(at, schema)
        if place in known:
            return known[place]
    made = _made(chain, known, place)
    if made is None:
        text = f"no lock is known that has the keys of {chain.name(place)}, nor of a place from which it could be made"
        raise UsageError(text, where=folder, hint="--source names one: a lock, a checkpoint, a model or a JSON of keys")
    return made


def _named(chain: Chain, place: int, schema: Schema) -> Schema:
    wanted = chain.digest(place)
    if wanted and not k1(schema).startswith(wanted):
        text = f"has the keys {short(k1(schema))}, and those of {chain.name(place)} are {short(wanted)}"
        raise UsageError(text, where=schema.origin)
    return schema


def _places(chain: Chain, schema: Schema) -> Iterator[int]:
    digest = k1(schema)
    for place in range(len(chain.links) + 1):
        wanted = chain.digest(place)
        if wanted and digest.startswith(wanted):
            yield place


def _locks(path: Path) -> Iterator[Schema]:
    """The lock in the work tree, then those of history, the newest first; what is no lock is passed over."""
    texts = [path.read_bytes()] if path.is_file() else []
    for content in (*texts, *blobs.history(path)):
        try:
            yield read_lock(content.decode("utf-8"), str(path))
        except (UnicodeDecodeError, DocumentError):
            continue


def _made(chain: Chain, known: Mapping[int, Schema], place: int) -> Schema | None:
    """The schema at a place, made of the nearest one that is known, forth or else back."""
    ways = sorted(known, key=lambda each: len(chain.done(place) ^ chain.done(each)))
    for start in ways:
        try:
            back = chain.goes_back(start, place)
            schema = known[start]
            for migration in reversed(chain.between(start, place)) if back else chain.between(start, place):
                schema = infer_source(schema, migration) if back else draft(schema, migration).plan.target
        except (PlanError, UsageError):
            continue
        return schema
    return None
