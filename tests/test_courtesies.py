"""Small things that users stumble over: what is not named is guessed, what fails still is a document."""

import json

import pytest
from cli import ckptlint
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
