"""Which parts of a checkpoint a migration is for, what becomes of optimizers, and the way back for each section by itself."""

import json

import pytest

torch = pytest.importorskip("torch")

from migrating import migrated, migrated_file, write_migration  # noqa: E402  needs torch

from ckptlint.commands.migrate import Request, migrate  # noqa: E402
from ckptlint.errors import OutputError, PlanError, UsageError  # noqa: E402

RENAME = "rewrites:\n- rename: {a: c, b: d}\n"
SWAPPED = "rewrites:\n- {from: a, to: b2, ops: [flip: {dim: 0}]}\nrest: keep\n"


def training(*, names=None):
    """A checkpoint of a model and an Adam, whose state goes by position or by names."""
    model = {"a": torch.ones(2), "b": torch.zeros(3)}
    entries = {name: {"exp_avg": torch.rand(3)} for name in (names or range(2))}
    group = {"lr": 0.1, "params": list(entries)}
    return {"model": model, "optimizer": {"state": entries, "param_groups": [group]}, "epoch": 1}


def test_state_by_position_stays_where_tensors_kept_their_places(tmp_path, capsys):
    value = training()
    result = migrated(tmp_path, value, RENAME)
    assert list(result["model"]) == ["c", "d"]
    assert torch.equal(result["optimizer"]["state"][1]["exp_avg"], value["optimizer"]["state"][1]["exp_avg"])
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    "body",
    [
        SWAPPED,
        "rewrites:\n- drop: {keys: a, reason: gone}\nrest: keep\n",
        "rewrites:\n- new: {key: z, shape: [1], dtype: f32, fill: zeros}\nrest: keep\n",
        "rewrites:\n- {from: [a, b], to: [b, a], ops: [order: [1, 0]]}\n- {rename: {x: y}, optional: true}\n",
        f"{RENAME}optimizer: reset\n",
    ],
)
def test_state_by_position_is_emptied_elsewhere(body, tmp_path, capsys):
    value = training()
    result = migrated(tmp_path, value, body)
    in_order = "order: [1, 0]" in body
    assert (result["optimizer"]["state"] == {}) is not in_order
    assert result["optimizer"]["param_groups"] == value["optimizer"]["param_groups"]
    assert ("/optimizer: the optimizer's state is reset" in capsys.readouterr().err) is not in_order


def test_a_second_name_that_goes_is_no_change_of_order(tmp_path):
    value = training()
    value["model"]["tied"] = value["model"]["a"]
    result = migrated(tmp_path, value, "rewrites:\n- drop: {keys: tied, reason: tied anyway}\nrest: keep\n")
    assert list(result["optimizer"]["state"]) == [0, 1]


def test_a_migration_may_refuse_optimizers(tmp_path):
    with pytest.raises(PlanError, match="holds optimizer state at /optimizer"):
        migrated(tmp_path, training(), f"{RENAME}optimizer: refuse\n")


def test_state_by_name_goes_with_the_names(tmp_path, capsys):
    value = training(names=("a", "b"))
    result = migrated(tmp_path, value, RENAME)
    assert list(result["optimizer"]["state"]) == ["c", "d"]
    assert result["optimizer"]["param_groups"] == [{"lr": 0.1, "params": ["c", "d"]}]
    assert torch.equal(result["optimizer"]["state"]["d"]["exp_avg"], value["optimizer"]["state"]["b"]["exp_avg"])
    other = migrated(tmp_path, training(names=("module.a", "module.b")), RENAME)
    assert list(other["optimizer"]["state"]) == ["module.c", "module.d"]
    strange = migrated(tmp_path, training(names=("x", "y")), RENAME)
    assert strange["optimizer"]["state"] == {}
    assert "the names of its parameters are not the weights'" in capsys.readouterr().err


def test_an_optimizer_is_no_state_dict(tmp_path):
    with pytest.raises(UsageError, match="/optimizer is the state of an optimizer"):
        migrated(tmp_path, training(), "rewrites:\n- keep: '**'\n", section="/optimizer")


def test_little_may_be_left_of_a_state_dict(tmp_path):
    value = {"a": torch.ones(1), "b": torch.ones(2), "more": {"x": torch.ones(3), "y": torch.ones(4)}}
    one = migrated(tmp_path, value, "rewrites:\n- drop: {keys: a, reason: gone}\nrest: keep\n")
    assert list(one) == ["b", "more"]
    none = migrated(tmp_path, value, "rewrites:\n- drop: {keys: '*', reason: gone}\n")
    assert list(none) == ["more"]
    assert list(none["more"]) == ["x", "y"]


