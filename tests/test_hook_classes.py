"""`ckptlint hook` beside locks: which classes changed, told without torch, and without parsing more than must be."""

import json
import subprocess
import sys

import pytest
from cli import ROOT

from ckptlint.cli import main
from ckptlint.core.schema import Schema
from ckptlint.documents.lock import write_lock
from ckptlint.documents.lock_classes import read_classes
from ckptlint.documents.lock_reader import parse_lock
from ckptlint.source.where.fingerprints import Attribute, Fingerprint, fingerprints
from ckptlint.source.where.library import Library, texts

MODEL = """
from torch import nn
from .blocks import Block

class Net{n}(nn.Module):
    def __init__(self, d=4):
        super().__init__()
        self.body = nn.ModuleList([Block(d) for _ in range(3)])
        self.head = nn.Linear(d, {n})
"""
BLOCKS = """
from torch import nn

class Block(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.fc = nn.Linear(d, d)
        self.drop = nn.Dropout(0.1)
"""
MODULES = {
    "": "nets.model{n}.Net{n}",
    "body": "torch.nn.modules.container.ModuleList",
    **{f"body.{i}": "nets.blocks.Block" for i in range(3)},
    **{f"body.{i}.fc": "torch.nn.modules.linear.Linear" for i in range(3)},
    **{f"body.{i}.drop": "torch.nn.modules.dropout.Dropout" for i in range(3)},
    "head": "torch.nn.modules.linear.Linear",
}


def schema(n, files):
    keys = [f"body.{i}.fc.weight: f32[4,4]" for i in range(3)] + [f"head.weight: f32[{n},4]"]
    modules = {path: name.format(n=n) for path, name in MODULES.items()}
    plain = Schema.of(*keys, modules=modules)
    return Schema.of(*keys, modules=modules, classes=fingerprints(plain, Library([texts(files)])))


def made(folder):
    """Write a hundred models of one file each, with their locks."""
    files = {f"nets/model{n}.py": MODEL.format(n=n) for n in range(1, 101)} | {"nets/blocks.py": BLOCKS}
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    for n in range(1, 101):
        lock = folder / f"ckpt/net{n}/schema.lock"
        lock.parent.mkdir(parents=True)
        lock.write_text(write_lock(schema(n, files), model=f"net{n}"))


@pytest.fixture
def project(tmp_path, monkeypatch):
    made(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def hook(capsys, *arguments):
    code = main(["hook", *arguments, "--format", "json"])
    found = json.loads(capsys.readouterr().out)["findings"]
    return code, [(each["rule"], each["path"], each["line"], each["message"]) for each in found]


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_what_did_not_change_is_silent(project, capsys):
    assert hook(capsys, "nets") == (0, [])
    change(project / "nets/blocks.py", "0.1", "0.2")
    assert hook(capsys, "nets/blocks.py") == (0, [])


def test_a_renamed_attribute_is_seen_at_its_class(project, capsys):
    change(project / "nets/blocks.py", "self.fc =", "self.linear =")
    code, found = hook(capsys, "nets/blocks.py")
    assert code == 1
    assert [each[:3] for each in found] == [("CKS101", "nets/blocks.py", 5), ("CKS102", "nets/blocks.py", 7)]
    assert found[0][3].startswith("Block.fc is gone")


def test_a_file_of_the_same_name_elsewhere_is_nobodys_business(project, capsys):
    (project / "other").mkdir()
    (project / "other/blocks.py").write_text(BLOCKS.replace("self.fc", "self.linear"))
    assert hook(capsys, "other/blocks.py") == (0, [])


def test_a_new_child_of_a_class_without_parameters_is_silent(project, capsys):
    (project / "nets/quiet.py").write_text("from torch import nn\nclass Quiet(nn.Module):\n    pass\n")
    change(project / "nets/model7.py", "        self.head", "        self.quiet = Quiet()\n        self.head")
    change(project / "nets/model7.py", "from .blocks", "from .quiet import Quiet\nfrom .blocks")
    assert hook(capsys, "nets/model7.py") == (0, [])


def test_only_the_staged_file_is_parsed_and_nothing_heavy_is_imported(project):
    change(project / "nets/blocks.py", "self.fc =", "self.linear =")
    script = (
        "import ast, sys\nparse, seen = ast.parse, []\n"
        "ast.parse = lambda *given, **named: seen.append(1) or parse(*given, **named)\n"
        "from ckptlint.cli import main\ncode = main(['hook', 'nets/blocks.py'])\n"
        "heavy = {'torch', 'libcst', 'yaml', 'numpy', 'rich'} & sys.modules.keys()\n"
        "print(code, len(seen), sorted(heavy), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT)}
    )
    assert done.stderr.splitlines()[-1] == "1 1 []"


def test_fingerprints_are_read_as_they_are_written():
    one = Fingerprint((Attribute("fc", "Linear", "012345"), Attribute("drop", "", "abcdef", free=True)), ("nn.Module",))
    for each in (one, Fingerprint((), ()), Fingerprint((), ("a.B", "c.D")), Fingerprint(one.attributes, ())):
        assert Fingerprint.parse(str(each)) == each


def test_a_lock_keeps_them_outside_of_its_digest():
    files = {"nets/model1.py": MODEL.format(n=1), "nets/blocks.py": BLOCKS}
    text = write_lock(schema(1, files), model="net")
    read = parse_lock(text, "x").schema
    assert read_classes(text) == dict(read.classes) == dict(schema(1, files).classes)
    assert list(read.classes) == ["nets.blocks.Block", "nets.model1.Net1"]
    assert read.classes["nets.blocks.Block"].startswith("fc=Linear:")
    assert ";-drop=Dropout:" in read.classes["nets.blocks.Block"]
    without = write_lock(Schema.of(*read.lines(), modules=read.modules), model="net")
    assert next(line for line in without.splitlines() if line.startswith("digest")) in text
    assert read_classes(without) == {}


@pytest.mark.parametrize("text", ["qkv", "=", ": :", "a=b", "-=:", "a=b:c d"])
def test_what_is_no_fingerprint_says_something_or_nothing(text):
    Fingerprint.parse(text)


CONDITIONAL = """
from torch import nn

class Net(nn.Module):
    def __init__(self, d=4, cross=False, norm_layer=nn.LayerNorm, depth=2):
        super().__init__()
        self.norm = norm_layer(d)
        if cross:
            self.norm_kv = norm_layer(d)
            self.kv = nn.Linear(d, d)
        for _ in range(depth):
            self.layers.append(nn.Linear(d, d))
"""


def conditional(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "ckpt/net").mkdir(parents=True)
    (folder / "net.py").write_text(CONDITIONAL)
    modules = {
        "": "net.Net",
        "norm": "torch.nn.LayerNorm",
        "layers": "torch.nn.ModuleList",
        "layers.0": "torch.nn.Linear",
    }
    plain = Schema.of("norm.weight: f32[4]", "layers.0.weight: f32[4,4]", modules=modules)
    known = Schema(
        plain.tensors, modules=modules, classes=fingerprints(plain, Library([texts({"net.py": CONDITIONAL})]))
    )
    (folder / "ckpt/net/schema.lock").write_text(write_lock(known, model="net"))


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("", "", []),
        ("self.kv = nn.Linear(d, d)", "self.kv = nn.Linear(d, 2 * d)", []),  # the model of the lock has none
        ("            self.kv = nn.Linear(d, d)\n", "", []),
        ("        if cross:", "        if cross or d > 4:", ["CKS103", "CKS103"]),
        ("range(depth)", "range(depth + 1)", ["CKS103"]),
        ("        self.norm = norm", "        if cross:\n            self.norm = norm", ["CKS103"]),
    ],
)
def test_what_another_configuration_registers(tmp_path, monkeypatch, capsys, old, new, found):
    conditional(tmp_path, monkeypatch)
    (tmp_path / "net.py").write_text(CONDITIONAL.replace(old, new) if old else CONDITIONAL)
    assert [rule for rule, *_ in hook(capsys, "net.py")[1]] == found


