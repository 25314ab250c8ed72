"""A stored tensor's elements in order, as little-endian bytes, whatever its strides and the byte order of its file."""

from __future__ import annotations

from collections.abc import Iterator

from ckptlint.core.checkpoint import Checkpoint
from ckptlint.core.tree import Tensor

_BLOCK = 4 << 20  # bytes


def tensor_digest(checkpoint: Checkpoint, tensor: Tensor) -> str:
    """The first 16 hex digits of `tensor_sha256`: short, for people."""
    return tensor_sha256(checkpoint, tensor)[:16]


def tensor_sha256(checkpoint: Checkpoint, tensor: Tensor) -> str:
    """The SHA-256, in hex, of the tensor's contiguous little-endian bytes."""
    from hashlib import sha256

    digest = sha256()
    for block in tensor_blocks(checkpoint, tensor):
        digest.update(block)
    return digest.hexdigest()


def tensor_blocks(checkpoint: Checkpoint, tensor: Tensor) -> Iterator[bytes]:
    """The tensor's bytes in row-major order. A contiguous one streams; another one needs the memory of the range that it looks into."""
    if 0 in tensor.shape:
        return
    if tensor.is_contiguous and not tensor.storage.swapped:
        start = tensor.dtype.nbytes(tensor.offset)
        length = tensor.dtype.nbytes(tensor.spec.numel)
        for at in range(start, start + length, _BLOCK):
            yield checkpoint.read(tensor.storage, at, min(_BLOCK, start + length - at))
        return
    yield from _gathered(checkpoint, tensor)


def _gathered(checkpoint: Checkpoint, tensor: Tensor) -> Iterator[bytes]:
    import numpy as np

    width = tensor.dtype.bits // 8
    reach = 1 + sum((size - 1) * step for size, step in zip(tensor.shape, tensor.stride, strict=True))
    content = checkpoint.read(tensor.storage, tensor.offset * width, reach * width)
    if tensor.storage.swapped:
        unit = width // 2 if tensor.dtype.kind == "complex" else width  # a complex number is swapped part by part
        content = np.frombuffer(content, dtype=f"u{unit}").byteswap().tobytes()
    flat = np.frombuffer(content, dtype=f"V{width}")
    strides = tuple(step * width for step in tensor.stride)
    view = np.lib.stride_tricks.as_strided(flat, tensor.shape, strides, writeable=False)
    rows = view.reshape(1) if view.ndim == 0 else view
    per_row = max(1, rows[0].nbytes)
    for at in range(0, len(rows), max(1, _BLOCK // per_row)):
        yield rows[at : at + max(1, _BLOCK // per_row)].tobytes()
