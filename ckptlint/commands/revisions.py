"""The schema at a revision of a chain. A chain keeps digests alone; the locks that had them are in the history of git."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from ckptlint.commands import blobs, sources
from ckptlint.commands.chain_folder import LOCK
from ckptlint.core.chain import KeyDigests
from ckptlint.core.digest import k1, short
from ckptlint.documents.lock_reader import parse_lock
from ckptlint.engine.chain import Chain
from ckptlint.engine.infer_source import infer_source
from ckptlint.engine.variants import Variants, digests, drafted, each
from ckptlint.errors import DocumentError, PlanError, UsageError


def schemas_at(chain: Chain, folder: str, place: int, source: str | None = None) -> Variants:
    """The schemas of the model's variants at a place: `source` if it is named, else found by its digest, or made of that of another place.

    Looked at are the lock beside the chain, and that of every commit, on every branch, that changed it.
    """
    if source is not None:
        return _named(chain, place, source)
    known: dict[int, Variants] = {}
    for variants in _locks(Path(folder) / LOCK):
        for at in _places(chain, variants):
            known.setdefault(at, variants)
        if place in known:
            return known[place]
    made = _made(chain, known, place)
    if made is None:
        text = f"no lock is known that has the keys of {chain.name(place)}, nor of a place from which it could be made"
        raise UsageError(text, where=folder, hint="--source names one: a lock, a checkpoint, a model or a JSON of keys")
    return made


def _named(chain: Chain, place: int, source: str) -> Variants:
    """What `source` names: a lock with all its variants, or one schema, which is the variant that has its keys."""
    variants = sources.variants(source)
    recorded = chain.digests(place)
    for name, _, own in recorded.against(digests(variants)):
        what = f"has {f'as {name!r} ' if name else ''}the keys {short(own)}"
        raise UsageError(f"{what}, and those of {chain.name(place)} are {recorded.short}", where=source)
    if "" in variants:
        return {next(recorded.variants(k1(variants[""])), ""): variants[""]}
    return variants


def _places(chain: Chain, variants: Variants) -> Iterator[int]:
    """The places that have the keys of all variants of which they say something, and say something of one."""
    own = {name: k1(schema) for name, schema in variants.items()}
    for place in range(len(chain.links) + 1):
        recorded = chain.digests(place)
        if any(map(recorded.holds, own.values())) and not any(recorded.against(KeyDigests.of(own))):
            yield place


def _locks(path: Path) -> Iterator[Variants]:
    """The lock in the work tree, then those of history, the newest first; what is no lock is passed over."""
    texts = [path.read_bytes()] if path.is_file() else []
    for content in (*texts, *blobs.history(path)):
        try:
            yield parse_lock(content.decode("utf-8"), str(path)).variants
        except (UnicodeDecodeError, DocumentError):
            continue


def _made(chain: Chain, known: Mapping[int, Variants], place: int) -> Variants | None:
    """The schemas at a place, made of the nearest ones that are known, forth or else back."""
    ways = sorted(known, key=lambda each: len(chain.done(place) ^ chain.done(each)))
    for start in ways:
        try:
            back = chain.goes_back(start, place)
            schemas = known[start]
            for migration in reversed(chain.between(start, place)) if back else chain.between(start, place):
                schemas = (
                    each(schemas, partial(infer_source, migration=migration)) if back else drafted(schemas, migration)
                )
        except (PlanError, UsageError):
            continue
        return schemas
    return None
