"""State dicts that every rank of a run saved for itself: their ShardedTensors and DTensors, put together from what each rank holds.

A ShardedTensor (FSDP1) in a file has the rank's own shards, and where in the tensor each belongs; a DTensor (FSDP2, tensor parallelism) has
the rank's part and how the mesh cuts it. With the files of all ranks side by side that is the whole tensor; one that is not all there is
left as it is, a tensor without elements, which `lint` calls by its name. Everything else is that of the first rank.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ckptlint.core.checkpoint import ByteSource, Checkpoint
from ckptlint.core.paths import walk
from ckptlint.core.pieces import Range
from ckptlint.core.spec import TensorSpec, contiguous
from ckptlint.core.tree import Composite, Dict, List, Node, Storage, Tensor, Tuple, Value
from ckptlint.errors import FormatError
from ckptlint.formats import safetensors_parts
from ckptlint.formats.attributes import attributes, counts
from ckptlint.formats.byte_source import FileSource
from ckptlint.formats.dtensor_parts import DTENSOR, boxes, is_copy, part_of
from ckptlint.formats.patches import Located, Patch
from ckptlint.formats.patchwork import Patchwork
from ckptlint.formats.tiling import find_flaw

FORMAT = "ranks"
SHARDED = "torch.distributed._shard.sharded_tensor.api.ShardedTensor"
_RANKED = re.compile(r"(.*?(?:rank|shard)[_-]?)(\d{1,9})(?!.*(?:rank|shard)[_-]?\d)(.*)", re.IGNORECASE)
_CURE = "save again with StateDictType.FULL_STATE_DICT, or with torch.distributed.checkpoint, on the machines that have the model"

ReadFile = Callable[[ByteSource, int], Checkpoint]


def ranked(names: Sequence[str]) -> list[str]:
    """Return the names in the order of their ranks where they differ by the number of a rank alone, else nothing."""
    found = [match for name in names if (match := _RANKED.fullmatch(name))]
    if len(found) < 2 or len(found) != len(names) or len({(match[1], match[3]) for match in found}) > 1:
        return []
    return [match[0] for match in sorted(found, key=lambda match: int(match[2]))]


def read(folder: Path, read_file: ReadFile) -> Checkpoint:
    """Read the files of all ranks in a folder; `FormatError` where a rank is missing, or they hold no sharded tensors."""
    names = ranked([path.name for path in sorted(folder.iterdir()) if path.is_file() and _RANKED.fullmatch(path.name)])
    numbers = [int(match[2]) for name in names if (match := _RANKED.fullmatch(name))]
    first = 1 if names and safetensors_parts.NAME.fullmatch(names[0]) else 0
    missing = next((number for number in range(first, first + len(numbers)) if number not in numbers), None)
    if missing is not None:
        message = f"has the files of {len(numbers)} ranks up to {numbers[-1]}, and none of rank {missing}"
        raise FormatError(message, where=str(folder), hint="fetch the files of all ranks", rule="CKC631")
    with ExitStack() as stack:
        ranks: list[Checkpoint] = []
        for number, name in enumerate(names):
            source = FileSource.open(folder / name)
            stack.callback(source.close)
            ranks.append(read_file(source, number))
        if all(safetensors_parts.is_part(rank) for rank in ranks):
            return replace(safetensors_parts.gather(ranks, str(folder)), close=stack.pop_all().close)
        made = gather(ranks, str(folder))
        left = _sharded(made.root)
        if left:
            raise _not_whole(folder, next(iter(left)), ranks)
        if not made.notes.get("gathered"):
            raise _nothing_sharded(folder, names, ranks[0])
        _check_others(folder, names, ranks)
        return replace(made, format=FORMAT, origin=str(folder), close=stack.pop_all().close)


def gather(ranks: Sequence[Checkpoint], name: str) -> Checkpoint:
    """Return the first rank's checkpoint with every ShardedTensor whole whose shards are all there."""
    first = ranks[0]
    held = [_sharded(rank.root) for rank in ranks]
    sources = [rank.parts[0] for rank in ranks]
    patchwork = Patchwork(name, sources)
    whole: dict[int, Node] = {}
    storages: list[Storage] = []
    for path, node in held[0].items():
        found = [(rank, other[path]) for rank, other in zip(ranks, held, strict=True) if path in other]
        tensor = _joined(node, [_Shards(rank, each) for rank, each in found], patchwork, len(sources))
        if tensor is not None:
            whole[id(node)] = tensor
            storages.append(tensor.storage)
    if not whole:
        return first
    _put(first.root, whole)
    return replace(
        first,
        parts=(*sources, patchwork),
        storages=(*first.storages, *storages),
        notes={**first.notes, "gathered": str(len(whole)), "ranks": str(len(ranks))},
    )


class _Shard(NamedTuple):
    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    tensor: Tensor
    rank: Checkpoint


class _Shards(NamedTuple):
    """What one rank holds of a tensor."""

    rank: Checkpoint
    node: Composite

    def shards(self) -> Iterator[_Shard | None]:
        """Return every shard, None in the place of one that is not understood."""
        arguments = self.node.call.arguments
        state = arguments.items[-1] if isinstance(arguments, Tuple) and arguments.items else None
        local = state.items[0] if isinstance(state, Tuple) and state.items else None
        for each in local.items if isinstance(local, List) else [None]:
            yield self._shard(each)

    def _shard(self, value: Value) -> _Shard | None:
        fields = attributes(value)
        place = attributes(fields.get("metadata"))
        tensor = fields.get("tensor")
        offsets, sizes = counts(place.get("shard_offsets")), counts(place.get("shard_sizes"))
        if not isinstance(tensor, Tensor) or offsets is None or sizes is None or tensor.lazy:
            return None
        fits = len(offsets) == len(sizes) == len(self.node.shape) and tensor.spec == TensorSpec(self.node.dtype, sizes)
        return _Shard(offsets, sizes, tensor, self.rank) if fits else None


