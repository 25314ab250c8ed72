"""The bytes of a ZIP archive around its payloads, laid out before the first of them is written.

Records are stored, never compressed, and their payloads aligned, so that `torch.load(mmap=True)` and range copies work.
Unlike torch's own writer we know every size beforehand: no data descriptors; only the CRC-32 of computed records is filled in later.
Source: APPNOTE 6.3.10 (4.3.7 local header, 4.3.12 central directory, 4.3.14-16 end records, 4.5.3 zip64 extra).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import accumulate

ALIGNMENT = 64  # bytes; torch's default `storage_alignment`
_FULL = 0xFFFFFFFF
_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
_UTF8 = 0x0800
_EPOCH = 0x0021  # 1980-01-01, the first date a ZIP can hold: outputs are deterministic


@dataclass(frozen=True, slots=True)
class Record:
    """One member: its name, size in bytes, and where its header and payload lie."""

    name: bytes
    size: int
    header: int
    payload: int

    @property
    def crc_at(self) -> int:
        """Offset of the CRC-32 in the local header."""
        return self.header + 14

    @property
    def end(self) -> int:
        return self.payload + self.size


def lay_out(members: list[tuple[str, int]], *, start: int = 0) -> list[Record]:
    """Place members of these names and sizes one after the other from byte `start` on, payloads aligned."""
    records: list[Record] = []
    at = start
    for name, size in members:
        encoded = name.encode()
        bare = at + _LOCAL.size + len(encoded) + len(_zip64_local(size))
        payload = -(-(bare + 4) // ALIGNMENT) * ALIGNMENT  # 4: the padding is itself an extra field with a head
        records.append(Record(encoded, size, at, payload))
        at = payload + size
    return records


def local_header(record: Record, checksum: int) -> bytes:
    """Everything from the record's header to its payload."""
    wide = _zip64_local(record.size)
    padding = record.payload - record.header - _LOCAL.size - len(record.name) - len(wide) - 4
    size = _FULL if wide else record.size
    extra = wide + struct.pack("<2sH", b"FB", padding) + b"Z" * padding
    version = 45 if wide else 0
    fields = (b"PK\3\4", version, _UTF8, 0, 0, _EPOCH, checksum, size, size, len(record.name), len(extra))
    return _LOCAL.pack(*fields) + record.name + extra


def directory(records: list[Record], checksums: list[int]) -> bytes:
    """The central directory and the end records, as they stand after the last payload."""
    entries = [central(record, checksum) for record, checksum in zip(records, checksums, strict=True)]
    return b"".join(entries) + end_records(len(records), sum(map(len, entries)), records[-1].end if records else 0)


def end_records(count: int, size: int, start: int) -> bytes:
    """What follows a central directory of `count` entries in `size` bytes from byte `start` on."""
    wide = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, start)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, start + size, 1)
    short = min(count, 0xFFFF)
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, short, short, min(size, _FULL), min(start, _FULL), 0)
    return wide + locator + end


def total_size(records: list[Record]) -> int:
    """Bytes of the whole archive."""
    sizes = [len(central(record, 0)) for record in records]
    return (records[-1].end if records else 0) + list(accumulate(sizes, initial=0))[-1] + 56 + 20 + 22


def _zip64_local(size: int) -> bytes:
    return struct.pack("<HHQQ", 1, 16, size, size) if size >= _FULL else b""


def central(record: Record, checksum: int) -> bytes:
    """A record's entry in the central directory."""
    # the extra holds, in this order, only the fields whose 32-bit form is full
    wide = b""
    if record.size >= _FULL:
        wide += struct.pack("<QQ", record.size, record.size)
    if record.header >= _FULL:
        wide += struct.pack("<Q", record.header)
    extra = struct.pack("<HH", 1, len(wide)) + wide if wide else b""
    size, header = min(record.size, _FULL), min(record.header, _FULL)
    version = 45 if wide else 0
    fields = (
        b"PK\1\2",
        version,
        version,
        _UTF8,
        0,
        0,
        _EPOCH,
        checksum,
        size,
        size,
        len(record.name),
        len(extra),
        0,
        0,
        0,
        0,
        header,
    )
    return _CENTRAL.pack(*fields) + record.name + extra
