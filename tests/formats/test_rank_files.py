"""The files of all ranks of an FSDP run are one checkpoint, where they hold ShardedTensors and none is missing."""

import pytest

torch = pytest.importorskip("torch")

import torch.distributed as dist  # noqa: E402  these need torch
from migrating import migrated_file  # noqa: E402
from same_objects import differences  # noqa: E402

from ckptlint.core.tree import Composite, Tensor  # noqa: E402
from ckptlint.errors import FormatError  # noqa: E402
from ckptlint.formats import open_checkpoint  # noqa: E402

if not dist.is_available():
    pytest.skip("torch has no distributed part here", allow_module_level=True)

KEEP = "rewrites: []\nrest: keep\n"
WEIGHT = torch.arange(35.0).reshape(7, 5)
TALL = torch.arange(12, dtype=torch.bfloat16).reshape(6, 2)


def sharded(tensor, rank, ranks):
    """What `rank` holds of a tensor that is cut into row blocks over `ranks`."""
    from torch.distributed._shard.metadata import ShardMetadata
    from torch.distributed._shard.sharded_tensor import Shard, ShardedTensor, ShardedTensorMetadata, TensorProperties

    blocks = tensor.chunk(ranks)
    starts = [sum(len(block) for block in blocks[:number]) for number in range(len(blocks))]
    places = [
        ShardMetadata([start, 0], list(block.shape), f"rank:{number}/cpu")
        for number, (start, block) in enumerate(zip(starts, blocks, strict=True))
    ]
    local = [Shard(blocks[rank].clone(), places[rank])] if rank < len(blocks) else []
    properties = TensorProperties(dtype=tensor.dtype)
    metadata = ShardedTensorMetadata(places, tensor.shape, properties)
    return ShardedTensor._init_from_local_shards_and_global_metadata(local, metadata)


@pytest.fixture
def save(tmp_path):
    """Save what each rank of a run has, by a function of rank and ranks; no rank ever runs."""
    from torch.testing._internal.distributed.fake_pg import FakeStore

    def save_all(state, ranks, name="ep1-rank{}.pt"):
        folder = tmp_path / "run"
        folder.mkdir()
        for rank in range(ranks):
            dist.init_process_group("fake", store=FakeStore(), rank=rank, world_size=ranks)
            try:
                torch.save(state(rank, ranks), folder / name.format(rank))
            finally:
                dist.destroy_process_group()
        return folder

    return save_all


def state(rank, ranks):
    model = {"layer.weight": sharded(WEIGHT, rank, ranks), "tall": sharded(TALL, rank, ranks), "bias": torch.ones(3)}
    return {"model": model, "step": 4}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_what_all_ranks_hold_is_whole(tmp_path, save, ranks):
    folder = save(state, ranks)
    written = torch.load(migrated_file(tmp_path, folder, KEEP))
    want = {"model": {"layer.weight": WEIGHT, "tall": TALL, "bias": torch.ones(3)}, "step": 4}
    assert differences(written, want) == []


@pytest.mark.filterwarnings("ignore")
def test_eleven_ranks_are_in_the_order_of_their_numbers(save):
    checkpoint = open_checkpoint(save(state, 11, "model_rank_{}.bin"))
    assert [part.name.rpartition("_")[2] for part in checkpoint.parts[:11]] == [f"{n}.bin" for n in range(11)]
    assert checkpoint.read(checkpoint.sections[0].tensors["layer.weight"].storage, 0, 140) == WEIGHT.numpy().tobytes()
    checkpoint.close()


@pytest.mark.filterwarnings("ignore")
def test_one_rank_alone_has_a_tensor_without_elements(save):
    folder = save(state, 2)
    checkpoint = open_checkpoint(folder / "ep1-rank0.pt")
    tensors = checkpoint.sections[0].tensors
    assert {key: type(tensor) for key, tensor in tensors.items()} == {
        "layer.weight": Composite,
        "tall": Composite,
        "bias": Tensor,
    }
    checkpoint.close()


@pytest.mark.filterwarnings("ignore")
def test_a_rank_that_is_missing_is_named(save):
    folder = save(state, 3)
    (folder / "ep1-rank1.pt").unlink()
    with pytest.raises(FormatError, match="the files of 2 ranks up to 2, and none of rank 1"):
        open_checkpoint(folder)


@pytest.mark.filterwarnings("ignore")
def test_a_last_rank_that_is_missing_leaves_a_hole(save):
    folder = save(state, 3)
    (folder / "ep1-rank2.pt").unlink()
    with pytest.raises(
        FormatError, match=r"do not make /model/layer.weight \(f32\[7,5\]\) whole: hole at \[6:7, 0:5\]"
    ):
        open_checkpoint(folder)


def test_flat_parameters_are_called_so(tmp_path):
    for rank in range(2):
        torch.save({"_fsdp_wrapped_module._flat_param": torch.ones(4)}, tmp_path / f"pytorch_model_rank{rank}.bin")
    with pytest.raises(FormatError, match="flat parameters of 2 ranks of FSDP") as caught:
        open_checkpoint(tmp_path)
    assert "FULL_STATE_DICT" in caught.value.hint


def test_files_of_ranks_without_shards_are_several_checkpoints(tmp_path):
    for rank in range(2):
        torch.save({"w": torch.ones(4)}, tmp_path / f"rng-rank{rank}.pt")
    with pytest.raises(FormatError, match=r"2 checkpoints: rng-rank0\.pt to rng-rank1\.pt"):
        open_checkpoint(tmp_path)
