"""Which checkpoint a folder is, told by names: run folders of trainers, snapshots of the hub, and folders of several."""

import json

import pytest
from formats.test_sharded import shard

from ckptlint.errors import FormatError
from ckptlint.formats import open_checkpoint
from ckptlint.formats.folders import Found, find_checkpoint

ONE = {
    "a snapshot of the hub": (["config.json", "model.safetensors", "tokenizer.json", "README.md"], "model.safetensors"),
    "a step of a trainer": (
        ["model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state_0.pth", "training_args.bin", "scaler.pt"],
        "model.safetensors",
    ),
    "an adapter": (["adapter_model.safetensors", "adapter_config.json"], "adapter_model.safetensors"),
    "an index of a variant": (["m.safetensors.index.fp16.json", "m-00001-of-00001.safetensors"], "m.safetensors.index.fp16.json"),
    "a run of lightning": (["lightning_logs/version_0/checkpoints/epoch=1.ckpt", "lightning_logs/version_0/hparams.yaml"],
                           "lightning_logs/version_0/checkpoints/epoch=1.ckpt"),
    "only an optimizer": (["optimizer.pt", "log.txt"], "optimizer.pt"),
}  # fmt: skip


def touch(folder, names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.mark.parametrize("name", ONE)
def test_the_only_checkpoint_is_meant(tmp_path, name):
    names, wanted = ONE[name]
    touch(tmp_path, names)
    assert find_checkpoint(tmp_path) == Found("file", tmp_path / wanted)


@pytest.mark.parametrize(
    ("names", "kind", "place"),
    [
        ([".metadata", "__0_0.distcp", "meta.pt"], "dcp", "."),
        (["pytorch_model_fsdp_0/.metadata", "optimizer_0/.metadata", "scheduler.bin"], "dcp", "pytorch_model_fsdp_0"),
        (["model/.metadata", "config.json"], "dcp", "model"),
        (["epoch=0.ckpt/latest", "epoch=0.ckpt/checkpoint/mp_rank_00_model_states.pt"], "deepspeed", "epoch=0.ckpt"),
        (["a-rank0.pt", "a-rank1.pt", "notes.txt"], "ranks", "."),
    ],
)
def test_folders_inside_are_found_where_nothing_else_is(tmp_path, names, kind, place):
    touch(tmp_path, names)
    assert find_checkpoint(tmp_path) == Found(kind, tmp_path / place)


def test_a_link_to_the_newest_is_no_second_checkpoint(tmp_path):
    touch(tmp_path, ["epoch=3.ckpt"])
    (tmp_path / "last.ckpt").symlink_to("epoch=3.ckpt")
    assert find_checkpoint(tmp_path) == Found("file", tmp_path / "epoch=3.ckpt")


def test_several_are_listed_the_newest_last(tmp_path):
    touch(tmp_path, [f"checkpoint-{step}/model.safetensors" for step in (500, 1000, 1500)])
    with pytest.raises(FormatError) as caught:
        find_checkpoint(tmp_path)
    places = ", ".join(f"checkpoint-{step}/model.safetensors" for step in (500, 1000, 1500))
    assert caught.value.message == f"the folder has 3 checkpoints: {places}"
    assert caught.value.hint == f"name one of them, such as {tmp_path}/checkpoint-1500/model.safetensors"


def test_shards_whose_index_stayed_behind_are_one_checkpoint(tmp_path):
    touch(tmp_path, ["model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors", "config.json"])
    with pytest.raises(FormatError) as caught:
        find_checkpoint(tmp_path)
    assert caught.value.message.startswith("has 2 of the 3 shards of model.safetensors, and not the index")
    assert caught.value.hint.startswith("fetch model.safetensors.index.json")


def test_of_two_forms_of_a_checkpoint_the_safe_one_is_proposed(tmp_path):
    touch(tmp_path, ["model.safetensors", "pytorch_model.bin"])
    with pytest.raises(FormatError) as caught:
        find_checkpoint(tmp_path)
    assert caught.value.hint == f"name one of them, such as {tmp_path}/model.safetensors"


def test_a_snapshot_of_links_is_read(tmp_path):
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "f00"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    (blobs / "1").write_bytes(shard(a=1))
    (blobs / "2").write_text(json.dumps({"weight_map": {"a": "model-00001-of-00001.safetensors"}}))
    (snapshot / "model-00001-of-00001.safetensors").symlink_to("../../blobs/1")
    (snapshot / "model.safetensors.index.json").symlink_to("../../blobs/2")
    checkpoint = open_checkpoint(snapshot)
    assert list(checkpoint.sections[0].tensors) == ["a"]
    checkpoint.close()


def test_more_files_than_a_process_may_open_at_first(tmp_path):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 400:
        pytest.skip("the system lets no process open so many")
    for number in range(200):
        (tmp_path / f"{number}.safetensors").write_bytes(shard(**{f"k{number}": 1}))
    weight_map = {f"k{number}": f"{number}.safetensors" for number in range(200)}
    (tmp_path / "m.index.json").write_text(json.dumps({"weight_map": weight_map}))
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
        checkpoint = open_checkpoint(tmp_path)
        assert len(checkpoint.parts) == 200
        checkpoint.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
