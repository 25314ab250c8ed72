"""Read a checkpoint in several files: an index that maps each key to its shard, over safetensors or torch zip shards.

Keys keep the index's order. What the index says of its shards is checked against what is in them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

from ckptlint.core.checkpoint import ByteSource, Checkpoint
from ckptlint.core.tree import Dict, Tensor, Value
from ckptlint.errors import FormatError
from ckptlint.formats.beside import beside
from ckptlint.formats.byte_source import FileSource
from ckptlint.formats.sharding import INDEX, is_shard
from ckptlint.formats.strict_json import Json, check_text, parse

FORMAT = "sharded"
_MOST_INDEX = 100_000_000  # bytes
_LISTED = 3  # names in a message

ReadShard = Callable[[ByteSource, int], Checkpoint]


def read(source: ByteSource, read_shard: ReadShard) -> Checkpoint:
    """Read the index in `source` and the header of every shard; keys keep the index's order.

    A shard that is missing, a key that is in another shard than the index says, or in two, is a `FormatError`; a key that the index
    does not list, or a total size that is off, is noted. `close` of the result closes the shards.
    """
    weight_map, notes = _index(source)
    folder = Path(source.name).parent
    with ExitStack() as stack:
        shards: dict[str, Checkpoint] = {}
        for name in dict.fromkeys(weight_map.values()):
            shard = FileSource.open(beside(folder, name, source.name))
            stack.callback(shard.close)
            shards[name] = read_shard(shard, len(shards))
        held = {name: _tensors(shard) for name, shard in shards.items()}
        tensors = {key: _member(key, name, held, source.name) for key, name in weight_map.items()}
        notes |= _disagreements(tensors, held, shards.values(), notes.get("metadata.total_size"))
        notes |= _strays(folder, Path(source.name).name, shards)
        keep_open = stack.pop_all()
    return Checkpoint(
        root=Dict(list(tensors.items())),
        sections=(),
        format=FORMAT,
        origin=source.name,
        parts=tuple(shard.parts[0] for shard in shards.values()),
        storages=tuple(storage for shard in shards.values() for storage in shard.storages),
        notes=notes,
        checksums={place: crc for shard in shards.values() for place, crc in shard.checksums.items()},
        close=keep_open.close,
    )


def _index(source: ByteSource) -> tuple[dict[str, str], dict[str, str]]:
    """Return the key to shard name map, and the index's metadata as notes."""
    if source.size > _MOST_INDEX:
        raise FormatError(f"has {source.size} bytes; a shard index has at most {_MOST_INDEX}", where=source.name)
    index = parse(source.read(0, source.size), source.name)
    names = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(index, dict) or not isinstance(names, dict) or not names:
        raise FormatError("has no weight_map, which maps each key to its shard", where=source.name)
    weight_map: dict[str, str] = {}
    for key, name in names.items():
        check_text(key, source.name)
        if not isinstance(name, str):
            raise FormatError(f"weight_map[{key!r}] is not a file name", where=source.name)
        weight_map[key] = name
    metadata = index.get("metadata")
    notes = dict(_scalars(metadata)) if isinstance(metadata, dict) else {}
    if "metadata.ckptlint" in notes:
        notes["revisions"] = notes["metadata.ckptlint"]
    return weight_map, notes


def _scalars(metadata: dict[str, Json]) -> Iterator[tuple[str, str]]:
    for key, value in metadata.items():
        if isinstance(value, str | int | float):
            yield f"metadata.{key}", str(value)


def _tensors(shard: Checkpoint) -> dict[str, Value]:
    if not isinstance(shard.root, Dict):
        raise FormatError("holds no dict of tensors, as a shard does", where=shard.origin)
    tensors = {key: value for key, value in shard.root.items if isinstance(key, str)}
    if len(tensors) != len(shard.root.items):
        raise FormatError("has a key twice, or one that is not a text", where=shard.origin)
    return tensors


def _member(key: str, name: str, held: dict[str, dict[str, Value]], index: str) -> Value:
    found = [shard for shard, tensors in held.items() if key in tensors]
    if not found:
        raise FormatError(
            f"{key!r} is not in its shard {name!r}",
            where=index,
            hint="the index belongs to other shards; fetch all again",
            rule="CKC611",
        )
    if len(found) > 1:
        where = " and ".join(map(repr, found[:_LISTED]))
        raise FormatError(
            f"{key!r} is in more than one shard: {where}",
            where=index,
            hint="old shards lie beside new ones; fetch all again",
            rule="CKC612",
        )
    if found[0] != name:
        hint = "the index belongs to other shards; fetch all again"
        message = f"{key!r} is in the shard {found[0]!r}, not in {name!r} as the index says"
        raise FormatError(message, where=index, hint=hint, rule="CKC613")
    return held[name][key]


def _strays(folder: Path, index: str, shards: Iterable[str]) -> dict[str, str]:
    """Files that are called like shards, and that the index does not name."""
    known = {Path(name).name for name in shards}
    whole = index.removesuffix(INDEX)
    names = (entry.name for entry in folder.iterdir()) if whole != index else ()
    stray = sorted(name for name in names if is_shard(name, whole) and name not in known)
    return (
        {"stray": ", ".join(stray[:_LISTED]) + (f" and {len(stray) - _LISTED} more" if len(stray) > _LISTED else "")}
        if stray
        else {}
    )


def _disagreements(
    tensors: dict[str, Value], held: dict[str, dict[str, Value]], shards: Iterable[Checkpoint], total: str | None
) -> dict[str, str]:
    """What does not keep anyone from loading, but should be known."""
    notes: dict[str, str] = {}
    unlisted = [key for shard in held.values() for key in shard if key not in tensors]
    if unlisted:
        more = f" and {len(unlisted) - _LISTED} more" if len(unlisted) > _LISTED else ""
        notes["unlisted"] = ", ".join(unlisted[:_LISTED]) + more
    dense = [value for value in tensors.values() if isinstance(value, Tensor)]
    size = sum(value.spec.nbytes for value in dense)
    once = sum({value.identity: value.spec.nbytes for value in dense}.values())  # some writers count what is tied once
    if total is not None and total not in (str(size), str(once)):
        notes["total_size"] = f"{size} bytes, where the index says {total}"
    protocols = {shard.notes["protocol"] for shard in shards if "protocol" in shard.notes}
    return notes | ({"protocol": max(protocols)} if protocols else {})
