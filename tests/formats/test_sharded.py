"""A checkpoint in several files is one checkpoint, and its index can point at nothing but the shards beside it."""

import json

import pytest
from formats.zips import Member, archive

from ckptlint.errors import FormatError
from ckptlint.formats import open_checkpoint


def shard(**values):
    """A safetensors file of one-element u8 tensors."""
    header = {key: {"dtype": "U8", "shape": [1], "data_offsets": [at, at + 1]} for at, key in enumerate(values)}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(values.values())


def folder(path, weight_map, shards, **index):
    for name, content in shards.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    (path / "m.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map, **index}))
    return path


TWO = {"one.st": shard(a=1, b=2), "two.st": shard(c=3)}
MAP = {"c": "two.st", "a": "one.st", "b": "one.st"}


def test_shards_are_one_checkpoint_in_the_order_of_the_index(tmp_path):
    index = {"metadata": {"total_size": 3, "format": "pt", "ckptlint": "0003-abc"}}
    checkpoint = open_checkpoint(folder(tmp_path, MAP, TWO, **index))
    assert [key for key, _ in checkpoint.root.items] == ["c", "a", "b"]
    assert {key: checkpoint.read(tensor.storage, 0, 1) for key, tensor in checkpoint.root.items} == {
        "a": b"\1",
        "b": b"\2",
        "c": b"\3",
    }
    assert [part.name for part in checkpoint.parts] == [str(tmp_path / "two.st"), str(tmp_path / "one.st")]
    assert [section.path for section in checkpoint.sections] == ["/"]
    assert checkpoint.notes == {
        "metadata.total_size": "3",
        "metadata.format": "pt",
        "metadata.ckptlint": "0003-abc",
        "revisions": "0003-abc",
    }
    checkpoint.close()


def test_the_index_itself_may_be_named(tmp_path):
    folder(tmp_path, {"a": "x/one.st"}, {"x/one.st": shard(a=1)})
    open_checkpoint(tmp_path / "m.safetensors.index.json").close()


def test_torch_shards_keep_their_ties_and_places(tmp_path):
    torch = pytest.importorskip("torch")
    weight = torch.arange(4.0)
    torch.save({"a": weight, "tied": weight}, tmp_path / "p-1.bin")
    torch.save({"b": torch.ones(2, dtype=torch.int64)}, tmp_path / "p-2.bin")
    (tmp_path / "p.bin.index.json").write_text(
        json.dumps({"weight_map": {"a": "p-1.bin", "b": "p-2.bin", "tied": "p-1.bin"}})
    )
    checkpoint = open_checkpoint(tmp_path)
    tensors = dict(checkpoint.root.items)
    assert tensors["a"].identity == tensors["tied"].identity
    assert checkpoint.read(tensors["b"].storage, 0, 16) == b"\1\0\0\0\0\0\0\0" * 2
    assert {part for part, _ in checkpoint.checksums} == {0, 1}
    checkpoint.close()


def test_what_only_should_be_known_is_noted(tmp_path):
    shards = {"one.st": shard(a=1, b=2, c=3, d=4, e=5)}
    checkpoint = open_checkpoint(folder(tmp_path, {"a": "one.st"}, shards, metadata={"total_size": 7}))
    assert checkpoint.notes["unlisted"] == "b, c, d and 1 more"
    assert checkpoint.notes["total_size"] == "1 bytes, where the index says 7"
    checkpoint.close()


@pytest.mark.parametrize(
    "name",
    [
        "../one.st",
        "/etc/passwd",
        "C:one.st",
        "C:\\one.st",
        "\\\\server\\share\\one.st",
        "x/../../one.st",
        "",
        ".",
        "..",
        "a\0b",
        "one.st:stream",
    ],
)
def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path, name):
    (tmp_path / "one.st").write_bytes(shard(a=1))
    inner = tmp_path / "inner"
    inner.mkdir()
    with pytest.raises(FormatError, match="not a file below its folder"):
        open_checkpoint(folder(inner, {"a": name}, {}))


def test_a_link_that_leads_out_of_the_folder_is_refused(tmp_path):
    (tmp_path / "one.st").write_bytes(shard(a=1))
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "one.st").symlink_to(tmp_path / "one.st")
    with pytest.raises(FormatError, match=r"symbolic link to .* outside its folder"):
        open_checkpoint(folder(inner, {"a": "one.st"}, {}))


def test_a_snapshot_in_the_cache_of_the_hub_is_read(tmp_path):
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "f00"
    snapshot.mkdir(parents=True)
    folder(blobs, {"a": "one.st"}, {"one.st": shard(a=1)})
    for name in ("one.st", "m.safetensors.index.json"):
        (snapshot / name).symlink_to(f"../../blobs/{name}")
    open_checkpoint(snapshot).close()


BROKEN = {
    "the shard 'two.st' is missing": (MAP, {"one.st": TWO["one.st"]}),
    "'z' is not in its shard 'one.st'": (MAP | {"z": "one.st"}, TWO),
    "'a' is in more than one shard: 'two.st' and 'one.st'": (MAP, TWO | {"two.st": shard(c=3, a=1)}),
    "'a' is in the shard 'one.st', not in 'two.st'": (MAP | {"a": "two.st"}, TWO),
    "weight_map\\['c'\\] is not a file name": (MAP | {"c": 3}, TWO),
    "has no weight_map": ({}, TWO),
    "is empty": (MAP, TWO | {"two.st": b""}),
    "is cut off: 68 of 69 bytes are there": (MAP, TWO | {"two.st": TWO["two.st"][:-1]}),
    "holds gzip data where a shard": (MAP, TWO | {"two.st": b"\x1f\x8b\x08"}),
    "holds index data where a shard": (MAP, TWO | {"two.st": b'{"weight_map": {"c": "two.st"}}'}),
    "holds no dict of tensors": (
        MAP,
        TWO | {"two.st": archive(Member(b"r/data.pkl", b"\x80\x02N."), Member(b"r/version", b"3"))},
    ),
}


@pytest.mark.parametrize("message", BROKEN)
def test_shards_that_do_not_fit_the_index_are_refused(tmp_path, message):
    weight_map, shards = BROKEN[message]
    with pytest.raises(FormatError, match=message):
        open_checkpoint(folder(tmp_path, weight_map, shards))


def test_a_shard_that_is_a_folder_is_refused(tmp_path):
    (tmp_path / "one.st").mkdir()
    with pytest.raises(FormatError, match="is a folder"):
        open_checkpoint(folder(tmp_path, {"a": "one.st"}, {}))


def test_nothing_stays_open_when_a_shard_fails(tmp_path):
    import os

    before = len(os.listdir("/dev/fd"))
    with pytest.raises(FormatError):
        open_checkpoint(folder(tmp_path, MAP, TWO | {"two.st": b"x"}))
    assert len(os.listdir("/dev/fd")) == before
