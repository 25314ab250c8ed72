"""Sharded and distributed outputs: what Hugging Face's format and torch's own loaders make of them, and how they come into place."""

import itertools
import json
import os
import warnings

import pytest

torch = pytest.importorskip("torch")

from migrating import write_migration  # noqa: E402  these need torch
from same_objects import differences, same_bits  # noqa: E402

from ckptlint.commands.migrate import Request, migrate  # noqa: E402
from ckptlint.errors import CkptlintError, OutputError, UsageError  # noqa: E402
from ckptlint.formats import open_checkpoint  # noqa: E402

RENAME = "rewrites: [{rename: {'{p:path}': 'net.{p}'}}]"
KEEP = "rewrites: []\nrest: keep"


def state(**more):
    torch.manual_seed(1)
    return {f"layer.{n}.weight": torch.randn(10, 10 + n) for n in range(6)} | more


def run(folder, value, output, body=RENAME, **more):
    source = folder / "in.pt"
    torch.save(value, source)
    return migrate(Request(str(source), [str(write_migration(folder, body))], str(output), **more)).written


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.name.startswith(("model", ".", "pytorch")))


def gathered(folder, index, load):
    """What the index says, by the format alone."""
    weight_map = json.loads((folder / index).read_text())["weight_map"]
    shards = {name: load(folder / name) for name in set(weight_map.values())}
    assert sorted(key for shard in shards.values() for key in shard) == sorted(weight_map)
    return {key: shards[name][key] for key, name in weight_map.items()}


def test_safetensors_come_in_shards_of_at_most_the_size(tmp_path):
    load = pytest.importorskip("safetensors.torch").load_file
    old = state()
    written = run(tmp_path, old, tmp_path / "model.safetensors", max_shard_size=1000)
    assert names(tmp_path) == [
        *(f"model-0000{n}-of-00004.safetensors" for n in (1, 2, 3, 4)),
        "model.safetensors.index.json",
    ]
    assert (written.path, written.files) == (str(tmp_path / "model.safetensors.index.json"), 5)
    made = gathered(tmp_path, "model.safetensors.index.json", load)
    assert list(made) == [f"net.{key}" for key in old]
    assert all(same_bits(made[f"net.{key}"], tensor) for key, tensor in old.items())
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in old.values())
    opened = open_checkpoint(tmp_path / "model.safetensors.index.json")
    assert "total_size" not in opened.notes
    opened.close()


def test_torch_shards_hold_views_and_ties_together(tmp_path):
    base = torch.arange(400.0)
    old = state(tied=base[:100]) | {"more": base[50:200], "last": base[:100]}
    old["twin"] = old["layer.0.weight"]
    run(tmp_path, old, tmp_path / "pytorch_model.bin", body=KEEP, max_shard_size=1100)
    made = gathered(tmp_path, "pytorch_model.bin.index.json", torch.load)
    assert differences(made, old) == []


def test_what_fits_is_one_file(tmp_path):
    written = run(tmp_path, state(), tmp_path / "model.safetensors", max_shard_size=10**6)
    assert names(tmp_path) == ["model.safetensors"]
    assert (written.path, written.files) == (str(tmp_path / "model.safetensors"), 1)


def test_an_index_that_is_named_is_written_whatever_the_size(tmp_path):
    run(tmp_path, state(), tmp_path / "model.safetensors.index.json")
    assert names(tmp_path) == ["model-00001-of-00001.safetensors", "model.safetensors.index.json"]


def test_a_tensor_that_is_larger_than_a_shard_has_one_of_its_own(tmp_path):
    run(
        tmp_path,
        {"a": torch.ones(2), "b": torch.ones(999), "c": torch.ones(2)},
        tmp_path / "model.bin",
        max_shard_size=100,
    )
    weight_map = json.loads((tmp_path / "model.bin.index.json").read_text())["weight_map"]
    assert sorted(weight_map.values()) == [f"model-0000{n}-of-00003.bin" for n in (1, 2, 3)]


def test_shards_of_shards(tmp_path):
    old = state()
    run(tmp_path, old, tmp_path / "model.safetensors", max_shard_size=900)
    again = tmp_path / "again"
    again.mkdir()
    body = "rewrites: [{from: 'net.{p:path}', to: '{p}', ops: [{cast: {dtype: f64}}]}]"
    index = tmp_path / "model.safetensors.index.json"
    migrate(
        Request(
            str(index), [str(write_migration(tmp_path, body))], str(again / "pytorch_model.bin"), max_shard_size=2000
        )
    )
    made = gathered(again, "pytorch_model.bin.index.json", torch.load)
    assert differences(made, {key: tensor.double() for key, tensor in old.items()}) == []


