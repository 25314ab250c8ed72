"""Scales as metatensor serializes them: a TensorMap is a zip of stored npy files. For maps of one block."""  # noqa: INP001  a script beside its migrations

import struct
import zlib

import numpy as np

_NPY = b"\x93NUMPY\x01\x00"
_INSIDE = "blocks/0/values.npy"


def of_scale(scales: np.ndarray) -> np.ndarray:
    """Serialize one scale for the property `energy` of all types."""
    if scales.shape != (1,):
        raise ValueError(f"{scales.size} targets; only one can be serialized here")
    labels = "[('{}', '<i4'), ]"
    files = {
        "keys.npy": _npy(labels.format("_"), "(1, )", struct.pack("<i", 0)),
        _INSIDE: _npy("'<f8'", "(1, 1, )", np.asarray(scales[0], "<f8").tobytes()),
        "blocks/0/samples.npy": _npy(labels.format("atomic_type"), "(1, )", struct.pack("<i", -1)),
        "blocks/0/properties.npy": _npy(labels.format("energy"), "(1, )", struct.pack("<i", 0)),
    }
    return np.frombuffer(_stored(files), "u1")


def split(buffer: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the old buffer, the scales of targets, which are the same, and those of properties, which are ones."""
    content = buffer.tobytes()
    if content.count(b"PK\x01\x02") != 4:
        raise ValueError("the target has several blocks; its scales must be computed anew from the training data")
    start = content.index(_INSIDE.encode()) + len(_INSIDE) + 20
    (size,) = struct.unpack_from("<Q", content, start - 16)
    values = content[start : start + size]
    header = 10 + struct.unpack_from("<H", values, 8)[0]
    ones = values[:header] + np.ones((size - header) // 8, "<f8").tobytes()
    old, new = (struct.pack("<I", zlib.crc32(each)) for each in (values, ones))
    made = content.replace(values, ones, 1).replace(old, new)
    return buffer, buffer.copy(), np.frombuffer(made, "u1")


def _npy(dtype: str, shape: str, elements: bytes) -> bytes:
    words = f"{{ 'descr': {dtype}, 'fortran_order': False, 'shape': {shape} }}".encode()
    header = words.ljust(-(-(len(words) + 11) // 64) * 64 - 11) + b"\n"
    return _NPY + struct.pack("<H", len(header)) + header + elements


def _stored(files: dict[str, bytes]) -> bytes:
    body, directory = b"", b""
    for name, content in files.items():
        crc, size, path = zlib.crc32(content), len(content), name.encode()
        stamp = struct.pack("<HHHHI", 0, 0, 0, 0x2821, crc)  # the first of January 2000
        directory += b"PK\x01\x02" + struct.pack("<HH", 0x032E, 20) + stamp
        directory += struct.pack("<IIHHHHHII", size, size, len(path), 0, 0, 0, 0, 0o100644 << 16, len(body)) + path
        body += (
            b"PK\x03\x04" + struct.pack("<H", 20) + stamp + struct.pack("<IIHH", 2**32 - 1, 2**32 - 1, len(path), 20)
        )
        body += path + struct.pack("<HHQQ", 1, 16, size, size) + content
    end = struct.pack("<HHHHIIH", 0, 0, len(files), len(files), len(directory), len(body), 0)
    return body + directory + b"PK\x05\x06" + end
