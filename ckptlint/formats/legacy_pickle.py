"""Read what torch.save wrote before 1.6: five pickles, one behind the other, then the storages.

The pickles are a magic number, a version, facts of the machine, the object, and the storages' keys in file order; each storage is its
length in elements (8 bytes) and its elements, always little-endian: a big-endian machine turns them when it saves. Only the object may
name classes: nothing else needs any.
How long the pickles are is known only when they are read, so the file's start is taken in growing portions.
"""

from __future__ import annotations

from collections.abc import Sequence

from ckptlint.core.checkpoint import ByteSource, Checkpoint
from ckptlint.core.tree import Dict, List, Storage, Value
from ckptlint.errors import FormatError
from ckptlint.formats import pickles
from ckptlint.formats.cut_off import cut_off
from ckptlint.formats.pickle_notes import pickle_notes

FORMAT = "torch-legacy"
_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001
_NAMES = ("magic number", "version", "system facts", "object", "storage keys")
_OBJECT = 3
_FIRST_PORTION = 1 << 18  # bytes; the pickles of two thousand tensors
_MOST_PICKLES = 256 << 20  # bytes of all five; fifty thousand tensors take six million


def read(source: ByteSource, *, part: int = 0, portion: int = _FIRST_PORTION) -> Checkpoint:
    """Read the file's tree; its storages say they are in `part`. Sections are not looked for here.

    `portion` are the bytes that are read first, where the pickles should be.
    """
    parts, start = _pickles(source, portion)
    magic, version, facts, body, keys = (pickle.root for pickle in parts)
    if magic != _MAGIC or version != _VERSION:
        raise FormatError(f"has the format version {str(version)[:20]}; torch reads {_VERSION}", where=source.name)
    if not isinstance(facts, Dict):
        raise FormatError(
            "does not say on what machine it was saved", where=source.name, hint="the file is damaged; fetch it again"
        )
    listed = parts[_OBJECT].storages
    _place(_ordered(keys, listed, source), start, source, part)
    return Checkpoint(
        root=body,
        sections=(),
        format=FORMAT,
        origin=source.name,
        parts=(source,),
        storages=listed,
        notes={"checksums": "absent", "byteorder": "little"} | pickle_notes(parts[_OBJECT]),
    )


def _pickles(source: ByteSource, portion: int) -> tuple[list[pickles.Pickle], int]:
    """Return the five pickles and the offset behind the last."""
    size = min(portion, source.size)
    while True:
        content = source.read(0, size)
        try:
            found = _parse(content, source)
        except FormatError:
            if size >= min(source.size, _MOST_PICKLES):
                raise
            size = min(size * 8, source.size, _MOST_PICKLES)  # the fault may only be that the portion ends
        else:
            return found, found[-1].end


def _parse(content: bytes, source: ByteSource) -> list[pickles.Pickle]:
    found: list[pickles.Pickle] = []
    at = 0
    for name in _NAMES:
        pickle = pickles.read(content, f"{source.name}: {name}", offset=at)
        if pickle.globals and name != _NAMES[_OBJECT]:
            named = f"{pickle.globals[0].module}.{pickle.globals[0].name}"
            raise FormatError(
                f"the pickle of the {name} names {named}, which it has no use for",
                where=f"{source.name}: byte {at}",
                hint="the file was made to run something when it is loaded; do not load it with torch",
            )
        found.append(pickle)
        at = pickle.end
    return found


def _ordered(keys: Value, storages: Sequence[Storage], source: ByteSource) -> list[Storage]:
    """The storages in file order; the list of keys and the object must name the same ones."""
    by_key = {storage.key: storage for storage in storages}
    if not isinstance(keys, List):
        raise FormatError("does not list its storages", where=source.name, hint="the file is damaged; fetch it again")
    listed = keys.items
    ordered = [by_key[key] for key in listed if isinstance(key, str) and key in by_key]
    if not len(listed) == len(ordered) == len(storages) == len(set(map(id, ordered))):
        raise FormatError(
            f"lists {len(listed)} storages, and its tensors lie in {len(storages)}, which are not the same",
            where=source.name,
            hint="the file is damaged or was tampered with; fetch it again",
        )
    return ordered


def _cut_off(source: ByteSource, storages: list[Storage], whole: int, start: int) -> FormatError:
    """Say how many bytes there should be: `whole` storages are there, the next would begin at `start`."""
    needed = start + sum(8 + storage.nbytes for storage in storages[whole:])
    return cut_off(source, needed, what=f"; {whole} of its {len(storages)} storages are whole")


def _place(storages: list[Storage], start: int, source: ByteSource, part: int) -> None:
    for number, storage in enumerate(storages):
        if start + 8 > source.size:
            raise _cut_off(source, storages, number, start)
        numel = int.from_bytes(source.read(start, 8), "little", signed=True)
        if numel != storage.count:
            raise FormatError(
                f"storage {storage.key} has {numel} elements; the object says {storage.count}",
                where=f"{source.name}: byte {start}",
                hint="the file is damaged or was tampered with; fetch it again",
            )
        storage.part = part
        storage.start = start + 8
        start = storage.start + storage.nbytes
        if start > source.size:
            raise _cut_off(source, storages, number, storage.start - 8)
    if start != source.size:
        raise FormatError(
            f"has {source.size - start} bytes behind its last storage",
            where=f"{source.name}: byte {start}",
            hint="something was appended to the file; fetch it again",
        )
