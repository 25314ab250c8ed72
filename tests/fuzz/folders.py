"""Checkpoints in several files, fuzzed: a folder whose metadata are the bytes, or what one rank's pickle holds. Nothing here needs torch."""

import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

from hostile.assemble import Build, Call, Name, New, Raw, dump, encode, tensor
from hostile.containers import torch_zip

from ckptlint import formats
from ckptlint.core.checkpoint import Checkpoint
from ckptlint.formats import pickles, rank_files
from ckptlint.formats.patchwork import Patchwork
from ckptlint.formats.tensor_bytes import tensor_blocks
from ckptlint.formats.zero_ranks import Rank, model_states, partition
from ckptlint.formats.zero_weights import Weights

_ITEM = torch_zip(dump(tensor("0", (2, 2))))
_OBJECT = torch_zip(dump({"lr": 0.1}))


def _made(name, **fields):
    return Build(New(Name("torch.distributed.checkpoint.metadata", name)), fields)


def _metadata(paths, *chunks, key="w", **more):
    properties = Build(New(Name("torch", "TensorProperties")), (Name("torch", "float32"), None, False, None, False))
    boxes = [_made("ChunkStorageMetadata", offsets=offsets, sizes=sizes) for offsets, sizes in chunks]
    shape = tuple(max(o[dim] + s[dim] for o, s in chunks) for dim in range(2))
    entries = {
        key: _made("TensorStorageMetadata", properties=properties, size=shape, chunks=boxes),
        "o": New(Name("m", "BytesStorageMetadata")),
    }
    places = [(key, offsets, number * len(_ITEM), len(_ITEM)) for number, (offsets, _) in enumerate(chunks)]
    places.append(("o", None, 2 * len(_ITEM), len(_OBJECT)))
    found = [
        (
            _made("MetadataIndex", fqn=name, offset=at, index=0),
            _made("_StorageInfo", relative_path="0.distcp", offset=start, length=length),
        )
        for name, at, start, length in places
    ]
    return _made(
        "Metadata", state_dict_metadata=entries, planner_data=paths, storage_data=_pairs(found), version="1.0.0", **more
    )


def _pairs(found):
    """A dict whose keys are objects."""
    return Raw(b"}(" + b"".join(encode(part, 2) for pair in found for part in pair) + b"u")


def metadata() -> list[bytes]:
    nested = {"w": ("model", "w"), "o": ("list", 0)}
    return [
        dump(_metadata(nested, ((0, 0), (2, 2))), 4),
        dump(_metadata(None, ((0, 0), (2, 2)), ((2, 0), (2, 2))), 2),
        dump(_metadata({"w": ("w",)}, ((0, 2), (2, 2)), ((0, 0), (2, 2))), 2),
    ]


@cache
def _folder() -> Path:
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # a disk is a hundred times slower
    folder = Path(tempfile.mkdtemp(prefix="ckptlint-fuzz-", dir=memory))
    import atexit

    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "0.distcp").write_bytes(_ITEM * 2 + _OBJECT)
    return folder


def dcp(content: bytes) -> None:
    """Open the folder, and read every tensor."""
    (_folder() / ".metadata").write_bytes(content)
    checkpoint = formats.open_checkpoint(_folder())
    try:
        _read(checkpoint)
    finally:
        checkpoint.close()


def _read(checkpoint: Checkpoint) -> None:
    for section in checkpoint.sections:
        for each in section.tensors.values():
            if each.spec.nbytes < 1 << 16:
                list(tensor_blocks(checkpoint, each))


def _held(content: bytes) -> Checkpoint:
    found = pickles.read(content, "fuzz")
    for storage in found.storages:
        storage.start = 0
    return Checkpoint(found.root, (), "torch-zip", "fuzz", (_Endless(),), found.storages)


class _Endless:
    """A source of zeros."""

    name, size = "zeros", 1 << 62

    def read(self, offset, length):
        return bytes(length)

    def fileno(self):
        return None

    def check_unchanged(self):
        pass


def partitions() -> list[bytes]:
    flat = tensor("0", (4,))
    state = {"zero_stage": 2, "partition_count": [1], "single_partition_of_fp32_groups": [flat]}
    shapes = [{"w": Call(Name("torch", "Size"), ((2, 4),))}]
    frozen = {"frozen_param_shapes": {"f": (3,)}, "frozen_param_fragments": {"f": flat}, "shared_params": {"t": "w"}}
    model = {"module": {"w": flat}, "buffer_names": ["b"], "param_shapes": shapes, **frozen}
    third = {"zero_stage": 3, "partition_count": 1, "fp32_flat_groups": [flat]}
    return [dump({**model, "optimizer_state_dict": each}) for each in (state, third)]


def zero(content: bytes) -> None:
    """One pickle as model states and as partition: what would be put together of two such ranks."""
    held = _held(content)
    ranks = [Rank(number, held) for number in range(2)]
    states, parts = [model_states(rank) for rank in ranks], [partition(rank) for rank in ranks]
    patchwork = Patchwork("fuzz", ())
    weights = Weights(patchwork, 0)
    made = weights.frozen(states, spread=parts[0].stage == 3) | weights.trained(states[0], parts)
    for each in made.values():
        if each.spec.nbytes < 1 << 16 and each.storage.key:
            patchwork.read(0, min(patchwork.size, 1 << 16))


def shards() -> list[bytes]:
    owner = Name("torch.distributed._shard.sharded_tensor.api", "ShardedTensor")
    layout = Call(Name("torch.serialization", "_get_layout"), ("torch.strided",))
    device = Call(Name("torch", "device"), ("cpu",))
    found = []
    for start, shape in ((0, (2, 2)), (2, (4, 2))):
        place = Build(New(Name("m", "ShardMetadata")), (None, {"shard_offsets": [start, 0], "shard_sizes": [2, 2]}))
        local = [Build(New(Name("s", "Shard")), {"tensor": tensor("0", (2, 2)), "metadata": place})]
        given = (owner, Name("torch", "float32"), shape, (2, 1), 0, layout, device, False)
        call = (Name("torch._utils", "_rebuild_wrapper_subclass"), owner, given, (local, None, None, None, False))
        found.append(dump({"model": {"w": Call(Name("torch._tensor", "_rebuild_from_type_v2"), call)}}))
    return found


def ranks(content: bytes) -> None:
    """One pickle as the file of two ranks, and of one."""
    for held in ([_held(content)], [_held(content), _held(content)]):
        rank_files.gather(held, "fuzz")
