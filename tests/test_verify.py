"""`ckptlint verify`: a flipped bit names its tensor, what nothing vouches for is said, and digests vouch for the rest."""

import hashlib
import json

import pytest
from cli import ckptlint

torch = pytest.importorskip("torch")
saving = pytest.importorskip("safetensors.torch")

STATE = {
    "first": torch.arange(6.0).reshape(2, 3),
    "second": torch.arange(8, dtype=torch.int64),
    "across": torch.arange(12.0).reshape(3, 4).t(),
}


def flip(path, needle, bit=3):
    """Flip one bit of the bytes `needle`, which are in the file once."""
    content = bytearray(path.read_bytes())
    assert content.count(needle) == 1
    content[content.index(needle)] ^= 1 << bit
    path.write_bytes(content)


def elements(tensor):
    return tensor.contiguous().numpy().tobytes()


@pytest.fixture
def folder(tmp_path):
    torch.save({"model": STATE, "epoch": 3}, tmp_path / "model.pt")
    saving.save_file({key: each.contiguous() for key, each in STATE.items()}, tmp_path / "model.safetensors")
    return tmp_path


def test_a_flip_in_a_zip_names_its_tensor_and_its_place(folder):
    assert "model.pt: sound, 136 B" in ckptlint(folder, "verify", "model.pt").stdout
    flip(folder / "model.pt", elements(STATE["second"]))
    said = ckptlint(folder, "verify", "model.pt", "--format", "json", code=1).stdout
    (problem,) = json.loads(said)["checkpoints"][0]["problems"]
    assert (problem["kind"], problem["tensors"]) == ("damaged", ["/model/second"])
    place = (folder / "model.pt").read_bytes().index(elements(STATE["second"])[8:]) - 8
    assert problem["where"] == f"model.pt: byte {place}"
    assert "damaged: /model/second: the CRC-32" in ckptlint(folder, "verify", "model.pt", code=1).stdout


def test_a_file_without_checksums_is_not_called_sound(folder):
    said = ckptlint(folder, "verify", "model.safetensors").stdout
    assert "unknown, safetensors files" in said
    assert "without a checksum" in said
    found = json.loads(ckptlint(folder, "verify", "model.safetensors", "--format", "json").stdout)["checkpoints"][0]
    assert sorted(found["unchecked"]["tensors"]) == ["/across", "/first", "/second"]
    assert found["unchecked"]["bytes"] == found["bytes"] == 136


def test_digests_are_those_of_the_bytes_and_find_every_flip(folder):
    names = ("model.pt", "model.safetensors")
    ckptlint(folder, "verify", *names, "--digests", "good.json", "--write")
    known = json.loads((folder / "good.json").read_text())["checkpoints"]
    assert list(known) == list(names)
    for name in names:
        assert known[name]["files"] == {name: hashlib.sha256((folder / name).read_bytes()).hexdigest()}
    for key, tensor in STATE.items():
        digest = hashlib.sha256(elements(tensor)).hexdigest()
        assert known["model.pt"]["tensors"][f"/model/{key}"][1] == digest
        assert known["model.safetensors"]["tensors"][f"/{key}"][1] == digest
    assert "[2,3]" in known["model.pt"]["tensors"]["/model/first"][0]
    assert "is what its digests say" in ckptlint(folder, "verify", *names, "--digests", "good.json").stdout
    flip(folder / "model.safetensors", elements(STATE["across"]))
    said = ckptlint(folder, "verify", *names, "--digests", "good.json", code=1).stdout
    assert "changed: /across: " in said
    assert "file: model.safetensors has not the bytes that were digested\n" in said


def test_a_checkpoint_that_was_saved_anew_differs_by_tensor(folder):
    ckptlint(folder, "verify", "model.pt", "--digests", "good.json", "--write")
    anew = {"first": STATE["first"].double(), "second": STATE["second"] + 1, "third": torch.ones(1)}
    torch.save({"model": anew}, folder / "other.pt")
    said = ckptlint(folder, "verify", "other.pt", "--digests", "good.json", "--format", "json", code=1).stdout
    problems = json.loads(said)["checkpoints"][0]["problems"]
    kinds = {problem["kind"]: problem["tensors"] for problem in problems}
    assert kinds == {
        "retyped": ["/model/first"],
        "changed": ["/model/second"],
        "missing": ["/model/across"],
        "added": ["/model/third"],
        "file": [],
    }


