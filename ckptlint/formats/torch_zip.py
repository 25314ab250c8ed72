"""Read what torch.save writes: a ZIP archive of one pickle and a raw record a storage.

Only the directory, the local headers and the small records are read; storages are known by their place.
A storage's record must have exactly the bytes that the pickle says, or values would silently come from elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath

from ckptlint.core.checkpoint import ByteSource, Checkpoint
from ckptlint.core.tree import Storage
from ckptlint.errors import FormatError
from ckptlint.formats import pickles
from ckptlint.formats.pickle_notes import pickle_notes
from ckptlint.formats.zip_container import STORED, Archive, Record
from ckptlint.formats.zip_kinds import find_root

FORMAT = "torch-zip"
_MOST_PICKLE = 256 << 20  # bytes of data.pkl; fifty thousand tensors take six million
_MOST_NOTE = 16 << 20  # bytes of a small record
_OLDEST, _NEWEST = 1, 10  # versions that torch's reader accepts
_OWN = ".ckptlint/"
_SMALL = ("data.pkl", "byteorder", "version", ".format_version", ".storage_alignment", ".data/serialization_id")


def read(source: ByteSource, *, part: int = 0) -> Checkpoint:
    """Read the archive's tree; its storages say they are in `part`. Sections are not looked for here."""
    archive = Archive(source)
    root = find_root(archive.records, source.name)
    notes = _notes(archive, root, source)
    pickle = _pickle(archive, root, source)
    storages = pickle.storages
    for storage in storages:
        _place(storage, _record(storage, archive, root, source), part, swapped=notes["byteorder"] == "big")
    extra = _unreferenced(archive.records, root, storages)
    if extra:
        notes["unreferenced"] = ", ".join(extra)
    return Checkpoint(
        root=pickle.root,
        sections=(),
        format=FORMAT,
        origin=source.name,
        parts=(source,),
        storages=storages,
        notes=notes | pickle_notes(pickle),
        checksums=_checksums(archive, root, storages) if archive.has_checksums else {},
    )


def _pickle(archive: Archive, root: str, source: ByteSource) -> pickles.Pickle:
    content = archive.read(f"{root}data.pkl", _MOST_PICKLE)
    where = f"{source.name}: {root}data.pkl"
    pickle = pickles.read(content, where)
    if pickle.end != len(content):
        raise FormatError(
            f"{len(content) - pickle.end} bytes follow the pickle's STOP",
            where=f"{where}: byte {pickle.end}",
            hint="no writer makes such a file: something is hidden in it, or it is damaged",
        )
    return pickle


def _notes(archive: Archive, root: str, source: ByteSource) -> dict[str, str]:
    notes = {
        PurePath(name).stem: _text(archive, name, source)
        for name in archive.records
        if name.startswith(root + _OWN) and name.endswith(".json")
    }
    if f"{root}version" not in archive.records:
        raise FormatError(
            f"has no record {root}version, without which torch.load refuses it", where=source.name, hint="save it again"
        )
    version = _text(archive, f"{root}version", source).strip()
    if not (version.isascii() and version.isdigit() and len(version) < 5 and _OLDEST <= int(version) <= _NEWEST):
        raise FormatError(
            f"has the container version {version[:20]!r}; torch reads {_OLDEST} to {_NEWEST}",
            where=f"{source.name}: {root}version",
        )
    order = _text(archive, f"{root}byteorder", source) if f"{root}byteorder" in archive.records else "little"
    if order not in ("little", "big"):
        raise FormatError(
            f"has the byte order {order[:20]!r}; there are little and big", where=f"{source.name}: {root}byteorder"
        )
    return {
        **notes,
        "version": version,
        "byteorder": order,
        "checksums": "present" if archive.has_checksums else "absent",
    }


def _text(archive: Archive, name: str, source: ByteSource) -> str:
    try:
        return archive.read(name, _MOST_NOTE).decode()
    except UnicodeDecodeError as error:
        raise FormatError(f"the record {name} is not a text", where=source.name, hint="the file is damaged") from error


def _record(storage: Storage, archive: Archive, root: str, source: ByteSource) -> Record:
    name = f"{root}data/{storage.key}"
    record = archive.records.get(name)
    if record is None:
        raise FormatError(
            f"a tensor has its values in the record {name}, which the archive does not have",
            where=source.name,
            hint="the archive was edited, or is cut off; fetch or save it again",
        )
    if record.method != STORED:
        raise FormatError(
            f"the values in {name} are compressed (method {record.method}), which torch.load(mmap=True) reads as garbage",
            where=f"{source.name}: byte {record.start}",
            hint="something packed the archive again; save the checkpoint again with torch.save, or repack it with zip -0",
        )
    if record.size != storage.nbytes or record.stored != record.size:
        raise FormatError(
            f"the record {name} has {record.size} bytes; the pickle says {storage.nbytes}, {storage.numel} elements of {storage.dtype}",
            where=f"{source.name}: byte {record.start}",
            hint="the file is damaged or was tampered with; fetch it again",
        )
    return record


def _place(storage: Storage, record: Record, part: int, *, swapped: bool) -> None:
    storage.part = part
    storage.start = record.start
    storage.swapped = swapped and storage.dtype.bits > 8


def _unreferenced(records: Iterable[str], root: str, storages: Iterable[Storage]) -> list[str]:
    """Records nothing in the pickle points to, and that torch does not write of itself."""
    known = {f"{root}data/{storage.key}" for storage in storages} | {root + name for name in _SMALL}
    return [name for name in records if name not in known and not name.startswith(root + _OWN)]


def _checksums(archive: Archive, root: str, storages: Iterable[Storage]) -> dict[tuple[int, int], int]:
    return {(s.part, s.start): archive.records[f"{root}data/{s.key}"].checksum for s in storages if s.nbytes}
