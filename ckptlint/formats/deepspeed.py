"""Read what a DeepSpeed run saved, a folder with files of every rank, as one checkpoint with its fp32 weights.

The tree is that of the first rank's model states, with the reconstructed weights as its `module`; what only describes how they were
spread is left out. Weights are equal to those of DeepSpeed's zero_to_fp32, with one difference: buffers that are no floats keep their
dtype, since a float cannot hold every integer. The optimizer's own state stays in the ranks' files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from ckptlint.core.checkpoint import ByteSource, Checkpoint
from ckptlint.core.dtype import BY_TORCH
from ckptlint.core.pieces import Range
from ckptlint.core.tree import Dict, Storage, Tensor, Value
from ckptlint.errors import FormatError
from ckptlint.formats.beside import inside
from ckptlint.formats.byte_source import FileSource
from ckptlint.formats.patchwork import Patchwork
from ckptlint.formats.widened import Widened
from ckptlint.formats.zero_ranks import ModelStates, Partition, Rank, model_states, partition
from ckptlint.formats.zero_weights import Weights

FORMAT = "deepspeed"
LATEST = "latest"
_MODEL, _OPTIMIZER = "_model_states.pt", "_optim_states.pt"
_RANK = re.compile(r"(?:bf16_)?(?:zero_pp_rank_(\d{1,9})_)?mp_rank_(\d{1,9})" + f"(?:{_MODEL}|{_OPTIMIZER})")
_EXPERTS = re.compile(rf"(layer_\d+_)?expert_\d+_.*{_MODEL}|expp_rank_.*{_OPTIMIZER}")
_LAYERS = re.compile(r"layer_\d+-model_.*-model_states\.pt")
_STATES = (_MODEL, _OPTIMIZER, "-model_states.pt")
_BOOKKEEPING = frozenset(
    {"buffer_names", "param_shapes", "frozen_param_shapes", "frozen_param_fragments", "shared_params", "optimizer"}
)
_HALVES = ("float16", "bfloat16")
_MOST_TAG = 4096  # bytes
_ASK = "gather it where it was made: deepspeed.utils.zero_to_fp32, or ds_to_universal"

ReadFile = Callable[[ByteSource, int], Checkpoint]


def read(folder: Path, read_file: ReadFile) -> Checkpoint:
    """Read the headers of all ranks' files below a run folder, of the step that `latest` names, or in a step's folder.

    Ranks that are missing, or do not fit together, are a `FormatError`. `close` of the result closes the files.
    """
    folder = _step(folder)
    names = sorted((entry.name for entry in folder.iterdir() if entry.name.endswith(_STATES)), key=_natural)
    _check_kind(folder, names)
    with ExitStack() as stack:
        opened = [_open(folder, name, number, read_file, stack) for number, name in enumerate(names, 1)]
        models = [rank for name, rank in zip(names, opened, strict=True) if name.endswith(_MODEL)]
        optimizers = [rank for name, rank in zip(names, opened, strict=True) if name.endswith(_OPTIMIZER)]
        sources = [rank.checkpoint.parts[0] for rank in opened]
        patchwork = Patchwork(str(folder), sources)
        joined = _joined(folder, models, optimizers, patchwork) if optimizers else _Joined(models[0].checkpoint.root)
        keep_open = stack.pop_all()
    return Checkpoint(
        root=joined.root,
        sections=(),
        format=FORMAT,
        origin=str(folder),
        parts=(patchwork, *sources, *joined.further),
        storages=(*joined.storages, *models[0].checkpoint.storages),
        notes=dict(models[0].checkpoint.notes) | {"ranks": str(max(1, len(optimizers)))},
        checksums=dict(models[0].checkpoint.checksums),
        close=keep_open.close,
    )


class _Joined(NamedTuple):
    """The tree, its new storages, and the sources that follow the files'."""

    root: Value
    storages: tuple[Storage, ...] = ()
    further: tuple[ByteSource, ...] = ()


def _step(folder: Path) -> Path:
    """Return the folder of the step that `latest` names, the folder itself where there is no such file."""
    latest = folder / LATEST
    if not latest.is_file():
        return folder
    source = FileSource.open(latest)
    try:
        content = source.read(0, min(source.size, _MOST_TAG))
    finally:
        source.close()
    try:
        tag = content.decode().strip()
    except UnicodeDecodeError as error:
        hint = "name the folder of a step instead"
        raise FormatError("is no text: it should name the folder of a step", where=str(latest), hint=hint) from error
    return inside(folder, tag, str(latest))


def _natural(name: str) -> tuple[tuple[str, int], ...]:
    """Rank 2 before rank 10, as DeepSpeed sorts them."""
    return tuple((text, int(digits or -1)) for text, digits in re.findall(r"(\D*)(\d{0,18})", name))


def _check_kind(folder: Path, names: Sequence[str]) -> None:
    """Refuse what other parallelism than that of data has spread: it cannot be put together from these files alone."""
    where = str(folder)
    if any(map(_EXPERTS.fullmatch, names)):
        message = "is a DeepSpeed checkpoint with a mixture of experts, which is not read"
        raise FormatError(message, where=where, hint=_ASK, rule="CKC632")
    if any(map(_LAYERS.fullmatch, names)):
        message = "is a DeepSpeed checkpoint of a pipeline, one file a layer, which is not read"
        raise FormatError(message, where=where, hint=_ASK, rule="CKC632")
    if (folder / "zero").is_dir():
        message = "is a universal DeepSpeed checkpoint, one folder a parameter, which is not read"
        hint = "name the step that it was made from"
        raise FormatError(message, where=where, hint=hint, rule="CKC632")
    _check_files(folder, names)


