"""What plain objects store is shown by `inspect` and compared by `diff`, though their classes are never looked up."""

import argparse
import json
from dataclasses import dataclass

import pytest
from cli import ckptlint

torch = pytest.importorskip("torch")


@dataclass
class Config:
    """A class of one's own."""

    depth: int
    more: dict


def saved(path, **arguments):
    config = Config(arguments["depth"], {"names": ["x", "y"]})
    content = {"model": {"w": torch.ones(2)}, "args": argparse.Namespace(**arguments), "cfg": config, "epoch": 3}
    torch.save(content, path)


def test_inspect_shows_what_plain_objects_store(tmp_path):
    saved(tmp_path / "a.pt", lr=0.1, depth=4)
    said = [line.split() for line in ckptlint(tmp_path, "inspect", "a.pt").stdout.splitlines()]
    assert ["/args", "an", "object", "of", "argparse.Namespace"] in said
    assert ["/args@/lr", "0.1"] in said
    assert ["/cfg@/more/names/0", "'x'"] in said
    assert not [words for words in said if words and words[0].startswith("/model@")]


def test_diff_says_what_differs_by_path(tmp_path):
    saved(tmp_path / "a.pt", lr=0.1, depth=4)
    saved(tmp_path / "b.pt", lr=0.2, depth=4, seed=1)
    said = ckptlint(tmp_path, "diff", "a.pt", "b.pt", code=1).stdout.splitlines()
    assert said[:-1] == ["beside the tensors:", "  + /args@/seed  1", "  ~ /args@/lr  0.1 -> 0.2"]
    rest = json.loads(ckptlint(tmp_path, "diff", "a.pt", "b.pt", "--format", "json", code=1).stdout)["rest"]
    changed = {"/args@/lr": {"before": 0.1, "after": 0.2}}
    assert rest == {"removed": {}, "added": {"/args@/seed": 1}, "changed": changed}


def test_trees_with_nothing_in_common_are_told_apart_by_path(tmp_path):
    torch.save({"w": torch.ones(2), "a": {"b": 1}}, tmp_path / "a.pt")
    torch.save({"w": torch.ones(2), "c": [2, 3]}, tmp_path / "b.pt")
    said = ckptlint(tmp_path, "diff", "a.pt", "b.pt", code=1).stdout.splitlines()
    assert said[:-1] == ["beside the tensors:", "  - /a/b  1", "  + /c/0  2", "  + /c/1  3"]


def test_an_object_in_two_places_is_opened_once(tmp_path):
    config = argparse.Namespace(lr=0.1)
    config.itself = config
    torch.save({"model": {"w": torch.ones(2)}, "one": config, "two": config}, tmp_path / "a.pt")
    said = ckptlint(tmp_path, "inspect", "a.pt", "*lr").stdout
    assert said.count("@/lr") == 1
