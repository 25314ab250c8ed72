"""`ckptlint log` and `ckptlint current`: the order of a chain, and where files stand in it."""

import json

import pytest

from ckptlint.cli import main
from ckptlint.core.chain import revision_id
from ckptlint.core.digest import k1
from ckptlint.documents.lock import write_lock
from ckptlint.documents.migrations import read_migration
from ckptlint.documents.schema_json import read_schema_json

torch = pytest.importorskip("torch")

SHAPES = [{"a": [2], "z": [1]}, {"b": [2], "z": [1]}, {"c": [2], "z": [1]}]
STEPS = [("a", "b"), ("b", "c")]


def schema(shapes):
    return read_schema_json(json.dumps(shapes), "x.json")


@pytest.fixture
def chain(tmp_path, monkeypatch):
    """Two renames with digests and no conditions, the lock of the head beside them; returns the ids."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chain").mkdir()
    revisions = [""]
    for number, (old, new) in enumerate(STEPS, 1):
        before, after = (k1(schema(SHAPES[place])) for place in (number - 1, number))
        parent = f"parent: {revisions[-1]}, " if revisions[-1] else ""
        text = f'ckptlint: 1\nsummary: {old} to {new}\nchain: {{{parent}from: "{before}", to: "{after}"}}\n'
        text += f"rewrites: [rename: {{{old}: {new}}}]\nrest: keep\n"
        (tmp_path / "chain" / f"{number:04d}_step.yaml").write_text(text)
        revisions.append(revision_id(number, revisions[-1], read_migration(text, "x").body))
    (tmp_path / "chain" / "schema.lock").write_text(write_lock(schema(SHAPES[-1]), model="m"))
    return revisions[1:]


def save(name, shapes):
    torch.save({key: torch.zeros(shape) for key, shape in shapes.items()}, name)


def test_the_log_is_newest_first_for_people_and_in_order_for_programs(chain, capsys):
    assert main(["log", "chain"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == chain[::-1]
    assert lines[0].endswith("b to c  (head)")
    main(["log", "chain", "--format", "json"])
    listed = json.loads(capsys.readouterr().out)["revisions"]
    assert [each["revision"] for each in listed] == chain
    assert listed[1]["parent"] == chain[0]
    assert listed[0]["to"] == listed[1]["from"] == k1(schema(SHAPES[1]))


@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_digest_of_its_keys_places_a_file(chain, capsys, place):
    save("x.pt", SHAPES[place])
    assert main(["current", "x.pt", "--chain", "chain", "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["revision"] == ["base", *chain][place]
    assert (told["by"], told["behind"]) == ("digest", 2 - place)


def test_what_nothing_places_is_near_a_revision_and_never_called_it(chain, capsys):
    save("x.pt", {"b": [2], "z": [1], "more": [3]})
    assert main(["current", "x.pt", "--chain", "chain"]) == 1
    said = capsys.readouterr().out
    assert "nothing tells where in the chain the checkpoint stands" in said
    assert f"nearest: {chain[0]}" in said
    assert "- more" in said
    assert main(["current", "x.pt", "--chain", "chain", "--format", "json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["revision"] is None
    assert told["nearest"]["difference"]["removed"][0]["keys"] == ["more"]


def test_without_a_lock_there_is_no_nearest(chain, tmp_path, capsys):
    (tmp_path / "chain" / "schema.lock").unlink()
    save("x.pt", {"q": [9]})
    assert main(["current", "x.pt", "--chain", "chain"]) == 1
    assert "no nearest revision" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["new.pt", "new.safetensors", "new.safetensors.index.json"])
def test_migrating_records_the_revision_and_it_is_read_again(chain, capsys, name):
    save("x.pt", SHAPES[0])
    more = ["--max-shard-size", "9B"] if name.endswith(".json") else []
    output = name.removesuffix(".index.json")
    assert main(["migrate", "x.pt", "--chain", "chain", "--to", "1", "-o", output, *more]) == 0
    capsys.readouterr()
    assert main(["current", name, "--chain", "chain", "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["revision"], told["by"], told["behind"]) == (chain[0], "stamp", 1)
    if name == "new.pt":
        assert list(torch.load(name)) == ["b", "z"]


def test_going_back_to_the_base_records_nothing(chain, capsys):
    save("x.pt", SHAPES[1])
    assert main(["migrate", "x.pt", "--chain", "chain", "--to", "base", "-o", "old.pt"]) == 0
    capsys.readouterr()
    main(["current", "old.pt", "--chain", "chain", "--format", "json"])
    told = json.loads(capsys.readouterr().out)
    assert (told["revision"], told["by"]) == ("base", "digest")


def test_a_revision_whose_keys_are_not_there_is_not_recorded(chain, capsys):
    save("x.pt", {**SHAPES[0], "more": [1]})
    assert main(["migrate", "x.pt", "--chain", "chain", "--from", "base", "-o", "new.pt"]) == 0
    assert "is not recorded" in capsys.readouterr().err
    assert main(["current", "new.pt", "--chain", "chain"]) == 1


def test_a_stamp_changes_nothing_else_and_needs_the_keys(chain, tmp_path, capsys):
    save("x.pt", SHAPES[1])
    assert main(["stamp", "x.pt", "1", "--chain", "chain", "-o", "new.pt"]) == 0
    capsys.readouterr()
    main(["current", "new.pt", "--chain", "chain", "--format", "json"])
    told = json.loads(capsys.readouterr().out)
    assert (told["revision"], told["by"]) == (chain[0], "stamp")
    assert {key: value.shape for key, value in torch.load("new.pt").items()} == {"b": (2,), "z": (1,)}
    assert main(["stamp", "x.pt", "2", "--chain", "chain", "-o", "other.pt"]) == 1
    assert not (tmp_path / "other.pt").exists()