def test_a_package_does_not_own_the_classes_of_its_modules(project, capsys):
    for path in ("nets/__init__.py", "nets/sub/__init__.py"):
        (project / path).parent.mkdir(exist_ok=True)
        (project / path).write_text("")
    assert hook(capsys, "nets")[1] == []


def test_a_class_that_moved_is_told_at_its_import(project, capsys):
    blocks = (project / "nets/blocks.py").read_text()
    (project / "nets/parts.py").write_text(blocks)
    (project / "nets/blocks.py").write_text("import torch\nfrom .parts import Block\n")
    found = hook(capsys, "nets/blocks.py")[1]
    assert [each[:3] for each in found] == [("CKS105", "nets/blocks.py", 2)]
    assert "imported from nets.parts now" in found[0][3]


def test_containers_of_what_has_no_parameters_have_none(project, capsys):
    path = project / "nets/blocks.py"
    change(path, "        self.drop", "        self.act = nn.Sequential(nn.ReLU(), nn.Dropout(0.1))\n        self.drop")
    assert hook(capsys, "nets/blocks.py")[1] == []
    change(path, "nn.Sequential(nn.ReLU(), ", "nn.Sequential(nn.Linear(d, d), ")
    assert [each[0] for each in hook(capsys, "nets/blocks.py")[1]] == ["CKS102"]


def test_names_that_are_computed_now_are_made_otherwise_and_not_gone(project, capsys):
    change(
        project / "nets/blocks.py",
        "        self.fc = nn.Linear(d, d)\n",
        "        for n in range(1):\n            setattr(self, f'fc{n or str()}', nn.Linear(d, d))\n",
    )
    assert [each[0] for each in hook(capsys, "nets/blocks.py")[1]] == ["CKS103"]


def test_a_buffer_that_is_no_longer_saved_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ckpt/net").mkdir(parents=True)
    text = CONDITIONAL + "        self.register_buffer('scale', torch.ones(1), persistent=True)\n"
    modules = {"": "net.Net"}
    plain = Schema.of("scale: f32[1]", modules=modules)
    known = Schema(plain.tensors, modules=modules, classes=fingerprints(plain, Library([texts({"net.py": text})])))
    (tmp_path / "ckpt/net/schema.lock").write_text(write_lock(known, model="net"))
    (tmp_path / "net.py").write_text(text)
    assert hook(capsys, "net.py")[1] == []
    (tmp_path / "net.py").write_text(text.replace("persistent=True", "persistent=False"))
    assert [each[0] for each in hook(capsys, "net.py")[1]] == ["CKS103"]