def _check_files(folder: Path, names: Sequence[str]) -> None:
    """Refuse a step that was split for tensor parallelism, or lacks one kind of file altogether."""
    where = str(folder)
    found = [match for name in names if (match := _RANK.fullmatch(name))]
    parallel = sorted({int(match[2]) for match in found})
    if len(parallel) > 1:
        message = (
            f"is a DeepSpeed checkpoint of a model that was split in {len(parallel)} parallel parts, which is not read"
        )
        raise FormatError(message, where=where, hint=_ASK, rule="CKC632")
    if not any(name.endswith(_MODEL) for name in names):
        what = (
            "is a DeepSpeed checkpoint without its *_model_states.pt"
            if names
            else "holds no files of DeepSpeed's ranks"
        )
        raise FormatError(what, where=where, hint="fetch all files of the step", rule="CKC631")

    if any(match[1] for match in found) and not any(name.endswith(_OPTIMIZER) for name in names):
        what = "is a DeepSpeed checkpoint of ZeRO stage 3 without its *_optim_states.pt, in which the weights are"
        raise FormatError(what, where=where, hint="fetch all files of the step", rule="CKC631")


def _open(folder: Path, name: str, part: int, read_file: ReadFile, stack: ExitStack) -> Rank:
    source = FileSource.open(folder / name)
    stack.callback(source.close)
    match = _RANK.fullmatch(name)
    return Rank(int(match[1] or 0) if match else 0, read_file(source, part))


def _joined(folder: Path, models: Sequence[Rank], optimizers: Sequence[Rank], patchwork: Patchwork) -> _Joined:
    """Put the weights together; the patchwork is part 0, and the files follow it."""
    partitions = [partition(rank) for rank in optimizers]
    _check_ranks(folder, partitions)
    spread = partitions[0].stage == 3
    states = [model_states(rank) for rank in (models if spread else models[:1])]
    if spread and len(states) != len(partitions):
        message = f"has {len(states)} model states of its {len(partitions)} ranks"
        raise FormatError(message, where=str(folder), hint="fetch all files of the step", rule="CKC631")
    weights = Weights(patchwork, 0)
    buffers = _Buffers(states[0], 1 + len(models) + len(optimizers))
    tensors = buffers.tensors() | weights.frozen(states, spread=spread) | weights.trained(states[0], partitions)
    for name, other in states[0].shared.items():
        if other in tensors:
            tensors[name] = tensors[other]
    storages = (*weights.storages, *buffers.storages)
    return _Joined(_tree(states[0], tensors), storages, tuple(buffers.sources))


def _check_ranks(folder: Path, partitions: Sequence[Partition]) -> None:
    first = partitions[0]
    if first.ranks != len(partitions):
        there = {each.rank.number for each in partitions}
        missing = [str(number) for number in range(min(first.ranks, 1 << 16)) if number not in there]
        named = f"; rank {', '.join(missing[:8])} is missing" if missing and len(there) == len(partitions) else ""
        raise FormatError(
            f"was saved by {first.ranks} ranks, and has the optimizer states of {len(partitions)}{named}",
            where=str(folder),
            hint="fetch all *_optim_states.pt; files of another run may lie among them",
            rule="CKC631",
        )
    other = next((each for each in partitions if (each.stage, each.ranks) != (first.stage, first.ranks)), None)
    if other is not None:
        message = f"is of ZeRO stage {other.stage} with {other.ranks} ranks, the first rank of {first.stage} with {first.ranks}"
        hint = "files of two runs lie side by side"
        raise FormatError(message, where=other.rank.checkpoint.origin, hint=hint, rule="CKC631")


def _tree(states: ModelStates, tensors: dict[str, Tensor]) -> Dict:
    module = Dict(list(tensors.items()), states.module.made_by, states.module.state)
    kept = [(key, value) for key, value in states.fields.items if key not in _BOOKKEEPING]
    items: list[tuple[Value, Value]] = [(key, module if key == "module" else value) for key, value in kept]
    return Dict(items, states.fields.made_by, states.fields.state)


class _Buffers:
    """The buffers of a model: halves as fp32, all others as they are."""

    def __init__(self, states: ModelStates, part: int) -> None:
        self._states = states
        self._part = part  # of the first further source
        self.storages: list[Storage] = []
        self.sources: list[ByteSource] = []

    def tensors(self) -> dict[str, Tensor]:
        entries = {key: value for key, value in self._states.module.items if isinstance(key, str)}
        names = set(self._states.buffers)
        return {
            name: self._as_float(name, tensor)
            for name, tensor in entries.items()
            if name in names and isinstance(tensor, Tensor)
        }

    def _as_float(self, name: str, tensor: Tensor) -> Tensor:
        if tensor.dtype.torch not in _HALVES or tensor.storage.swapped:
            return tensor
        wide = BY_TORCH["float32"]
        old = tensor.storage
        held = self._states.rank.checkpoint
        checksum = held.checksums.get((old.part, old.start))
        source = Widened(Range(held.parts[0], old.start, old.nbytes, checksum), tensor.dtype)
        storage = Storage(name, wide, old.nbytes // 2)
        storage.part, storage.start = self._part + len(self.sources), 0
        self.sources.append(source)
        self.storages.append(storage)
        return Tensor(storage, wide, tensor.shape, tensor.stride, tensor.offset)
