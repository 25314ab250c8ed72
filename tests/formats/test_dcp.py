"""A distributed checkpoint is one checkpoint: what torch gathers is what is read, and what does not fit together is refused."""

import os
import pickle
import random
from itertools import pairwise

import pytest

torch = pytest.importorskip("torch")

from formats.dcp_folders import edited, loaded, save  # noqa: E402  these need torch
from migrating import migrated_file  # noqa: E402
from same_objects import differences  # noqa: E402
from torch.distributed.checkpoint.metadata import ChunkStorageMetadata, MetadataIndex  # noqa: E402

from ckptlint.errors import FormatError  # noqa: E402
from ckptlint.formats import open_checkpoint  # noqa: E402
from ckptlint.formats.tensor_bytes import tensor_blocks  # noqa: E402

KEEP = "rewrites: []\nrest: keep\n"
STATE = {
    "model": {
        "w": torch.arange(6.0).reshape(2, 3),
        "b": torch.tensor(3),
        "none": torch.empty(0, 4),
        "turned": torch.arange(12, dtype=torch.bfloat16).reshape(3, 4).T,
        "complex": torch.complex(torch.ones(3), torch.arange(3.0)),
    },
    "optimizer": {
        "state": {"w": {"step": torch.tensor(2.0), "exp_avg": torch.ones(2, 3)}},
        "param_groups": [{"lr": 0.1, "params": ["w"]}],
    },
    "list": [1, torch.ones(2), {"a": "x"}],
    "tuple": (1, {"b": torch.arange(3)}),
    "nothing": None,
}


def boxes(shape, *cuts):
    """Cut a shape along each dimension; the boxes come in random order."""
    found = [((), ())]
    for size, places in zip(shape, cuts, strict=True):
        edges = [0, *places, size]
        spans = [(low, high - low) for low, high in pairwise(edges)]
        found = [((*offsets, low), (*sizes, length)) for offsets, sizes in found for low, length in spans]
    random.Random(7).shuffle(found)
    return found


SHARDED = {
    "rows": ((7, 5), [3, 5], []),
    "columns": ((7, 5), [], [2]),
    "grid": ((7, 5, 4), [3], [1, 2]),
    "deep": ((2, 3, 8, 2), [], [], [1, 3, 6], []),
    "all": ((5, 6, 3), [2], [3], [1]),
    "single": ((1,), []),
    "some ranks have nothing": ((3,), [1, 2, 3, 3]),
}


def sharded(folder, dtype=torch.float32):
    state, cut = {}, {}
    for key, (shape, *cuts) in SHARDED.items():
        state[key] = torch.arange(torch.Size(shape).numel()).reshape(shape).to(dtype)
        cut[f"model.{key}"] = boxes(shape, *(cuts + [[]] * (len(shape) - len(cuts))))
    return save(folder, {"model": state}, cut), state


def test_the_tree_and_every_value_are_what_torch_gathers(tmp_path):
    folder = save(tmp_path / "c", STATE)
    written = torch.load(migrated_file(tmp_path, folder, KEEP), weights_only=False)
    assert differences(written, loaded(folder)) == []


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool, torch.float8_e4m3fn, torch.bfloat16, torch.complex128])
def test_sharded_tensors_are_whole_again(tmp_path, dtype):
    folder, state = sharded(tmp_path / "c", dtype)
    written = torch.load(migrated_file(tmp_path, folder, KEEP))
    assert differences(written, {"model": state}) == []
    assert differences(written, loaded(folder)) == []


def test_every_row_range_of_a_sharded_tensor_is_readable_alone(tmp_path):
    folder, state = sharded(tmp_path / "c", torch.int16)
    checkpoint, chance = open_checkpoint(folder), random.Random(3)
    for key, tensor in checkpoint.sections[0].tensors.items():
        want = state[key].numpy().tobytes()
        for _ in range(80):
            start, stop = sorted(chance.choices(range(len(want) + 1), k=2))
            assert checkpoint.read(tensor.storage, start, stop - start) == want[start:stop]
    checkpoint.close()


