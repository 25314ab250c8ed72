"""ZIP archives assembled by hand, so that each field can be made to lie."""

import struct
import zlib
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Member:
    name: bytes
    content: bytes = b""
    method: int = 0
    flags: int = 0x0800
    local: dict = field(default_factory=dict)  # fields of the local header that lie
    central: dict = field(default_factory=dict)  # fields of the directory entry that lie

    @property
    def packed(self) -> bytes:
        if self.method != 8:
            return self.content
        machine = zlib.compressobj(9, zlib.DEFLATED, -15)
        return machine.compress(self.content) + machine.flush()

    def lying(self, **central) -> "Member":
        return replace(self, central=central)

    def lying_inside(self, **local) -> "Member":
        return replace(self, local=local)


def _fields(member: Member, lies: dict) -> dict:
    packed = member.packed
    truth = {
        "signature": b"",
        "flags": member.flags,
        "method": member.method,
        "crc": zlib.crc32(member.content),
        "stored": len(packed),
        "size": len(member.content),
        "name": member.name,
        "extra": b"",
    }
    return truth | lies


def local(member: Member) -> bytes:
    f = _fields(member, {"signature": b"PK\3\4"} | member.local)
    head = struct.pack(
        "<4sHHHHHIIIHH",
        f["signature"],
        0,
        f["flags"],
        f["method"],
        0,
        0,
        f["crc"],
        f["stored"],
        f["size"],
        len(f["name"]),
        len(f["extra"]),
    )
    return head + f["name"] + f["extra"] + member.packed


def central(member: Member, at: int) -> bytes:
    f = _fields(member, {"signature": b"PK\1\2", "at": at} | member.central)
    head = struct.pack(
        "<4sHHHHHHIIIHHHHHII",
        *(
            f["signature"],
            0,
            0,
            f["flags"],
            f["method"],
            0,
            0,
            f["crc"],
            f["stored"],
            f["size"],
            len(f["name"]),
            len(f["extra"]),
            0,
            0,
            0,
            0,
        ),
        f["at"],
    )
    return head + f["name"] + f["extra"]


def archive(*members: Member, prefix: bytes = b"", comment: bytes = b"", zip64: bool = False, **lies) -> bytes:
    """An archive of members; `lies` change fields of the end record (count, size, start) or of its zip64 form (wide_...)."""
    body, entries = prefix, b""
    for member in members:
        entries += central(member, len(body))
        body += local(member)
    ends = {"count": len(members), "size": len(entries), "start": len(body)}
    tail = b""
    if zip64:
        wide = ends | {name.removeprefix("wide_"): value for name, value in lies.items() if name.startswith("wide_")}
        tail += struct.pack(
            "<4sQHHIIQQQQ",
            b"PK\6\6",
            wide.get("length", 44),
            45,
            45,
            0,
            0,
            wide.get("here", wide["count"]),
            wide["count"],
            wide["size"],
            wide["start"],
        )
        tail += struct.pack("<4sIQI", b"PK\6\7", 0, wide.get("locator", len(body) + len(entries)), 1)
    ends |= {name: value for name, value in lies.items() if not name.startswith("wide_")}
    end = struct.pack(
        "<4sHHHHIIH",
        b"PK\5\6",
        ends.get("disk", 0),
        0,
        ends["count"],
        ends["count"],
        ends["size"],
        ends["start"],
        len(comment),
    )
    return body + entries + tail + end + comment
