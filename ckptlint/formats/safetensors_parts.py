"""Parts of tensors in safetensors files, as torch.distributed.checkpoint writes them for Hugging Face.

Where each part lies is in its file's metadata `DCP_SHARDING_INFO`; what a tensor's shape is as a whole, only all files together say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from ckptlint.core.checkpoint import Checkpoint
from ckptlint.core.spec import TensorSpec, contiguous
from ckptlint.core.tree import Dict, Storage, Tensor
from ckptlint.errors import FormatError
from ckptlint.formats.patches import Located, Patch
from ckptlint.formats.patchwork import Patchwork
from ckptlint.formats.strict_json import Json, parse
from ckptlint.formats.tiling import find_flaw

FORMAT = "safetensors-parts"
NAME = re.compile(r"shard-\d+-model-\d+-of-\d+\.safetensors")
_NOTE = "metadata.DCP_SHARDING_INFO"
_OURS = "metadata.DCP_"
_MOST = 1 << 62


class _Part(NamedTuple):
    offsets: tuple[int, ...]
    tensor: Tensor
    file: Checkpoint


def is_part(checkpoint: Checkpoint) -> bool:
    """Whether a file holds parts of tensors, and says where they belong."""
    return _NOTE in checkpoint.notes and isinstance(checkpoint.root, Dict)


def gather(files: Sequence[Checkpoint], name: str) -> Checkpoint:
    """Return one checkpoint with every tensor whole; `FormatError` where the parts of one do not fit together."""
    parts: dict[str, list[_Part]] = {}
    for file in files:
        places = parse(file.notes[_NOTE].encode(), f"{file.origin}: DCP_SHARDING_INFO")
        for key, tensor in file.root.items if isinstance(file.root, Dict) else ():
            if isinstance(key, str) and isinstance(tensor, Tensor):
                offsets = _offsets(places, key, tensor, file.origin)
                parts.setdefault(key, []).append(_Part(offsets, tensor, file))
    sources = [file.parts[0] for file in files]
    patchwork = Patchwork(name, sources)
    tensors = {key: _whole(key, held, patchwork, len(sources), name) for key, held in parts.items()}
    return replace(
        files[0],
        root=Dict(list(tensors.items())),
        format=FORMAT,
        origin=name,
        parts=(*sources, patchwork),
        storages=tuple(tensor.storage for tensor in tensors.values()),
        notes={key: note for key, note in files[0].notes.items() if not key.startswith(_OURS)}
        | {"ranks": str(len(files))},
    )


def _offsets(places: Json, key: str, tensor: Tensor, origin: str) -> tuple[int, ...]:
    """Where a part belongs; one that is not mentioned is a whole tensor."""
    entry = places.get(key) if isinstance(places, Mapping) else None
    saved = entry.get("saved_offsets") if isinstance(entry, Mapping) else [0] * len(tensor.shape)
    offsets = (
        tuple(each for each in saved if type(each) is int and 0 <= each < _MOST) if isinstance(saved, list) else ()
    )
    if not isinstance(saved, list) or not len(offsets) == len(saved) == len(tensor.shape):
        raise FormatError(
            f"does not say where in {key!r} its part of shape {list(tensor.shape)} belongs",
            where=f"{origin}: DCP_SHARDING_INFO",
            hint="the file is damaged; fetch or save it again",
        )
    return offsets


def _whole(key: str, held: Sequence[_Part], patchwork: Patchwork, part: int, name: str) -> Tensor:
    dtype = held[0].tensor.dtype
    rank = len(held[0].offsets)
    if any(each.tensor.dtype is not dtype or len(each.offsets) != rank for each in held):
        raise FormatError(f"has parts of {key!r} that are of different dtypes or dimensions", where=name, hint=_HINT)
    shape = tuple(max(each.offsets[axis] + each.tensor.shape[axis] for each in held) for axis in range(rank))
    flaw = find_flaw(shape, [(each.offsets, each.tensor.shape) for each in held])
    if flaw is not None or dtype.bits % 8:
        what = "elements smaller than a byte" if flaw is None else f"a {flaw.kind} at {flaw}"
        raise FormatError(
            f"the parts of {key!r} do not make a tensor of shape {list(shape)}: {what}", where=name, hint=_HINT
        )
    patches = [
        Patch(each.offsets, each.tensor.shape, partial(_locate, each)) for each in held if 0 not in each.tensor.shape
    ]
    storage = Storage(key, dtype, TensorSpec(dtype, shape).numel)
    storage.part, storage.start = part, patchwork.add(dtype, shape, patches)
    return Tensor(storage, dtype, shape, contiguous(shape))


def _locate(part: _Part) -> Located:
    tensor = part.tensor
    start = tensor.storage.start + tensor.dtype.nbytes(tensor.offset)
    return Located(part.file.parts[0], start, tensor.stride)


_HINT = "fetch the files of all ranks, of one save"
