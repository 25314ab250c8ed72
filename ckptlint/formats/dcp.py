"""Read a distributed checkpoint (DCP): a folder of `.metadata` and data files, as torch.distributed.checkpoint writes it.

Every tensor is whole again, however it was sharded: it lies in a patchwork of its chunks. A chunk is a torch.save file inside of a data
file; it is opened when its elements are first read, and must then be what the metadata says. Pickled objects are read with the header,
since they are part of the tree. What the flattened keys were nested in is rebuilt from `planner_data`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from ckptlint.core.checkpoint import ByteSource, Checkpoint
from ckptlint.core.pieces import Range
from ckptlint.core.spec import contiguous
from ckptlint.core.tree import Dict, Storage, Tensor, Value
from ckptlint.errors import FormatError
from ckptlint.formats.beside import beside
from ckptlint.formats.byte_source import FileSource
from ckptlint.formats.dcp_metadata import Chunk, Item, Metadata, TensorEntry, merge, parse
from ckptlint.formats.nesting import nest
from ckptlint.formats.patches import Located, Patch
from ckptlint.formats.patchwork import Patchwork
from ckptlint.formats.tiling import find_flaw
from ckptlint.formats.window import Window

FORMAT = "dcp"
METADATA = ".metadata"
STAMP = ".ckptlint.json"
_OF_RANK = re.compile(r"__(\d{1,9})\.metadata")
_MOST_METADATA = 1 << 30  # bytes; fifty thousand tensors take eleven million
_LISTED = 3  # names in a message
_PATCHWORK = 0  # its place among the parts; the files follow

ReadItem = Callable[[ByteSource, int], Checkpoint]


def read(folder: Path, read_item: ReadItem) -> Checkpoint:
    """Read the metadata of a folder and the objects in it; `read_item` reads what lies in the data files.

    Chunks that do not tile their tensor, data that lies outside of its file or under another chunk's, files that are missing or lie
    elsewhere: each is a `FormatError`. Files that the metadata does not mention are noted. `close` of the result closes the files.
    """
    with ExitStack() as stack:
        sources = _open_metadata(folder, stack)
        where = sources[0].name if len(sources) == 1 else str(folder)
        metadata = merge([parse(_content(source), source.name) for source in sources], where)
        files = _files(folder, metadata, where, stack)
        reading = _Reading(where, metadata, files, read_item)
        leaves = {key: reading.leaf(key, entry) for key, entry in metadata.entries.items()}
        keep_open = stack.pop_all()
    return Checkpoint(
        root=nest(leaves, metadata.paths, where),
        sections=(),
        format=FORMAT,
        origin=str(folder),
        parts=(reading.patchwork, sources[0], *files.values()),
        storages=tuple(reading.storages),
        notes=_notes(folder, metadata, reading),
        checksums=reading.checksums,
        close=keep_open.close,
    )


def _content(source: FileSource) -> bytes:
    if source.size > _MOST_METADATA:
        raise FormatError(f"has {source.size} bytes; at most {_MOST_METADATA} are read", where=source.name)
    return source.read(0, source.size)


def _open_metadata(folder: Path, stack: ExitStack) -> list[FileSource]:
    """Open the metadata: one file, or one a rank where they were saved without a word between the ranks."""
    names = sorted(entry.name for entry in folder.iterdir())
    ranks = sorted((int(match[1]), name) for name in names if (match := _OF_RANK.fullmatch(name)))
    found = [METADATA] if METADATA in names else [name for _, name in ranks]
    if found:
        sources: list[FileSource] = []
        for name in found:
            sources.append(FileSource.open(folder / name))
            stack.callback(sources[-1].close)
        return sources
    where = str(folder)
    if f"{METADATA}.tmp" in names:
        hint = "save it again, or go back to the checkpoint before it"
        raise FormatError(
            "is a distributed checkpoint whose save was interrupted: .metadata is missing",
            where=where,
            hint=hint,
            rule="CKC628",
        )
    hint = "fetch that file as well: names that begin with a dot are easily left behind"
    raise FormatError("is a distributed checkpoint (DCP) without its .metadata", where=where, hint=hint, rule="CKC628")


def _files(folder: Path, metadata: Metadata, where: str, stack: ExitStack) -> dict[str, FileSource]:
    """Open every data file, and check what the metadata says lies in it."""
    by_path: dict[str, list[tuple[int, int, str]]] = {}
    for (key, _), item in metadata.items.items():
        by_path.setdefault(item.path, []).append((item.offset, item.length, key))
    files: dict[str, FileSource] = {}
    for path, runs in by_path.items():
        files[path] = FileSource.open(beside(folder, path, where, "data file"))
        stack.callback(files[path].close)
        if not _is_table(files[path]):
            _check_runs(sorted(runs), files[path], path, where)
    return files


def _is_table(file: ByteSource) -> bool:
    """Whether a data file is one safetensors file, in which tensors are found by their keys."""
    return file.size > 8 and file.read(8, 1) == b"{"


def _check_runs(runs: list[tuple[int, int, str]], file: FileSource, path: str, where: str) -> None:
    end, before = 0, ""
    for offset, length, key in runs:
        if offset + length > file.size:
            raise FormatError(
                f"the data of {key!r} ends at byte {offset + length} of {path!r}, which has {file.size}",
                where=where,
                hint="the data file is cut off, or belongs to another save; fetch or save it again",
                rule="CKC625",
            )
        if offset < end:
            raise FormatError(
                f"{before!r} and {key!r} lie on the same bytes of {path!r}, from {offset} on",
                where=where,
                hint="no writer makes such a file: it is damaged or was tampered with",
                rule="CKC626",
            )
        end, before = offset + length, key


class _Reading:
    """Makes the leaves of the tree."""

    def __init__(self, where: str, metadata: Metadata, files: Mapping[str, FileSource], read_item: ReadItem) -> None:
        self._where = where
        self._metadata = metadata
        self._files = files
        self._numbers = {path: number for number, path in enumerate(files, _PATCHWORK + 2)}
        self._read_item = read_item
        self.patchwork = Patchwork(where, tuple(files.values()))
        self._tables: dict[str, Checkpoint | None] = {path: None for path, file in files.items() if _is_table(file)}
        self.storages: list[Storage] = []
        self.checksums: dict[tuple[int, int], int] = {}
        self.globals: dict[str, None] = {}
        self.protocol = 2
        self.used: set[tuple[str, tuple[int, ...] | None]] = set()

    def leaf(self, key: str, entry: TensorEntry | None) -> Value:
        return self._object(key) if entry is None else self._tensor(key, entry)

    def _tensor(self, key: str, entry: TensorEntry) -> Tensor:
        flaw = find_flaw(entry.shape, entry.chunks)
        if flaw is not None:
            words, rule = _FLAWS[flaw.kind]
            message = words.format(key=key, shape=list(entry.shape), place=flaw)
            raise FormatError(message, where=self._where, hint=_HINT, rule=rule)
        patches = [
            Patch(chunk.offsets, chunk.sizes, partial(self._locate, key, entry, chunk, self._item(key, chunk.offsets)))
            for chunk in entry.chunks
            if 0 not in chunk.sizes
        ]
        storage = Storage(key, entry.dtype, _numel(entry.shape))
        storage.part = _PATCHWORK
        storage.start = self.patchwork.add(entry.dtype, entry.shape, patches)
        self.storages.append(storage)
        return Tensor(storage, entry.dtype, entry.shape, contiguous(entry.shape))

    def _item(self, key: str, place: tuple[int, ...] | None) -> Item:
        item = self._metadata.items.get((key, place))
        if item is None:
            what = f"{key!r}" if place is None else f"the chunk of {key!r} at {list(place)}"
            message = f"{what} has no data: storage_data does not say where it lies"
            raise FormatError(message, where=self._where, hint=_HINT, rule="CKC627")
        self.used.add((key, place))
        if item.transforms:
            named = ", ".join(item.transforms)
            hint = "load it with the extension that wrote it, and save it without"
            raise FormatError(f"{key!r} was written through {named}, which is not read", where=self._where, hint=hint)
        return item

    def _open(self, key: str, item: Item) -> tuple[Checkpoint, int]:
        """Read what lies at an item, and return it with its offset in the file."""
        file = self._files[item.path]
        if item.path in self._tables:
            return self._from_table(key, item), 0
        window = Window(
            file, item.offset, item.length, f"{file.name}[{item.offset}:{item.offset + item.length}] ({key})"
        )
        return self._read_item(window, self._numbers[item.path]), item.offset

    def _from_table(self, key: str, item: Item) -> Checkpoint:
        """The tensor that a safetensors file has under this key."""
        table = self._tables[item.path]
        if table is None:
            table = self._tables[item.path] = self._read_item(self._files[item.path], self._numbers[item.path])
        tensor = table.root.get(key) if isinstance(table.root, Dict) else None
        if tensor is None:
            raise FormatError(f"has no tensor {key!r}, which should lie in it", where=table.origin, hint=_HINT)
        return replace(table, root=tensor)

    def _object(self, key: str) -> Value:
        held, offset = self._open(key, self._item(key, None))
        for storage in held.storages:
            storage.start += offset
        self.storages += held.storages
        self.checksums.update({(part, start + offset): crc for (part, start), crc in held.checksums.items()})
        self.globals.update(dict.fromkeys(filter(None, held.notes.get("globals", "").split(", "))))
        self.protocol = max(self.protocol, int(held.notes.get("protocol", "2")))
        return held.root

    def _locate(self, key: str, entry: TensorEntry, chunk: Chunk, item: Item) -> Located:
        """Open a chunk: it must hold one tensor, of the shape and dtype that the metadata says."""
        held, offset = self._open(key, item)
        tensor = held.root
        place = f"{self._files[item.path].name}: byte {item.offset}"
        if not isinstance(tensor, Tensor):
            raise FormatError(f"the data of {key!r} is no tensor", where=place, hint=_HINT)
        if tensor.lazy:
            hint = "save plain tensors: resolve_conj(), resolve_neg(), dequantize()"
            raise FormatError(
                f"the data of {key!r} is marked {tensor.lazy[0]}, which is not read here", where=place, hint=hint
            )
        if tensor.dtype is not entry.dtype or tensor.shape != chunk.sizes:
            said = f"{entry.dtype}[{','.join(map(str, chunk.sizes))}]"
            raise FormatError(
                f"the data of {key!r} is {tensor.spec}, where the metadata says {said}", where=place, hint=_HINT
            )
        storage, file = tensor.storage, self._files[item.path]
        checksum = held.checksums.get((storage.part, storage.start))
        start = storage.start + offset
        record = None if checksum is None else Range(file, start, storage.nbytes, checksum)
        plain = contiguous(tensor.shape)
        strides = (
            want if size == 1 else have for size, have, want in zip(tensor.shape, tensor.stride, plain, strict=True)
        )
        first = start + tensor.dtype.nbytes(tensor.offset)
        return Located(file, first, tuple(strides), storage.swapped, record)


def _numel(shape: tuple[int, ...]) -> int:
    from math import prod

    return prod(shape)


def _notes(folder: Path, metadata: Metadata, reading: _Reading) -> dict[str, str]:
    notes = {"version": metadata.version, "protocol": str(reading.protocol)}
    if reading.globals:
        notes["globals"] = ", ".join(reading.globals)
    unlisted = [
        key for key, place in metadata.items if (key, place) not in reading.used and not _is_empty(metadata, key, place)
    ]
    if unlisted:
        notes["unlisted"] = _listed(dict.fromkeys(unlisted))
    known = {Path(item.path).parts[0] for item in metadata.items.values()}
    stray = sorted(entry.name for entry in folder.iterdir() if entry.suffix == ".distcp" and entry.name not in known)
    if stray:
        notes["stray"] = _listed(stray)
    stamp = folder / STAMP
    if stamp.is_file():
        notes["revisions"] = _stamp(stamp)
    return notes


def _is_empty(metadata: Metadata, key: str, place: tuple[int, ...] | None) -> bool:
    """Whether an item is a chunk without elements, which nobody reads."""
    entry = metadata.entries.get(key)
    return entry is not None and any(chunk.offsets == place and 0 in chunk.sizes for chunk in entry.chunks)


def _stamp(path: Path) -> str:
    source = FileSource.open(path)
    try:
        return source.read(0, min(source.size, 1 << 20)).decode(errors="replace")
    finally:
        source.close()


def _listed(names: Iterator[str] | list[str] | dict[str, None]) -> str:
    listed = list(names)
    more = f" and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
    return ", ".join(listed[:_LISTED]) + more


_HINT = "the files do not fit together; fetch or save all of them again"
_FLAWS = {
    "hole": ("no chunk of {key!r} holds {place} of its shape {shape}: these values would be random", "CKC621"),
    "overlap": ("two chunks of {key!r} hold {place} of its shape {shape}: which one counts is chance", "CKC622"),
    "outside": ("a chunk of {key!r} lies at {place}, outside of its shape {shape}", "CKC623"),
    "fragmented": ("the chunks of {key!r} cut its shape {shape} into more pieces than any sharding does", "CKC622"),
}