def test_what_is_beside_the_tensors_is_in_the_file_digest(folder):
    ckptlint(folder, "verify", "model.pt", "--digests", "good.json", "--write")
    torch.save({"model": STATE, "epoch": 4}, folder / "model.pt")
    said = ckptlint(folder, "verify", "model.pt", "--digests", "good.json", code=1).stdout
    assert "though every tensor does" in said


def test_digests_vouch_for_nothing_that_is_damaged(folder):
    flip(folder / "model.pt", elements(STATE["second"]))
    said = ckptlint(folder, "verify", "model.pt", "--digests", "good.json", "--write", code=1).stderr
    assert "was not written" in said
    assert not (folder / "good.json").exists()


def test_shards_count_with_their_index(folder):
    ckptlint(
        folder, "migrate", "model.safetensors", "-o", "out.safetensors", "--max-shard-size", "60", "--digests", "d"
    )
    known = json.loads((folder / "d").read_text())["checkpoints"]["out.safetensors.index.json"]
    shards = sorted(path.name for path in folder.glob("out*"))
    assert sorted(known["files"]) == shards
    assert len(shards) > 2
    ckptlint(folder, "verify", "out.safetensors.index.json", "--digests", "d")
    flip(folder / shards[0], elements(STATE["second"]))
    said = ckptlint(folder, "verify", "out.safetensors.index.json", "--digests", "d", code=1).stdout
    assert "changed: /second: " in said
    assert f"file: {shards[0]} has" in said


def test_a_folder_counts_whole_and_may_hold_its_digests(folder):
    ckptlint(folder, "migrate", "model.pt", "-o", "run.dcp")
    ckptlint(folder, "verify", "run.dcp", "--digests", "run.dcp/digests.json", "--write")
    ckptlint(folder, "verify", "run.dcp", "--digests", "run.dcp/digests.json")
    (folder / "run.dcp" / "stray").write_text("x")
    said = ckptlint(folder, "verify", "run.dcp", "--digests", "run.dcp/digests.json", code=1).stdout
    assert "file: stray was not there" in said


def test_an_unreadable_file_hides_no_other(folder):
    flip(folder / "model.pt", elements(STATE["second"]))
    done = ckptlint(folder, "verify", "absent.pt", "model.pt", code=3)
    assert "damaged: /model/second" in done.stdout
    assert "absent.pt" in done.stderr
    ckptlint(folder, "verify", "absent.pt", code=3)


def test_a_document_without_the_checkpoint_is_bad_use(folder):
    (folder / "d").write_text('{"ckptlint-digests": 1, "checkpoints": {}}')
    assert "has no digests of model.pt" in ckptlint(folder, "verify", "model.pt", "--digests", "d", code=2).stderr


def test_damage_in_a_torch_shard_or_a_distributed_checkpoint_names_the_tensor(folder):
    ckptlint(folder, "migrate", "model.safetensors", "-o", "out.bin", "--max-shard-size", "100")
    ckptlint(folder, "migrate", "model.pt", "-o", "run.dcp")
    (shard,) = (path for path in folder.glob("out*.bin") if elements(STATE["second"]) in path.read_bytes())
    flip(shard, elements(STATE["second"]))
    (data,) = (folder / "run.dcp").glob("*.distcp")
    flip(data, elements(STATE["second"]))
    said = ckptlint(folder, "verify", "out.bin.index.json", "run.dcp", code=1).stdout
    assert "damaged: /second: " in said
    assert "damaged: /model/second: " in said


def test_digests_never_replace_others(folder):
    (folder / "d").write_text("mine")
    assert "exists already" in ckptlint(folder, "verify", "model.pt", "--digests", "d", "--write", code=2).stderr
    said = ckptlint(folder, "migrate", "model.pt", "-o", "out.pt", "--digests", "d", code=2).stderr
    assert "exists already" in said
    assert not (folder / "out.pt").exists()
    assert (folder / "d").read_text() == "mine"
    assert "--digests FILE" in ckptlint(folder, "verify", "model.pt", "--write", code=2).stderr
