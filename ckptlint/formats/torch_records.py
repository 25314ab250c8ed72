"""The records that all of torch's archives share: the version, the byte order, and one raw record a storage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePath

from ckptlint.core.checkpoint import ByteSource
from ckptlint.core.tree import Storage
from ckptlint.errors import FormatError
from ckptlint.formats import pickles
from ckptlint.formats.zip_container import STORED, Archive, Record

_MOST_PICKLE = 256 << 20  # bytes of data.pkl; fifty thousand tensors take six million
_MOST_NOTE = 16 << 20  # bytes of a small record
_OLDEST, _NEWEST = 1, 10  # versions that torch's reader accepts
_OWN = ".ckptlint/"
_SMALL = ("byteorder", "version", ".data/version", ".format_version", ".storage_alignment", ".data/serialization_id")


class TorchArchive:
    """One of torch's archives: `root` is the folder that all its records are in, with its slash."""

    def __init__(self, archive: Archive, root: str, source: ByteSource) -> None:
        self.archive = archive
        self.root = root
        self.source = source

    @property
    def records(self) -> Mapping[str, Record]:
        return self.archive.records

    def has(self, name: str) -> bool:
        return self.root + name in self.archive.records

    def where(self, name: str) -> str:
        """The place of a record, for messages."""
        return f"{self.source.name}: {self.root}{name}"

    def content(self, name: str, most: int = _MOST_NOTE) -> bytes:
        """A small record, its CRC-32 checked; `FormatError` where the archive has none, or it is larger than `most` bytes."""
        if not self.has(name):
            raise FormatError(
                f"has no record {self.root}{name}, which such an archive has",
                where=self.source.name,
                hint="save it again",
            )
        return self.archive.read(self.root + name, most)

    def text(self, name: str) -> str:
        try:
            return self.content(name).decode()
        except UnicodeDecodeError as error:
            raise FormatError(
                f"the record {self.root}{name} is not a text", where=self.source.name, hint="the file is damaged"
            ) from error

    def pickle(self, name: str) -> pickles.Pickle:
        """A record that is one pickle and nothing else."""
        content = self.content(name, _MOST_PICKLE)
        where = self.where(name)
        pickle = pickles.read(content, where)
        if pickle.end != len(content):
            raise FormatError(
                f"{len(content) - pickle.end} bytes follow the pickle's STOP",
                where=f"{where}: byte {pickle.end}",
                hint="no writer makes such a file: something is hidden in it, or it is damaged",
            )
        return pickle

    def notes(self, version: str = "version") -> dict[str, str]:
        """The container's version and byte order, both checked, whether it has checksums, and what ckptlint wrote into it."""
        notes = {
            PurePath(name).stem: self.text(name[len(self.root) :])
            for name in self.records
            if name.startswith(self.root + _OWN) and name.endswith(".json")
        }
        order = self.text("byteorder") if self.has("byteorder") else "little"
        return {
            **notes,
            "version": self._version(version),
            "byteorder": self._known_order(order),
            "checksums": "present" if self.archive.has_checksums else "absent",
        }

    def _version(self, record: str) -> str:
        if not self.has(record):
            raise FormatError(
                f"has no record {self.root}{record}, without which torch.load refuses it",
                where=self.source.name,
                hint="save it again",
            )
        version = self.text(record).strip()
        if not (version.isascii() and version.isdigit() and len(version) < 5 and _OLDEST <= int(version) <= _NEWEST):
            raise FormatError(
                f"has the container version {version[:20]!r}; torch reads {_OLDEST} to {_NEWEST}",
                where=self.where(record),
            )
        return version

    def _known_order(self, order: str) -> str:
        if order not in ("little", "big"):
            raise FormatError(
                f"has the byte order {order[:20]!r}; there are little and big", where=self.where("byteorder")
            )
        return order

    def place(
        self, storages: Iterable[Storage], part: int, *, big: bool, folder: str = "data/"
    ) -> dict[tuple[int, int], int]:
        """Tell storages where their bytes are, once their records are known to have exactly as many as they should.

        Return their stored CRC-32, by part and start. Archives without any, and those of `torch.serialization.skip_data`, have 0 for all
        of them, which says nothing.
        """
        records, prefix = self.records, self.root + folder
        checksums: dict[tuple[int, int], int] = {}
        for storage in storages:
            record = records.get(prefix + storage.key)
            nbytes = storage.dtype.nbytes(storage.numel)
            if record is None or record.method != STORED or record.size != nbytes or record.stored != nbytes:
                raise self._misplaced(storage, prefix + storage.key, record)
            storage.part = part
            storage.start = record.start
            storage.swapped = big and storage.dtype.bits > 8
            if nbytes:
                checksums[part, record.start] = record.checksum
        return checksums if any(checksums.values()) else {}

    def _misplaced(self, storage: Storage, name: str, record: Record | None) -> FormatError:
        """Say what is wrong with the record of a storage."""
        if record is None:
            return FormatError(
                f"a tensor has its values in the record {name}, which the archive does not have",
                where=self.source.name,
                hint="the archive was edited, or is cut off; fetch or save it again",
            )
        if record.method != STORED:
            return FormatError(
                f"the values in {name} are compressed (method {record.method}), which torch.load(mmap=True) reads as garbage",
                where=f"{self.source.name}: byte {record.start}",
                hint="something packed the archive again; save the checkpoint again with torch.save, or repack it with zip -0",
            )
        return FormatError(
            f"the record {name} has {record.size} bytes; the pickle says {storage.nbytes}, "
            f"{storage.numel} elements of {storage.dtype}",
            where=f"{self.source.name}: byte {record.start}",
            hint="the file is damaged or was tampered with; fetch it again",
        )

    def unreferenced(self, known: Iterable[str]) -> list[str]:
        """Records that are none of these, and that torch does not write of itself."""
        names = {self.root + name for name in (*known, *_SMALL)}
        return [name for name in self.records if name not in names and not name.startswith(self.root + _OWN)]
