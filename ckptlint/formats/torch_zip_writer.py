"""Write a tree as a torch zip file, which `torch.load` reads in every mode.

Records: `ROOT/data.pkl`, `ROOT/byteorder`, `ROOT/data/0...` in order of first use, `ROOT/version`. We leave out `.format_version`, which
lets torch compute offsets from *its* writer's layout instead of reading ours, and `.data/serialization_id`, which is random.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import BinaryIO

from ckptlint.core.pieces import Supply
from ckptlint.core.tree import Node, Storage, Value
from ckptlint.errors import OutputError
from ckptlint.formats import pickles
from ckptlint.formats.ahead import Ahead
from ckptlint.formats.checking import Aside
from ckptlint.formats.copying import Copier, Progress, Sum
from ckptlint.formats.zip_layout import Record, directory, lay_out, local_header, total_size


class TorchZipWriter:
    """Lays a file out at construction; `nbytes` is its exact size, `write` fills it.

    `root` is written with `replace` applied to every node, `records` are further members by their name below the root, `names` say by
    the identity of a storage whose data it is, for messages.
    """

    def __init__(
        self,
        root: Value,
        name: str,
        *,
        replace: Callable[[Node], Value] | None = None,
        protocol: int = 2,
        records: Mapping[str, bytes] | None = None,
        names: Mapping[int, str] | None = None,
    ) -> None:
        self._names = names or {}
        self.storages: list[Storage] = []
        keys: dict[int, str] = {}

        def storage_key(storage: Storage) -> str:
            if id(storage) not in keys:
                keys[id(storage)] = str(len(keys))
                self.storages.append(storage)
            return keys[id(storage)]

        tree = pickles.write(root, protocol=protocol, storage_key=storage_key, replace=replace)
        stem = _archive_name(name)
        self._small = {
            f"{stem}/data.pkl": tree,
            f"{stem}/byteorder": b"little",
            f"{stem}/version": b"3\n",
            **{f"{stem}/{member}": content for member, content in (records or {}).items()},
        }
        members = [(member, len(content)) for member, content in self._small.items()]
        data = [(f"{stem}/data/{keys[id(storage)]}", storage.nbytes) for storage in self.storages]
        self._records = lay_out([*members[:2], *data, *members[2:]])
        self.nbytes = total_size(self._records)

    @property
    def data_nbytes(self) -> int:
        """Bytes of all storages, for a progress bar."""
        return sum(storage.nbytes for storage in self.storages)

    def write(self, file: BinaryIO, supply: Supply, progress: Progress, *, verify: bool = True) -> None:
        """Write the whole archive at the start of `file`."""
        with Aside() as aside, Ahead(supply, self.storages) as ahead:
            self.fill(file, ahead, Copier(file, progress, aside, verify=verify), 0)

    def fill(self, file: BinaryIO, ahead: Ahead, copier: Copier, start: int) -> None:
        """Write the archive into `file` from byte `start` on, one of several in it; `ahead` gives the pieces of its `storages` next."""
        by_record = dict(zip(self._records[2 : 2 + len(self.storages)], self.storages, strict=True))
        sums: list[Sum] = []
        file.seek(start)
        for record in self._records:
            storage = by_record.get(record)
            name = record.name.decode()
            pieces = [self._small[name]] if storage is None else ahead.pieces()
            file.write(local_header(record, 0))
            sums.append(copier.store(pieces, record.size, self._names.get(id(storage), name)))
        copier.finish()
        checksums = [each.value for each in sums]
        file.write(directory(self._records, checksums))
        file.flush()
        _fill_in(file, self._records, checksums, start)
        if file.tell() != start + self.nbytes:
            raise OutputError(f"{file.tell() - start} bytes were written where {self.nbytes} were planned")


def _fill_in(file: BinaryIO, records: list[Record], checksums: list[int], start: int) -> None:
    """Put the checksums, known only now, into the local headers."""
    for record, checksum in zip(records, checksums, strict=True):
        os.pwrite(file.fileno(), checksum.to_bytes(4, "little"), start + record.crc_at)


def _archive_name(name: str) -> str:
    """The archive's folder: the file's name without its suffix, as torch does it."""
    stem = os.path.basename(name).rpartition(".")[0] or os.path.basename(name)
    written = stem.encode(errors="replace").decode()  # a name on disk may be no text
    return written.replace("\\", "_").strip("/ ") or "archive"