def test_old_shards_go_with_the_index_that_named_them(tmp_path):
    run(tmp_path, state(), tmp_path / "model.safetensors", max_shard_size=900)
    os.chmod(tmp_path / "model.safetensors.index.json", 0o600)
    assert len(names(tmp_path)) > 4
    with pytest.raises(UsageError, match="exists already"):
        run(tmp_path, state(), tmp_path / "model.safetensors", max_shard_size=1500)
    run(tmp_path, state(), tmp_path / "model.safetensors", max_shard_size=1500, force=True)
    assert names(tmp_path) == [
        *(f"model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)),
        "model.safetensors.index.json",
    ]
    assert (tmp_path / "model.safetensors.index.json").stat().st_mode & 0o777 == 0o600
    with pytest.raises(UsageError, match="there is an index of shards"):
        run(tmp_path, state(), tmp_path / "model.safetensors", max_shard_size=10**6, force=True)


def test_a_file_that_is_in_the_way_of_a_shard_is_left_alone(tmp_path):
    (tmp_path / "model-00002-of-00004.safetensors").write_bytes(b"mine")
    with pytest.raises(UsageError, match=r"00002-of-00004\.safetensors: exists already"):
        run(tmp_path, state(), tmp_path / "model.safetensors", max_shard_size=1000)
    assert names(tmp_path) == ["model-00002-of-00004.safetensors"]
    assert (tmp_path / "model-00002-of-00004.safetensors").read_bytes() == b"mine"


def tree(folder):
    """All files but those that --resume would begin with."""
    return {
        path.name: path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".yaml" and not (path.parent / ".finished").exists()
    }


def failing(real, number):
    """A call that fails once, after it worked `number` times."""
    calls = itertools.count()

    def fails(*given, **more):
        if next(calls) == number:
            raise OSError(28, "No space left on device")
        return real(*given, **more)

    return fails


@pytest.mark.parametrize("output", ["model.safetensors", "run.dcp"])
@pytest.mark.parametrize("call", ["fsync", "rename", "link", "replace", "mkdir", "posix_fallocate"])
def test_a_call_that_fails_anywhere_leaves_the_old_files_as_they_were(tmp_path, monkeypatch, call, output):
    run(tmp_path, {"old": torch.ones(3000)}, tmp_path / output, body=KEEP, max_shard_size=shard_of(output))
    before = tree(tmp_path) | {"in.pt": b""}
    real = getattr(os, call)
    for number in range(1000):
        monkeypatch.setattr(os, call, failing(real, number))
        failed = False
        try:
            run(tmp_path, state(), tmp_path / output, force=True, max_shard_size=shard_of(output))
        except OutputError:
            failed = True
        monkeypatch.setattr(os, call, real)
        if not failed:
            break
        assert tree(tmp_path) | {"in.pt": b""} == before, f"{call} number {number}"
    assert tree(tmp_path) | {"in.pt": b""} != before


def shard_of(output):
    return 1000 if output.endswith("safetensors") else None


STATE = {
    "model": state()
    | {"scalar": torch.tensor(3), "none": torch.empty(0, 3), "turned": torch.arange(6).reshape(2, 3).T},
    "optimizer": {"state": {"w": {"exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 0.1, "params": ["w"]}]},
    "list": [1, torch.ones(2), {"a": "x", "empty": {}}],
    "plain": [1, 2.5, None],
    "tuple": (1, torch.arange(3)),
    "epoch": 3,
}


def test_a_distributed_checkpoint_is_gathered_by_torch(tmp_path):
    from formats.dcp_folders import loaded

    written = run(tmp_path, STATE, tmp_path / "out.dcp", body=KEEP)
    assert (written.path, written.files) == (str(tmp_path / "out.dcp"), 2)
    assert differences(loaded(tmp_path / "out.dcp"), STATE) == []


def test_a_distributed_checkpoint_is_loaded_by_torch(tmp_path):
    import torch.distributed.checkpoint as dcp

    run(tmp_path, STATE, f"{tmp_path}/out/", body=KEEP)
    target = {"model": {key: torch.zeros_like(tensor) for key, tensor in STATE["model"].items()}, "epoch": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.load(target, checkpoint_id=tmp_path / "out", no_dist=True)
    assert differences(target, {"model": STATE["model"], "epoch": 3}) == []


def test_a_distributed_checkpoint_comes_back_as_a_file(tmp_path):
    run(tmp_path, STATE, tmp_path / "out.dcp", body=KEEP)
    body = write_migration(tmp_path, KEEP)
    migrate(Request(str(tmp_path / "out.dcp"), [str(body)], str(tmp_path / "back.pt")))
    assert differences(torch.load(tmp_path / "back.pt"), STATE) == []


def test_a_folder_that_holds_something_else_is_never_replaced(tmp_path):
    (tmp_path / "out.dcp").mkdir()
    (tmp_path / "out.dcp" / "notes.txt").write_text("mine")
    for force, words in [(False, "exists already"), (True, "'notes.txt', which is no part")]:
        with pytest.raises(UsageError, match=words):
            run(tmp_path, STATE, tmp_path / "out.dcp", body=KEEP, force=force)
    assert (tmp_path / "out.dcp" / "notes.txt").read_text() == "mine"


def test_a_distributed_checkpoint_is_not_written_over_itself(tmp_path):
    run(tmp_path, STATE, tmp_path / "out.dcp", body=KEEP)
    body = str(write_migration(tmp_path, KEEP))
    with pytest.raises(UsageError, match="the output is the input"):
        migrate(Request(str(tmp_path / "out.dcp"), [body], str(tmp_path / "out.dcp"), force=True))


REFUSED = {
    "two entries are called 'a.b'": {"a": {"b": torch.ones(1)}, "a.b": torch.ones(1)},
    "a distributed checkpoint holds a dict": [torch.ones(1), {"w": torch.ones(1)}],
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_a_distributed_checkpoint_cannot_hold_is_refused(tmp_path, message):
    with pytest.raises(CkptlintError, match=message):
        run(tmp_path, REFUSED[message], tmp_path / "out.dcp", body=KEEP)
    assert not (tmp_path / "out.dcp").exists()
