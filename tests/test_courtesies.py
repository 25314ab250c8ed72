"""Small things that users stumble over: what is not named is guessed, what fails still is a document."""

import json
import os
import subprocess
import sys

import pytest
from cli import ROOT, ckptlint
from safetensors.numpy import load_file, save_file

from ckptlint import snapshot
from ckptlint.commands.lock import run as lock
from ckptlint.commands.sources import Building
from ckptlint.core.schema import Schema
from ckptlint.documents.rules import load_rules
from ckptlint.engine.lint import lint
from ckptlint.errors import UsageError
from ckptlint.source.reference import ModelReference

np = pytest.importorskip("numpy")


def test_one_unreadable_file_is_an_error_within_the_document(tmp_path):
    said = ckptlint(tmp_path, "lint", "nope.pt", "--format", "json", code=3)
    assert [error["where"] for error in json.loads(said.stdout)["errors"]] == ["nope.pt"]


def test_a_format_is_changed_without_a_migration(tmp_path):
    save_file({"a": np.arange(3.0)}, tmp_path / "old.safetensors")
    ckptlint(tmp_path, "migrate", "old.safetensors", "-o", "new.safetensors")
    assert load_file(tmp_path / "new.safetensors")["a"].tolist() == [0, 1, 2]
    ckptlint(tmp_path, "migrate", "old.safetensors", "--dry-run", code=2)


@pytest.mark.parametrize(
    ("text", "guess"),
    [("models.CNN", "models:CNN"), ("pkg.models.CNN", "pkg.models:CNN"), ("model.py", "model.py:CLASS")],
)
def test_a_colon_that_is_missing_is_guessed(text, guess):
    with pytest.raises(UsageError) as error:
        ModelReference.parse(text)
    assert error.value.hint.startswith(f"did you mean {guess}?")


def test_a_lock_that_is_not_there_is_said_before_a_model_is_built(tmp_path):
    output = str(tmp_path / "no.lock")
    lines, code = lock(["nowhere:Model"], check=True, output=output, building=Building(), config=None)
    assert code == 1
    assert next(lines) == f"{output}: there is no lock yet"


def test_what_torch_converts_while_loading_is_covered():
    old = Schema.of("c.weight_g: f32[8,1]", "c.weight_v: f32[8,4]")
    new = Schema.of("c.parametrizations.weight.original0: f32[8,1]", "c.parametrizations.weight.original1: f32[8,4]")
    coverage = lint(old, new, load_rules([])).coverage
    assert coverage is not None
    assert (coverage.tensors, coverage.elements) == (2, 40)


def test_of_several_state_dicts_the_largest_is_meant(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save(
        {"small": {"a": torch.zeros(1)}, "large": {"b": torch.zeros(1), "c": torch.zeros(2)}}, tmp_path / "two.pt"
    )
    assert list(snapshot(tmp_path / "two.pt").tensors) == ["b", "c"]


def test_a_root_with_as_many_tensors_as_its_model_only_holds_it(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"best": torch.zeros(()), "model": {"w": torch.zeros(3)}}, tmp_path / "one.pt")
    assert list(snapshot(tmp_path / "one.pt").tensors) == ["w"]


def test_a_misspelt_migration_is_said_before_a_checkpoint_that_is_not_there(tmp_path):
    said = ckptlint(tmp_path, "migrate", "nope.pt", "-m", "split-qvk", "-o", "new.pt", code=2)
    assert "did you mean split-qkv?" in said.stderr


def test_nobody_is_sent_for_a_source_where_there_is_no_way_back(tmp_path):
    save_file({"a": np.arange(3.0), "b": np.arange(2.0)}, tmp_path / "old.safetensors")
    text = "ckptlint: 1\nrewrites:\n  - drop: {keys: b, reason: unused}\nrest: keep\n"
    (tmp_path / "drop.yaml").write_text(text, encoding="utf-8")
    ckptlint(tmp_path, "migrate", "old.safetensors", "-m", "drop.yaml", "-o", "new.safetensors")
    back = ("migrate", "new.safetensors", "-m", "drop.yaml", "--reverse", "-o", "back.safetensors")
    said = ckptlint(tmp_path, *back, code=1)
    assert "keep the old one" in said.stderr
    assert "give the old schema" not in said.stderr


def test_a_file_of_an_optimizer_says_what_it_is(tmp_path):
    torch = pytest.importorskip("torch")
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight], momentum=0.9)
    weight.sum().backward()
    optimizer.step()
    torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")
    said = ckptlint(tmp_path, "migrate", "optimizer.pt", "-m", "as-is", "-o", "new.pt", code=3)
    assert "the state of an optimizer (/), and no weights" in said.stderr
    (tmp_path / "keys.json").write_text('{"w": [2]}', encoding="utf-8")
    said = ckptlint(tmp_path, "lint", "optimizer.pt", "--against", "keys.json", code=1)
    assert "there is the state of an optimizer, and no state dict of weights, in this file" in said.stdout


def test_a_class_of_ones_own_is_mentioned_by_a_lint_and_warned_of_by_a_scan(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"state_dict": {"w": torch.ones(2)}, "cfg": SourceLines()}, tmp_path / "a.ckpt")
    found = {}
    for command in ("lint", "scan"):
        said = ckptlint(tmp_path, command, "a.ckpt", "--format", "json", code=None)
        findings = json.loads(said.stdout)["findings"]
        found[command] = [each["severity"] for each in findings if each["rule"] == "CKC312"]
    assert found == {"lint": ["info"], "scan": ["warning"]}


class SourceLines:
    """A class of one's own."""

    def __init__(self):
        self.lines = [1, 2]


@pytest.mark.skipif(sys.platform != "linux", reason="limits of addresses are Linux's")
@pytest.mark.parametrize("room", [48, 80, 110])
def test_too_little_memory_for_numpy_is_said_and_leaves_nothing(tmp_path, room):
    save_file({"a": np.arange(3.0)}, tmp_path / "old.safetensors")
    (tmp_path / "cast.yaml").write_text("ckptlint: 1\nrewrites:\n  - {from: a, to: b, ops: [{cast: f32}]}\n", "utf-8")
    words = ["migrate", "old.safetensors", "-m", "cast.yaml", "-o", "new.safetensors"]
    limited = (
        "import resource, sys; from ckptlint.__main__ import main; "
        f"resource.setrlimit(resource.RLIMIT_AS, ({room} << 20,) * 2); sys.argv = ['ckptlint', *{words}]; sys.exit(main())"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", limited]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert "ckptlint: " in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cast.yaml", "old.safetensors"]


def test_the_way_back_says_that_it_leaves_out_what_was_made(tmp_path):
    save_file({"a": np.zeros(3)}, tmp_path / "old.safetensors")
    body = "ckptlint: 1\nsummary: s\nrewrites:\n- new: {key: b, shape: [2], dtype: f32, fill: zeros}\nrest: keep\n"
    (tmp_path / "m.yaml").write_text(body)
    ckptlint(tmp_path, "migrate", "old.safetensors", "-m", "m.yaml", "-o", "new.safetensors")
    said = ckptlint(
        tmp_path, "migrate", "new.safetensors", "-m", "m.yaml", "--reverse", "-o", "back.safetensors"
    ).stderr
    assert "note: 1 tensor that the migration made new is left out, whatever it holds now" in said