def _sharded(root: Value) -> dict[str, Composite]:
    return {
        path: node
        for path, node in walk(root, states=False)
        if isinstance(node, Composite) and node.layout in (SHARDED, *DTENSOR) and node.dtype.bits % 8 == 0
    }


def _joined(node: Composite, held: Sequence[_Shards], patchwork: Patchwork, part: int) -> Tensor | None:
    """Return the whole tensor, None where not all of it is there."""
    alike = [each for each in held if each.node.spec == node.spec]
    shards = _parts(node, alike) if node.layout in DTENSOR else [shard for each in alike for shard in each.shards()]
    known = [shard for shard in shards if shard is not None]
    if (
        len(known) != len(shards)
        or find_flaw(node.shape, [(shard.offsets, shard.sizes) for shard in known]) is not None
    ):
        return None
    patches = [Patch(shard.offsets, shard.sizes, partial(_locate, shard)) for shard in known if 0 not in shard.sizes]
    storage = Storage("sharded", node.dtype, node.spec.numel)
    storage.part, storage.start = part, patchwork.add(node.dtype, node.shape, patches)
    return Tensor(storage, node.dtype, node.shape, contiguous(node.shape))


def _parts(node: Composite, held: Sequence[_Shards]) -> list[_Shard | None]:
    """Return what the ranks hold of a DTensor, each element once."""
    parts = [part_of(each.node) for each in held]
    known = [part for part in parts if part is not None]
    places = boxes(node.shape, known) if known and len(known) == len(parts) else None
    if places is None:
        return [None]
    kept: dict[
        tuple[int, ...], _Shard | None
    ] = {}  # a mesh may be repeated over the ranks, each time with all elements
    for each, part, box in zip(held, known, places, strict=True):
        if not is_copy(part):
            kept.setdefault(part.at, _Shard(*box, part.tensor, each.rank))
    return list(kept.values())


def _locate(shard: _Shard) -> Located:
    storage, source = shard.tensor.storage, shard.rank.parts[0]
    checksum = shard.rank.checksums.get((storage.part, storage.start))
    record = None if checksum is None else Range(source, storage.start, storage.nbytes, checksum)
    first = storage.start + shard.tensor.dtype.nbytes(shard.tensor.offset)
    return Located(source, first, shard.tensor.stride, storage.swapped, record)


def _put(root: Value, whole: dict[int, Node]) -> None:
    """Put tensors in the places of the nodes that they stand for. The tree is still the reader's own."""
    for _, node in list(walk(root, states=False)):
        if isinstance(node, Dict):
            node.items[:] = [(key, whole.get(id(value), value)) for key, value in node.items]
        elif isinstance(node, List):
            node.items[:] = [whole.get(id(value), value) for value in node.items]


def _check_others(folder: Path, names: Sequence[str], ranks: Sequence[Checkpoint]) -> None:
    """Refuse ranks with tensors that the first one does not have: stages of a pipeline are no parts of the same tensors."""
    known = {path for path, node in walk(ranks[0].root, states=False) if isinstance(node, Tensor | Composite)}
    for name, rank in zip(names, ranks, strict=True):
        for path, node in walk(rank.root, states=False):
            if isinstance(node, Tensor | Composite) and path not in known:
                raise FormatError(
                    f"{name} has the tensor {path}, which {names[0]} does not have: they are no parts of one state dict",
                    where=str(folder),
                    hint=f"name one of them, such as {folder / name}",
                    rule="CKC605",
                )


def _not_whole(folder: Path, path: str, ranks: Sequence[Checkpoint]) -> FormatError:
    """Say what of a tensor none of the files holds."""
    nodes = [_Shards(rank, node) for rank in ranks if (node := _sharded(rank.root).get(path)) is not None]
    boxes = [(shard.offsets, shard.sizes) for each in nodes for shard in each.shards() if shard is not None]
    flaw = find_flaw(nodes[0].node.shape, boxes)
    what = "the shards of the ranks do not fit together" if flaw is None else f"{flaw.kind} at {flaw}"
    if nodes[0].node.layout in DTENSOR:
        what = "its parts are not those that a mesh of so many ranks makes"
    message = f"the files of {len(ranks)} ranks do not make {path} ({nodes[0].node.spec}) whole: {what}"
    return FormatError(message, where=str(folder), hint="fetch the files of all ranks", rule="CKC631")


def _nothing_sharded(folder: Path, names: Sequence[str], first: Checkpoint) -> FormatError:
    keys = (path for path, node in walk(first.root, states=False) if isinstance(node, Tensor | Composite))
    if any("flat_param" in path for path in keys):
        message = f"holds the flat parameters of {len(names)} ranks of FSDP, which only the model can take apart"
        return FormatError(message, where=str(folder), hint=_CURE, rule="CKC632")
    message = f"the folder has {len(names)} checkpoints: {names[0]} to {names[-1]}, one a rank, without sharded tensors"
    return FormatError(message, where=str(folder), hint=f"name one of them, such as {folder / names[0]}", rule="CKC605")
