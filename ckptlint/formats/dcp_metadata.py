"""What the `.metadata` of a distributed checkpoint (DCP) says: tensors as chunks, and where in which file each chunk and object lies.

torch reads this file with a plain unpickler, which runs what is in it; here it is a tree of nodes that is looked into.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from ckptlint.core.dtype import BY_TORCH, DType
from ckptlint.core.tree import Dict, Global, List, Opaque, Tuple, Value
from ckptlint.errors import FormatError
from ckptlint.formats import pickles

Offsets = tuple[int, ...]
_MOST = (1 << 63) - 1
_RANK = 64
_DAMAGED = "the file is damaged or was tampered with; save the checkpoint again"


class Item(NamedTuple):
    """A run of bytes of one of the data files: `path` as the metadata has it, `transforms` what was done to the bytes."""

    path: str
    offset: int
    length: int
    transforms: tuple[str, ...]


class Chunk(NamedTuple):
    """A box of a tensor."""

    offsets: Offsets
    sizes: Offsets


class TensorEntry(NamedTuple):
    """A tensor: what it is, and the chunks that it was saved in."""

    dtype: DType
    shape: Offsets
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True, slots=True)
class Metadata:
    """`entries` by flattened key (None for a pickled object), `items` by key and chunk offsets (None for an object).

    `paths` holds the place in the nested state dict of each key that was flattened: texts are keys, numbers places in lists.
    """

    entries: Mapping[str, TensorEntry | None]
    items: Mapping[tuple[str, Offsets | None], Item]
    paths: Mapping[str, tuple[str | int, ...]]
    version: str
    pickle: pickles.Pickle


def parse(content: bytes, where: str) -> Metadata:
    """Read the pickle of a `.metadata` file; whatever it is not is a `FormatError` at `where`."""
    pickle = pickles.read(content, where)
    if pickle.end != len(content):
        raise FormatError(f"{len(content) - pickle.end} bytes follow the pickle's STOP", where=where, hint=_DAMAGED)
    reading = _Reading(where)
    fields = reading.fields(pickle.root, "Metadata", "the file")
    version = fields.get("version")
    return Metadata(
        entries=dict(reading.entries(fields.get("state_dict_metadata"))),
        items=reading.items(fields.get("storage_data")),
        paths=dict(reading.paths(fields.get("planner_data"))),
        version=version if isinstance(version, str) else "",
        pickle=pickle,
    )


def merge(ranks: Sequence[Metadata], where: str) -> Metadata:
    """Return what the metadata of all ranks say together. What several ranks wrote, an object or a chunk, is the first one's."""
    entries: dict[str, TensorEntry | None] = {}
    items: dict[tuple[str, Offsets | None], Item] = {}
    paths: dict[str, tuple[str | int, ...]] = {}
    for rank in ranks:
        for key, entry in rank.entries.items():
            entries[key] = _joined(key, entries[key], entry, where) if key in entries else entry
        items = {**rank.items, **items}
        paths = {**rank.paths, **paths}
    return replace(ranks[0], entries=entries, items=items, paths=paths)


def _joined(key: str, one: TensorEntry | None, other: TensorEntry | None, where: str) -> TensorEntry | None:
    if one is None and other is None:
        return None
    if one is None or other is None or one[:2] != other[:2]:
        message = f"the ranks do not agree what {key!r} is"
        raise FormatError(message, where=where, hint="the files are of different saves; fetch those of one")
    return one._replace(chunks=tuple(dict.fromkeys((*one.chunks, *other.chunks))))


