"""Where keys are defined: by syntax alone, compared with what registers them when the model is really built."""

import ast
import os
from functools import cache
from pathlib import Path

import pytest

from ckptlint.source.where.keys import Keys
from ckptlint.source.where.library import Library, Root, texts

HERE = Path(__file__).parent
NET = """
from torch import nn
from blocks import Block as Part, make

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 3),
            nn.BatchNorm2d(8),
        )
        self.parts = nn.ModuleList(Part() for _ in range(3))
        self.tail = make(8)
        vars(self).update(hidden=1)
"""
BLOCKS = """
from torch import nn

def make(n):
    return nn.Sequential(nn.Linear(n, n),
                         nn.LayerNorm(n))

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.é, self.fc = 1, nn.Linear(8, 8)
"""
MODULES = {
    "": "net.Net",
    "stem": "torch.nn.modules.container.Sequential",
    "stem.0": "torch.nn.modules.conv.Conv2d",
    "stem.1": "torch.nn.modules.batchnorm.BatchNorm2d",
    "parts": "torch.nn.modules.container.ModuleList",
    "parts.2": "blocks.Block",
    "parts.2.fc": "torch.nn.modules.linear.Linear",
    "tail": "torch.nn.modules.container.Sequential",
    "tail.1": "torch.nn.modules.normalization.LayerNorm",
}


def keys(modules=MODULES, factory="", **files):
    library = Library([texts({"net.py": NET, "blocks.py": BLOCKS, **files})])
    return Keys(library, modules, factory)


def said(definition):
    return [(str(place), place.said) for place in definition.flow]


def test_an_entry_of_a_container_is_its_own_line():
    place = keys().definition("stem.1.weight").place
    assert (str(place), place.column, place.end_line, place.end_column) == ("net.py:10", 13, 10, 30)
    assert place.said == "Net: nn.BatchNorm2d(8),"


def test_the_way_there_leads_through_the_owners():
    assert said(keys().definition("parts.2.fc.weight")) == [
        ("net.py:12", "Net: self.parts = nn.ModuleList(Part() for _ in range(3))"),
        ("blocks.py:11", "Block: self.é, self.fc = 1, nn.Linear(8, 8)"),
    ]


def test_what_a_helper_makes_is_on_the_way_behind_the_owner():
    found = keys().definition("tail.1.weight")
    assert str(found.place) == "net.py:13"
    assert said(found)[-1] == ("blocks.py:6", "make: nn.LayerNorm(n))")


def test_what_is_not_there_has_a_neighbourhood():
    lost = keys().neighbourhood("parts.2.gone.weight")
    assert (str(lost.place), lost.sure) == ("blocks.py:9", False)
    assert str(keys().neighbourhood("parts.7.fc.weight").place) == "net.py:12"
    assert str(keys().neighbourhood("other.weight").place) == "net.py:6"


def test_what_cannot_be_read_says_nothing():
    assert keys(modules={"": "net.Net", "x": "broken.X"}, **{"broken.py": "class X(\n"}).definition("x.y") is None
    assert keys(modules={}).definition("stem.0.weight") is None
    assert keys(modules={"": "gone.Net"}).neighbourhood("a") is None


def test_a_branch_is_chosen_by_the_class_that_is_there():
    text = (
        "from torch import nn\nclass Net(nn.Module):\n    def __init__(self, a):\n        if a:\n"
        "            self.norm = nn.LayerNorm(2)\n        else:\n            self.norm = nn.RMSNorm(2)\n"
    )
    for kind, line in (("LayerNorm", 5), ("RMSNorm", 7)):
        found = keys({"": "net.Net", "norm": f"torch.nn.modules.normalization.{kind}"}, **{"net.py": text})
        assert found.definition("norm.weight").place.line == line
    unknown = keys({"": "net.Net", "norm": "torch.nn.Other"}, **{"net.py": text}).definition("norm.weight")
    assert (unknown.place.line, [place.line for place in unknown.related]) == (5, [7])


def test_only_the_files_on_the_way_are_parsed():
    library = Library([texts({"net.py": NET, "blocks.py": BLOCKS, "other.py": "import torch\n"})])
    assert Keys(library, MODULES).definition("stem.0.weight")
    assert [name for name, module in library.parsed.items() if module] == ["net"]


def _reader(path):
    return (HERE / path).read_bytes() if (HERE / path).is_file() else None


BUILDS = ("ResNet", "DenseNet", "MobileNet", "Transformer", "build_sequential", "build_changed")


@pytest.mark.torch
@pytest.mark.parametrize("name", BUILDS)
def test_every_key_is_where_it_is_registered(name):
    pytest.importorskip("torch")
    import model_zoo_code
    from where_oracle import truths, watched

    from ckptlint.source.child.describing import class_of

    with watched() as seen:
        model = getattr(model_zoo_code, name)()
    modules = {path: class_of(module) for path, module in model.named_modules(remove_duplicate=False)}
    parameters = frozenset(key for key, _ in model.named_parameters(remove_duplicate=False))
    found = Keys(Library([Root(_reader)]), modules, f"model_zoo_code.py:{name}", parameters)
    truth = dict(truths(model, seen))
    wrong = {}
    for key in model.state_dict():
        definition, line = found.definition(key), truth.get(key)
        places = [] if definition is None else [definition.place]
        if not any(os.path.basename(line.file) == each.path and _holds(each, line.line) for each in places if line):
            wrong[key] = (definition and str(definition.place), line and line.line)
    assert not wrong


@cache
def statements(path):
    tree = ast.parse((HERE / path).read_text())
    return [each for each in ast.walk(tree) if isinstance(each, ast.stmt) and not hasattr(each, "body")]


def _holds(place, line):
    """Whether a place is in the statement that begins in a line, or around it."""
    around = [each for each in statements(place.path) if each.lineno <= line <= each.end_lineno]
    return any(each.lineno <= place.line and place.end_line <= each.end_lineno for each in around)
