"""Files around a pickle: every container that torch.load or one of its neighbours opens, made without torch."""

import gzip
import io
import struct
import tarfile
import zipfile

from formats.zips import Member, archive
from hostile.assemble import Name, dump

MAGIC = 0x1950A86A20F9469CFC6C
WEIGHTS = struct.pack("<4f", 1, 2, 3, 4)
SYSTEM = {
    "protocol_version": 1001,
    "little_endian": True,
    "type_sizes": {"short": 2, "int": 4, "long": 4},
}


def members(pickle: bytes, root: str = "m", *, weights: bytes = WEIGHTS) -> list[Member]:
    """The records of a torch zip; its one storage is named 0."""
    name = root.encode()
    return [
        Member(name + b"/data.pkl", pickle),
        Member(name + b"/byteorder", b"little"),
        Member(name + b"/data/0", weights),
        Member(name + b"/version", b"3\n"),
    ]


def torch_zip(pickle: bytes) -> bytes:
    return archive(*members(pickle))


def deflated_zip(pickle: bytes) -> bytes:
    first, *rest = members(pickle)
    return archive(Member(first.name, first.content, method=8), *rest)


def legacy(pickle: bytes, *, keys=("0",), replaced: dict[int, bytes] | None = None) -> bytes:
    """The five pickles and the storage; `replaced` gives others for some of the five."""
    parts = [dump(MAGIC), dump(1001), dump(SYSTEM), pickle, dump(list(keys))]
    for number, other in (replaced or {}).items():
        parts[number] = other
    return b"".join(parts) + b"".join(struct.pack("<q", 4) + WEIGHTS for _ in keys)


def tar_of(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def legacy_tar(pickle: bytes) -> bytes:
    """torch's format before 0.1.10, to its specification: no tensors, one storage."""
    stored = dump(("0", "cpu", Name("torch", "FloatStorage")))
    return tar_of(
        {
            "sys_info": dump(SYSTEM),
            "pickle": pickle,
            "storages": dump(1) + stored + struct.pack("<q", 4) + WEIGHTS + dump([]),
            "tensors": dump(0),
        }
    )


def bare(pickle: bytes) -> bytes:
    return pickle


def gzipped(pickle: bytes) -> bytes:
    return gzip.compress(torch_zip(pickle), mtime=0)


def nested_bytes(pickle: bytes) -> bytes:
    return torch_zip(dump({"epoch": 1, "buffer": pickle}))


def in_a_zip(pickle: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr("readme.txt", "weights")
        package.writestr("weights/model.bin", torch_zip(pickle))
    return out.getvalue()


def in_a_tar(pickle: bytes) -> bytes:
    return tar_of({"model.pth": torch_zip(pickle)})


def npy(pickle: bytes) -> bytes:
    head = "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    head += " " * (-(10 + len(head) + 1) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + pickle


def npz(pickle: bytes) -> bytes:
    return archive(Member(b"a.npy", npy(pickle)))


CONTAINERS = {
    "zip": torch_zip,
    "deflated": deflated_zip,
    "legacy": legacy,
    "tar": legacy_tar,
    "bare": bare,
    "gzip": gzipped,
    "nested": nested_bytes,
    "zip-in-zip": in_a_zip,
    "zip-in-tar": in_a_tar,
    "npy": npy,
    "npz": npz,
}