def test_listing_the_keys_opens_no_chunk(tmp_path, monkeypatch):
    folder, _ = sharded(tmp_path / "c")
    for file in folder.glob("*.distcp"):
        size = file.stat().st_size
        file.write_bytes(bytes(size))  # nothing of it can be read
    checkpoint = open_checkpoint(folder)
    assert list(checkpoint.sections[0].tensors) == list(SHARDED)
    with pytest.raises(FormatError):
        list(tensor_blocks(checkpoint, checkpoint.sections[0].tensors["rows"]))
    checkpoint.close()


def test_a_bit_that_flipped_in_a_chunk_is_found(tmp_path):
    folder = save(tmp_path / "c", {"w": torch.full((1000,), 1.5)}, {"w": boxes((1000,), [400])})
    for file in folder.glob("*.distcp"):
        content = file.read_bytes()
        if content.count(torch.full((600,), 1.5).numpy().tobytes()):
            at = content.index(torch.full((600,), 1.5).numpy().tobytes())
            file.write_bytes(content[: at + 99] + bytes([content[at + 99] ^ 1]) + content[at + 100 :])
    with pytest.raises(FormatError, match="the data of w is damaged"):
        migrated_file(tmp_path, folder, KEEP)
    with pytest.raises(FormatError, match="the data of w is damaged"):
        migrated_file(tmp_path, folder, "rewrites: [{from: w, to: w, ops: [{cast: {dtype: f64}}]}]")


def test_keys_stay_flat_without_a_planner_of_torch(tmp_path):
    folder = edited(save(tmp_path / "c", {"a": {"b": torch.ones(1)}}), lambda m: setattr(m, "planner_data", None))
    checkpoint = open_checkpoint(folder / ".metadata")
    assert list(checkpoint.sections[0].tensors) == ["a.b"]
    checkpoint.close()


def first(metadata, key="w"):
    return metadata.state_dict_metadata[key]


def item(metadata, number=0):
    return [info for index, info in metadata.storage_data.items() if index.fqn == "w"][number]


def hole(metadata):
    first(metadata).chunks[:] = [chunk for chunk in first(metadata).chunks if chunk.offsets[0] == 0]


def overlap(metadata):
    first(metadata).chunks[1] = ChunkStorageMetadata(torch.Size([3, 0]), torch.Size([3, 3]))
    first(metadata).chunks[0] = ChunkStorageMetadata(torch.Size([0, 0]), torch.Size([4, 3]))


def outside(metadata):
    first(metadata).size = torch.Size([5, 3])


def beyond(metadata):
    item(metadata).length += 1 << 20


def negative(metadata):
    item(metadata).offset = -1


def same_bytes(metadata):
    one, other = item(metadata), item(metadata, 1)
    other.relative_path, other.offset = one.relative_path, one.offset


def no_data(metadata):
    metadata.storage_data = {k: v for k, v in metadata.storage_data.items() if tuple(k.offset or ()) != (3, 0)}


def named(path):
    def change(metadata):
        item(metadata).relative_path = path

    return change


def transformed(metadata):
    item(metadata).transform_descriptors = ["stream.zstd"]


def other_dtype(metadata):
    first(metadata).properties.dtype = torch.int32


def no_metadata(metadata):
    metadata.storage_data = None


FAULTS = {
    r"no chunk of 'w' holds \[3:6, 0:3\]": hole,
    r"two chunks of 'w' hold \[3:4, 0:3\]": overlap,
    r"a chunk of 'w' lies at \[3:6, 0:3\], outside": outside,
    r"the data of 'w' ends at byte \d+ of '__0_\d.distcp', which has": beyond,
    "impossible offset or length": negative,
    "'w' and 'w' lie on the same bytes": same_bytes,
    r"the chunk of 'w' at \[3, 0\] has no data": no_data,
    "the data file '../x' which is not": named("../x"),
    "the data file '/etc/passwd'": named("/etc/passwd"),
    r"the data file '..\\\\x'": named("..\\x"),
    "the data file 'gone.distcp' is missing": named("gone.distcp"),
    "the data file 'folder' is a folder": named("folder"),
    "the data file 'pipe' is no regular file": named("pipe"),
    "the data file 'link' is a symbolic link to": named("link"),
    "was written through stream.zstd": transformed,
    "the data of 'w' is f32": other_dtype,
    "has no storage_data": no_metadata,
}


