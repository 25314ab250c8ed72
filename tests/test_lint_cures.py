"""`lint` names the shipped migration that would fix a finding, after proving it; and `migrations` lists and shows them."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from ckptlint.cli import main
from ckptlint.core.schema import Schema
from ckptlint.documents.shipped import candidates, folder, index_of, library


@pytest.fixture
def ckptlint(capsys):
    """Run a command in this process: its exit code, and what it says."""

    def run(*arguments):
        code = main(arguments)
        said = capsys.readouterr()
        return SimpleNamespace(code=code, out=said.out, err=said.err)

    return run


@pytest.fixture
def linted(ckptlint, tmp_path, monkeypatch):
    def lint(source, target):
        monkeypatch.chdir(tmp_path)
        Path("old.json").write_text(json.dumps(source))
        Path("new.json").write_text(json.dumps(target))
        return ckptlint("lint", "old.json", "--against", "new.json")

    return lint


QKV = {"blocks.0.attn.qkv.weight": "f32[12,4]", "head.weight": "f32[3,4]"}
SPLIT = {**{f"blocks.0.attn.{x}.weight": "f32[4,4]" for x in "qkv"}, "head.weight": "f32[3,4]"}


def test_the_one_that_fits_is_named(linted):
    result = linted(QKV, SPLIT)
    assert result.code == 1
    assert "cure: ckptlint migrate old.json -m split-qkv -o old-migrated.pt" in result.out


def test_one_that_follows_another_is_named_with_it(linted):
    wrapped = {f"module.{key}": spec for key, spec in QKV.items()}
    assert "-m strip-wrappers -m split-qkv -o old-migrated.pt" in linted(wrapped, SPLIT).out


def test_what_does_not_make_it_fit_is_not_named(linted):
    other = {**SPLIT, "head.weight": "f32[5,4]"}
    assert "-m split-qkv" not in linted(QKV, other).out
    assert "-m " not in linted(QKV, QKV).out


def test_the_index_is_in_step_and_says_which_keys_are_meant():
    place = folder("migrations")
    assert (place / "index.json").read_text(encoding="utf-8") == index_of(place), "run python docs/generate.py"
    assert [each.name for each in library()] == sorted(path.stem for path in place.glob("*.yaml"))
    assert "split-qkv" in candidates(Schema.of("a.qkv.weight: f32[1]").tensors)
    assert "split-qkv" not in candidates(["encoder.weight"])


def test_migrations_are_listed_and_shown(ckptlint):
    listed = ckptlint("migrations")
    assert listed.code == 0
    assert [line.split()[0] for line in listed.out.splitlines()] == [each.name for each in library()]
    assert ckptlint("migrations", "--list").out == listed.out
    shown = ckptlint("migrations", "--show", "split-qkv")
    assert shown.out == (folder("migrations") / "split-qkv.yaml").read_text(encoding="utf-8")
    entry = json.loads(ckptlint("migrations", "--show", "split-qkv", "--format", "json").out)
    assert entry["name"] == "split-qkv"
    assert len(json.loads(ckptlint("migrations", "--format", "json").out)["migrations"]) == len(library())


@pytest.mark.parametrize("arguments", [("migrations", "--show", "split-qvk"), ("prove", "split-qvk")])
def test_a_name_that_is_not_there_is_guessed(arguments, ckptlint):
    result = ckptlint(*arguments)
    assert result.code == 2
    assert "did you mean split-qkv?" in result.err