class _Reading:
    """Turns nodes into what they should be, and says where they are something else."""

    def __init__(self, where: str) -> None:
        self._where = where

    def fail(self, message: str) -> FormatError:
        return FormatError(message, where=self._where, hint=_DAMAGED)

    def twice(self, message: str) -> FormatError:
        return FormatError(message, where=self._where, hint="readers disagree which one counts", rule="CKC624")

    def entries(self, value: Value) -> Iterator[tuple[str, TensorEntry | None]]:
        seen: set[str] = set()
        for key, entry in self._pairs(value, "state_dict_metadata"):
            if not isinstance(key, str):
                raise self.fail("state_dict_metadata has a key that is no text")
            if key in seen:
                raise self.twice(f"{key!r} is described twice")
            seen.add(key)
            if isinstance(entry, Opaque) and _class_name(entry) == "BytesStorageMetadata":
                yield key, None
            else:
                yield key, self._tensor(key, entry)

    def items(self, value: Value) -> dict[tuple[str, Offsets | None], Item]:
        found: dict[tuple[str, Offsets | None], Item] = {}
        for index, entry in self._pairs(value, "storage_data"):
            fields = self.fields(index, "MetadataIndex", "a key of storage_data")
            key, at = fields.get("fqn"), fields.get("offset")
            if not isinstance(key, str):
                raise self.fail("storage_data has an entry for something without a name")
            place = None if at is None else self._sizes(at, f"the place of a chunk of {key!r}")
            if (key, place) in found:
                chunk = "" if place is None else f" chunk {list(place)} of"
                raise self.twice(f"storage_data has{chunk} {key!r} twice")
            found[key, place] = self._item(key, entry)
        return found

    def paths(self, value: Value) -> Iterator[tuple[str, tuple[str | int, ...]]]:
        """A planner of somebody's own may keep something else here: then the keys stay flat."""
        for key, path in value.items if isinstance(value, Dict) else ():
            if isinstance(key, str) and isinstance(path, Tuple | List) and path.items:
                steps = tuple(step for step in path.items if isinstance(step, str) or type(step) is int)
                if len(steps) == len(path.items):
                    yield key, steps

    def fields(self, value: Value, name: str, what: str) -> Dict:
        """Return the attributes of an object of the class `name`."""
        state = value.state() if isinstance(value, Opaque) and _class_name(value) == name else None
        if not isinstance(state, Dict):
            raise self.fail(f"{what} is no {name} of torch.distributed.checkpoint")
        return state

    def _tensor(self, key: str, value: Value) -> TensorEntry:
        fields = self.fields(value, "TensorStorageMetadata", f"the description of {key!r}")
        dtype = self._dtype(key, fields.get("properties"))
        shape = self._sizes(fields.get("size"), f"the size of {key!r}")
        chunks = fields.get("chunks")
        if not isinstance(chunks, List | Tuple):
            raise self.fail(f"{key!r} has no list of chunks")
        return TensorEntry(dtype, shape, tuple(self._chunk(key, shape, chunk) for chunk in chunks.items))

    def _dtype(self, key: str, value: Value) -> DType:
        state = value.state() if isinstance(value, Opaque) and _class_name(value) == "TensorProperties" else None
        first = state.items[0] if isinstance(state, Tuple) and state.items else None
        if isinstance(state, Dict):
            first = state.get("dtype")
        dtype = BY_TORCH.get(first.name) if isinstance(first, Global) and first.module == "torch" else None
        if dtype is None:
            raise self.fail(
                f"{key!r} has the dtype {first if isinstance(first, Global) else 'nothing'}, which is not known"
            )
        if dtype.bits % 8:
            raise self.fail(f"{key!r} is {dtype}, whose elements are smaller than a byte")
        return dtype

    def _chunk(self, key: str, shape: Offsets, value: Value) -> Chunk:
        fields = self.fields(value, "ChunkStorageMetadata", f"a chunk of {key!r}")
        chunk = Chunk(
            self._sizes(fields.get("offsets"), f"the place of a chunk of {key!r}"),
            self._sizes(fields.get("sizes"), f"the size of a chunk of {key!r}"),
        )
        if not len(chunk.offsets) == len(chunk.sizes) == len(shape):
            raise self.fail(f"a chunk of {key!r} has not as many dimensions as the tensor")
        return chunk

    def _item(self, key: str, value: Value) -> Item:
        fields = self.fields(value, "_StorageInfo", f"the place of {key!r}")
        path, offset, length = fields.get("relative_path"), fields.get("offset"), fields.get("length")
        if not isinstance(path, str):
            raise self.fail(f"the data of {key!r} lies in no file")
        if not (type(offset) is int and type(length) is int and 0 <= offset <= _MOST and 0 <= length <= _MOST):
            raise self.fail(f"the data of {key!r} has an impossible offset or length")
        transforms = fields.get("transform_descriptors")
        named = transforms.items if isinstance(transforms, List | Tuple) else ()
        return Item(path, offset, length, tuple(str(each) for each in named))

    def _sizes(self, value: Value, what: str) -> Offsets:
        if not isinstance(value, Tuple | List) or len(value.items) > _RANK:
            raise self.fail(f"{what} is no tuple of sizes")
        sizes = [size for size in value.items if type(size) is int and 0 <= size <= _MOST]
        if len(sizes) != len(value.items):
            raise self.fail(f"{what} holds something else than sizes")
        return tuple(sizes)

    def _pairs(self, value: Value, name: str) -> list[tuple[Value, Value]]:
        if not isinstance(value, Dict):
            raise self.fail(f"has no {name}")
        return value.items


def _class_name(value: Opaque) -> str:
    """The class alone: torch has moved these classes between modules."""
    return value.named.rpartition(".")[2]