def test_migrations_for_different_sections_do_not_run_together(tmp_path):
    value = {"one": {"a": torch.ones(1)}, "two": {"a": torch.ones(1)}}
    bodies = ["sections: [/one]\nrewrites:\n- rename: {a: b}\n", "sections: [/two]\nrewrites:\n- rename: {b: c}\n"]
    with pytest.raises(UsageError, match="for different sections: /one and /two"):
        migrated(tmp_path, value, *bodies)
    result = migrated(tmp_path, value, bodies[0], "rewrites:\n- rename: {b: c}\n")
    assert [list(state) for state in result.values()] == [["c"], ["a"]]


def test_one_object_in_two_places_changes_in_both_and_that_is_said(tmp_path, capsys):
    weights = {"a": torch.ones(1), "b": torch.ones(2)}
    result = migrated(tmp_path, {"last": weights, "best": weights}, RENAME, section="/last")
    assert result["last"] is result["best"]
    assert "/best is the same object as /last, and changes with it" in capsys.readouterr().err


def back(folder, output, source, body):
    place, file = folder / "back.pt", str(write_migration(folder, body))
    migrate(Request(str(output), [file], str(place), reverse=True, source=str(source), force=True))
    return torch.load(place)


def test_each_section_goes_back_to_its_own_old_schema(tmp_path):
    tied = torch.ones(2)
    value = {"model": {"a": tied, "b": tied}, "ema": {"a": torch.full((2,), 5.0), "b": torch.full((2,), 7.0)}}
    torch.save(value, tmp_path / "old.pt")
    output = migrated_file(tmp_path, tmp_path / "old.pt", RENAME)
    result = back(tmp_path, output, tmp_path / "old.pt", RENAME)
    assert [value.tolist() for value in result["ema"].values()] == [[5, 5], [7, 7]]
    assert result["model"]["a"].data_ptr() == result["model"]["b"].data_ptr()


def test_what_is_no_longer_tied_does_not_become_one(tmp_path):
    tied = torch.ones(2)
    torch.save({"a": tied, "b": tied}, tmp_path / "old.pt")
    torch.save({"c": torch.ones(2), "d": torch.zeros(2)}, tmp_path / "new.pt")  # trained on, without the tie
    result = back(tmp_path, tmp_path / "new.pt", tmp_path / "old.pt", RENAME)
    assert [value.tolist() for value in result.values()] == [[1, 1], [0, 0]]


def test_shapes_alone_are_enough_of_an_old_schema(tmp_path):
    split = "rewrites:\n- {from: a, to: [c, d], ops: [split: {sizes: [2, 4]}]}\nrest: keep\n"
    value = {"a": torch.arange(6, dtype=torch.bfloat16), "n": torch.arange(2)}
    torch.save(value, tmp_path / "old.pt")
    output = migrated_file(tmp_path, tmp_path / "old.pt", split)
    (tmp_path / "old.json").write_text(json.dumps({"a": [6], "n": [2]}))
    result = back(tmp_path, output, tmp_path / "old.json", split)
    assert all(torch.equal(result[key], value[key]) for key in value)
    assert result["a"].dtype == torch.bfloat16
    cast = "rewrites:\n- {from: a, to: a, ops: [cast: f64]}\nrest: keep\n"
    output = migrated_file(tmp_path, tmp_path / "old.pt", cast)
    with pytest.raises(PlanError, match="does not say what dtype a had"):
        back(tmp_path, output, tmp_path / "old.json", cast)


def test_a_dry_run_refuses_what_a_run_would(tmp_path, capsys):
    torch.save(training(), tmp_path / "old.pt")
    file = str(write_migration(tmp_path, SWAPPED))
    plan = {"checkpoint": str(tmp_path / "old.pt"), "migrations": [file], "dry_run": True}
    migrate(Request(**plan))
    assert "the optimizer's state is reset" in capsys.readouterr().err
    with pytest.raises(UsageError, match="holds one state dict and nothing else"):
        migrate(Request(**plan, output=str(tmp_path / "new.safetensors")))
    torch.save({"a": torch.ones(1000, 1).expand(1000, 1000)}, tmp_path / "old.pt")
    with pytest.raises(OutputError, match="shows the same elements many times"):
        migrate(Request(**plan))


def test_metadata_of_safetensors_is_kept_or_said_to_be_lost(tmp_path, capsys):
    library = pytest.importorskip("safetensors.torch")
    library.save_file({"a": torch.ones(1), "b": torch.ones(1)}, tmp_path / "part.safetensors", {"format": "pt"})
    index = {"metadata": {"total_size": 8, "note": "mine"}, "weight_map": dict.fromkeys("ab", "part.safetensors")}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    output = migrated_file(tmp_path, tmp_path / "model.safetensors.index.json", RENAME, suffix=".safetensors")
    content = output.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert header["__metadata__"] == {"format": "pt", "note": "mine"}
    assert not capsys.readouterr().err
    migrated_file(tmp_path, output, "rewrites:\n- keep: '*'\n")
    assert "no place for the file's metadata: note" in capsys.readouterr().err
