"""The Python API: the same as the commands do, with objects of this process where a command takes names of files."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ckptlint
from ckptlint import CkptlintError, Report, Schema
from ckptlint.core.operation import Grade
from ckptlint.errors import DocumentError, ModelError, PlanError, UsageError

OLD = Schema.of("enc.w: f32[4,2]", "enc.b: f32[4]")
NEW = Schema.of("dec.w: f32[4,2]", "dec.b: f32[4]")


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.fixture
def renaming(tmp_path):
    path = tmp_path / "renaming.yaml"
    path.write_text("ckptlint: 1\nrewrites:\n- rename: {'enc.{x}': 'dec.{x}'}\n", encoding="utf-8")
    return path


def test_importing_costs_nothing():
    code = "import sys; before = set(sys.modules); import ckptlint; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1]
    )
    assert done.stdout.split() == ["ckptlint"]


def test_linting_in_process_imports_no_terminal_and_no_array_library():
    code = (
        "import sys, ckptlint; ckptlint.lint({'w': [2]}, {'w': [2]}); "
        "print(*{'click', 'rich', 'numpy', 'torch', 'yaml', 'deepdiff'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1]
    )
    assert done.stdout.split() == []


def test_every_name_is_there():
    assert len(ckptlint.__all__) <= 14
    assert set(ckptlint.__all__) <= set(dir(ckptlint))
    for name in ckptlint.__all__:
        assert getattr(ckptlint, name).__doc__
    with pytest.raises(AttributeError, match="has no attribute 'lnit'"):
        ckptlint.lnit  # noqa: B018


def test_the_version_is_a_plain_assignment():
    text = Path(ckptlint.__file__).read_text(encoding="utf-8")
    assert f'\n__version__ = "{ckptlint.__version__}"\n' in text


@pytest.mark.parametrize(
    "source",
    [
        {"w": [4, 2], "b": (4,)},
        {"w": "?[4,2]", "b": "?[4]"},
        {"w": {"shape": [4, 2]}, "b": [4]},
        Schema.of("w: ?[4,2]", "b: ?[4]"),
    ],
    ids=["shapes", "notation", "objects", "schema"],
)
def test_snapshot_of_keys(source):
    assert list(ckptlint.snapshot(source).lines()) == ["w: ?[4,2]", "b: ?[4]"]


def test_snapshot_of_arrays_leaves_out_what_is_no_tensor():
    state = {"w": np.zeros((4, 2), np.float16), "_extra_state": {"a": 1}, "n": np.int64(3)}
    assert list(ckptlint.snapshot(state).lines()) == ["w: f16[4,2]", "n: i64[]"]


def test_snapshot_of_specs():
    assert ckptlint.snapshot(dict(OLD.tensors)).tensors == OLD.tensors


@pytest.mark.parametrize(
    ("source", "error", "words"),
    [
        (3, UsageError, "a int has no schema"),
        ({1: [2]}, UsageError, "the key 1 is no text"),
        ({"w": object()}, DocumentError, "w"),
        ({"w": [-1]}, DocumentError, "sizes are integers from 0"),
        ("nothing.pt", UsageError, "no file and no model"),
    ],
)
def test_what_has_no_schema(source, error, words):
    with pytest.raises(error, match=words):
        ckptlint.snapshot(source)


def tied(torch):
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 3))
    model[2].weight = model[0].weight
    model.register_buffer("scratch", torch.zeros(2), persistent=False)
    return model


def test_snapshot_of_a_module_and_of_its_state_dict(torch):
    model = tied(torch)
    schema = ckptlint.snapshot(model)
    state = ckptlint.snapshot(model.state_dict())
    assert list(schema.lines())[:2] == ["0.weight: f32[3,3]", "0.bias: f32[3]"]
    assert schema.ties == state.ties == (("0.weight", "2.weight"),)
    assert schema.parameters == ("0.weight", "0.bias", "1.weight", "1.bias", "2.bias")
    assert list(schema.unsaved) == ["scratch"]
    assert schema.modules["1"] == "torch.nn.modules.batchnorm.BatchNorm1d"
    assert (state.tensors, state.parameters, state.modules) == (schema.tensors, None, {})


def test_snapshot_of_a_module_is_that_of_its_reference(torch, tmp_path):
    (tmp_path / "net.py").write_text(
        "from torch import nn\nNet = lambda width: nn.Linear(width, 2)\n", encoding="utf-8"
    )
    named = ckptlint.snapshot(f"{tmp_path / 'net.py'}:Net", args={"width": 3})
    live = ckptlint.snapshot(torch.nn.Linear(3, 2))
    assert (named.tensors, named.parameters, named.modules) == (live.tensors, live.parameters, live.modules)


def test_a_lazy_module_has_no_schema_yet(torch):
    with pytest.raises(ModelError, match="no shape before the first forward pass"):
        ckptlint.snapshot(torch.nn.LazyLinear(4))


def test_a_checkpoint_on_disk_and_its_module(torch, tmp_path):
    model = tied(torch)
    torch.save({"epoch": 3, "model": model.state_dict()}, tmp_path / "a.pt")
    report = ckptlint.lint(tmp_path / "a.pt", model)
    assert not report.failed()
    assert report.section == "/model"
    assert report.coverage.tensors == len(model.state_dict())
    checkpoint = ckptlint.inspect(tmp_path / "a.pt")
    assert [section.path for section in checkpoint.sections] == ["/model"]
    assert not ckptlint.diff(tmp_path / "a.pt", model)


def test_lint_finds():
    report = ckptlint.lint(OLD, NEW)
    assert isinstance(report, Report)
    assert report.failed()
    assert {"CKK101"} >= {f.rule for f in ckptlint.lint({"enc.w": [4, 2]}, OLD, select=["CKK101"]).findings} != set()
    assert not ckptlint.lint({"enc.w": "f32[4,2]"}, OLD, allow_missing=["enc.b"]).failed()
    assert not ckptlint.lint({"enc.w": "f32[4,2]"}, OLD, only=["enc.w"]).failed()
    assert not ckptlint.lint(OLD).findings


def test_rules_of_ones_own(tmp_path):
    (tmp_path / "CKX001-no-bias.yaml").write_text(
        "id: CKX001\nslug: no-bias\ncheck: forbid\nwith: {keys: '**.b'}\nseverity: error\nsummary: No biases.\n"
        "message: '{pattern}: is a bias'\nwhy: They cost.\ncases:\n"
        "- {name: one, checkpoint: {a.b: 'f32[1]'}, expect: [a.b]}\n"
        "- {name: none, checkpoint: {a.w: 'f32[1]'}, expect: []}\n",
        encoding="utf-8",
    )
    assert [f.rule for f in ckptlint.lint(OLD, folders=[str(tmp_path)]).findings] == ["CKX001"]


def test_misspelt_choices_are_refused(tmp_path):
    with pytest.raises(TypeError, match="selekt"):
        ckptlint.lint(OLD, NEW, selekt=["CKK101"])
    with pytest.raises(TypeError, match="revers"):
        ckptlint.migrate(tmp_path / "a.pt", "m.yaml", revers=True)


def test_prove(renaming):
    proof = ckptlint.prove(renaming, OLD, NEW)
    assert not proof.failed
    assert proof.grade is Grade.EXACT
    assert proof.plan.target.tensors == NEW.tensors
    assert ckptlint.prove(renaming, proof.plan.target, NEW).failed
    assert ckptlint.prove(renaming, OLD, OLD).failed


def test_prove_of_several(renaming, tmp_path):
    later = tmp_path / "later.yaml"
    later.write_text("ckptlint: 1\nrewrites: [{rename: {gone: here}}]\nrest: keep\n", encoding="utf-8")
    proofs = ckptlint.prove([renaming, later, renaming], OLD)
    assert [proof.plan is None for proof in proofs] == [False, True]
    assert len(ckptlint.prove([renaming], OLD, NEW)) == 1


def test_prove_with_params_of_a_file(torch, tmp_path):
    path = tmp_path / "m.yaml"
    path.write_text(
        "ckptlint: 1\nparams: {h: {tree: /cfg/heads}}\nrewrites:\n"
        "- {from: w, to: w, ops: [{rearrange: '(h d) -> h d', h: h}]}\n",
        encoding="utf-8",
    )
    torch.save({"model": {"w": torch.zeros(12)}, "cfg": {"heads": 3}}, tmp_path / "a.pt")
    assert list(ckptlint.prove(path, tmp_path / "a.pt").plan.target.lines()) == ["w: f32[3,4]"]
    assert list(ckptlint.prove(path, {"w": "f32[12]"}, params={"h": 2}).plan.target.lines()) == ["w: f32[2,6]"]
    assert ckptlint.prove(path, {"w": "f32[12]"}).failed
    with pytest.raises(UsageError, match="no migration has a param 'hh'"):
        ckptlint.prove(path, {"w": "f32[12]"}, params={"hh": 2})
    with pytest.raises(UsageError, match="no migration has a param 'hh'"):
        ckptlint.migrate(tmp_path / "a.pt", path, tmp_path / "b.pt", params={"hh": 2})


def test_migrate_and_back(torch, tmp_path, renaming):
    state = {"enc.w": torch.rand(4, 2), "enc.b": torch.rand(4)}
    torch.save(state, tmp_path / "old.pt")
    planned = ckptlint.migrate(tmp_path / "old.pt", renaming)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old.pt", "renaming.yaml"]
    done = ckptlint.migrate(tmp_path / "old.pt", [renaming], tmp_path / "new.pt")
    assert [plan.target.tensors for _, plan in done.plans] == [plan.target.tensors for _, plan in planned.plans]
    new = torch.load(tmp_path / "new.pt")
    assert list(new) == ["dec.w", "dec.b"]
    assert torch.equal(new["dec.w"], state["enc.w"])
    with pytest.raises(CkptlintError, match="exists"):
        ckptlint.migrate(tmp_path / "old.pt", renaming, tmp_path / "new.pt")
    ckptlint.migrate(tmp_path / "new.pt", renaming, tmp_path / "back.pt", reverse=True)
    assert list(torch.load(tmp_path / "back.pt")) == list(state)
    with pytest.raises(PlanError, match="no rewrite claims it"):
        ckptlint.migrate(tmp_path / "new.pt", renaming)


def test_what_a_migration_warns_of_is_returned(torch, tmp_path, capfd, monkeypatch):
    torch.save({"w": torch.ones(2)}, tmp_path / "old.pt")
    (tmp_path / "ckptlint_test_twice.py").write_text("def twice(w):\n    return w * 2\n", encoding="utf-8")
    path = tmp_path / "twice.yaml"
    call = '{python: {call: "ckptlint_test_twice:twice", shapes: ["f32[2]"]}}'
    path.write_text(f"ckptlint: 1\nrewrites:\n  - {{from: w, to: w, ops: [{call}]}}\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    planned = ckptlint.migrate(tmp_path / "old.pt", path)
    assert ["Python code that the migration would run" in each for each in planned.warnings] == [True]
    with pytest.raises(CkptlintError, match="allow-python"):
        ckptlint.migrate(tmp_path / "old.pt", path, tmp_path / "new.pt")
    done = ckptlint.migrate(tmp_path / "old.pt", path, tmp_path / "new.pt", allow_python=True)
    assert len(done.warnings) == 1
    assert torch.load(tmp_path / "new.pt")["w"].tolist() == [2, 2]
    assert capfd.readouterr() == ("", "")


def test_a_schema_says_what_the_old_file_was(torch, tmp_path):
    torch.save({"w": torch.rand(6, 2), "b": torch.rand(1)}, tmp_path / "old.pt")
    path = tmp_path / "cast.yaml"
    path.write_text("ckptlint: 1\nrewrites:\n  - {from: w, to: w, ops: [{cast: f64}]}\nrest: keep\n", encoding="utf-8")
    ckptlint.migrate(tmp_path / "old.pt", path, tmp_path / "new.pt")
    old = ckptlint.snapshot(tmp_path / "old.pt")
    with pytest.raises(CkptlintError):
        ckptlint.migrate(tmp_path / "new.pt", path, tmp_path / "back.pt", reverse=True)
    ckptlint.migrate(tmp_path / "new.pt", path, tmp_path / "back.pt", reverse=True, source=old)
    back = torch.load(tmp_path / "back.pt")
    assert all(torch.equal(back[key], kept) for key, kept in torch.load(tmp_path / "old.pt").items())


def test_a_chain_is_migrated_and_a_model_called(torch, tmp_path):
    torch.save({"a": torch.rand(2)}, tmp_path / "old.pt")
    folder = tmp_path / "chain"
    folder.mkdir()
    (folder / "0001_one.yaml").write_text("ckptlint: 1\nrewrites:\n  - {from: a, to: b}\n", encoding="utf-8")
    done = ckptlint.migrate(tmp_path / "old.pt", output=tmp_path / "new.pt", chain=folder, start="base")
    assert list(torch.load(tmp_path / "new.pt")) == ["b"]
    assert done.leg.migrations


def test_shipped_migrations_go_by_name(torch, tmp_path):
    torch.save({"a.weight_g": torch.rand(2, 1), "a.weight_v": torch.rand(2, 3)}, tmp_path / "a.pt")
    ckptlint.migrate(tmp_path / "a.pt", "weight-norm-to-parametrizations", tmp_path / "b.pt")
    assert set(torch.load(tmp_path / "b.pt")) == {f"a.parametrizations.weight.original{n}" for n in (0, 1)}


def test_write_lock_reads_as_the_schema(torch, tmp_path):
    model = tied(torch)
    path = tmp_path / "schema.lock"
    path.write_text(ckptlint.write_lock(model, model="net", factory="net:Net"), encoding="utf-8")
    read = ckptlint.snapshot(path)
    made = ckptlint.snapshot(model)
    assert (read.tensors, read.ties, read.parameters) == (made.tensors, made.ties, made.parameters)
    assert not ckptlint.diff(path, model)
    removed = ckptlint.diff(path, torch.nn.Sequential(*model[:2])).removed
    assert [change.pattern for change in removed] == ["2.weight", "2.bias"]