@pytest.mark.parametrize("message", FAULTS)
def test_what_does_not_fit_together_is_refused_by_name(tmp_path, message):
    (tmp_path / "x").write_bytes(b"")
    folder = save(tmp_path / "c", {"w": torch.ones(6, 3)}, {"w": boxes((6, 3), [3], [])[::-1]})
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "link").symlink_to(tmp_path / "x")
    edited(folder, FAULTS[message])
    with pytest.raises(FormatError, match=message.replace(" which is not", ", which is not")) as caught:
        checkpoint = open_checkpoint(folder)
        list(tensor_blocks(checkpoint, checkpoint.sections[0].tensors["w"]))
    assert caught.value.hint
    assert caught.value.where.startswith(str(folder))


def test_an_index_that_is_there_twice_is_refused(tmp_path):
    folder = save(tmp_path / "c", {"w": torch.ones(2)})

    def change(metadata):
        ((index, info),) = metadata.storage_data.items()
        other = MetadataIndex("v", index.offset, 1)
        object.__setattr__(other, "fqn", "v")
        metadata.storage_data = {index: info, other: info}

    edited(folder, change)
    path = folder / ".metadata"
    pickled = path.read_bytes()
    assert pickled.count(b"\x8c\x01v") == 1
    path.write_bytes(pickled.replace(b"\x8c\x01v", b"\x8c\x01w"))
    assert len(pickle.loads(path.read_bytes()).storage_data) == 1  # torch sees nothing of it
    with pytest.raises(FormatError, match=r"storage_data has chunk \[0\] of 'w' twice"):
        open_checkpoint(folder)


def test_a_save_that_was_interrupted_is_called_so(tmp_path):
    folder = save(tmp_path / "c", {"w": torch.ones(2)})
    (folder / ".metadata").rename(folder / ".metadata.tmp")
    with pytest.raises(FormatError, match="save was interrupted"):
        open_checkpoint(folder)
    (folder / ".metadata.tmp").rename(
        folder / "__0.metadata"
    )  # as a run without collectives writes it, here of one rank
    assert [section.path for section in open_checkpoint(folder).sections] == ["/"]
    (folder / "__0.metadata").unlink()
    with pytest.raises(FormatError, match=r"without its \.metadata"):
        open_checkpoint(folder)


def test_what_only_should_be_known_is_noted(tmp_path):
    folder = save(tmp_path / "c", {"w": torch.ones(2), "old": torch.ones(1)})
    (folder / "__9_0.distcp").write_bytes(b"left over")
    edited(folder, lambda metadata: metadata.state_dict_metadata.pop("old"))
    checkpoint = open_checkpoint(folder)
    assert (checkpoint.notes["unlisted"], checkpoint.notes["stray"]) == ("old", "__9_0.distcp")
    checkpoint.close()


def test_nothing_in_the_metadata_is_run(tmp_path):
    folder = save(tmp_path / "c", {"w": torch.ones(2)})
    marker = tmp_path / "marker"
    payload = b"\x80\x04c" + b"os\nmkdir\n(V" + str(marker).encode() + b"\ntR."
    (folder / ".metadata").write_bytes(payload)
    with pytest.raises(FormatError, match="the file is no Metadata"):
        open_checkpoint(folder)
    assert not marker.exists()


def test_every_truncation_of_the_metadata_is_refused(tmp_path):
    folder = save(tmp_path / "c", {"w": torch.ones(2), "n": 1})
    content = (folder / ".metadata").read_bytes()
    for length in range(0, len(content), 7):
        (folder / ".metadata").write_bytes(content[:length])
        with pytest.raises(FormatError):
            open_checkpoint(folder)
