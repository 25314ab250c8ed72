"""A toy repository from the day it adopts ckptlint: every step with the hook, the gate and the files, and their exit codes.

Models are built and files written by torch, git is git, and each step is a command with its exit code. A model is built in a
process of its own where the step is about that; else its lock is written of the class as this process has it.
"""

import json
import shutil

import pytest
from repositories import alone, commit, git, repository

from ckptlint.cli import main
from ckptlint.commands.live import live_schema
from ckptlint.commands.locating import with_classes
from ckptlint.documents.lock import write_lock

torch = pytest.importorskip("torch")

NET = """
from torch import nn


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 8)


class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.embed = nn.Embedding(6, width)
        self.layers = nn.ModuleList(Block(width) for _ in range(2))
        self.head = nn.Linear(width, 3)
"""
LOADER = """
import torch


def load(path, model):
    model.load_state_dict(torch.load(path, weights_only=True))
"""


class Project:
    """The work tree, and what is run in it."""

    def __init__(self, folder, capsys):
        self.folder, self.capsys = folder, capsys

    def ckptlint(self, *arguments, code=0):
        self.capsys.readouterr()
        got = main([str(each) for each in arguments])
        said = self.capsys.readouterr()
        assert got == code, f"{arguments}: {got}\n{said.out}{said.err}"
        return said.out

    def edit(self, old, new, name="net.py"):
        path = self.folder / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def gate(self, code, *, against="HEAD"):
        """The codes that the gate says, against a revision of git."""
        said = self.ckptlint("check", "ckpt/net", "--against", against, "--format", "json", code=code)
        return [each["rule"] for each in json.loads(said)["findings"]]

    def hooks(self, code):
        """The codes that the hook says of the class and of the code that loads."""
        said = self.ckptlint("hook", "net.py", "load.py", "--format", "json", code=code)
        return [each["rule"] for each in json.loads(said)["findings"]]

    def lock(self, name="ckpt/net/schema.lock"):
        """Write the lock of today's class."""
        schema = with_classes(live_schema(self.net()), "net.py:Net", self.folder)
        (self.folder / name).write_text(
            write_lock(schema, model="net", factory="net.py:Net", refresh="ckptlint lock net")
        )

    def make(self, *arguments, code=0):
        """The next migration, from the lock to today's class; then the lock too."""
        self.lock("new.lock")
        chain = ("--chain", "ckpt/net", "--from", "HEAD", "--no-input")
        said = self.ckptlint("make", "ckpt/net/schema.lock", "new.lock", *chain, *arguments, code=code)
        if not code:
            shutil.move("new.lock", "ckpt/net/schema.lock")
        return said

    def net(self):
        """Today's class, with random weights."""
        found = {"__name__": "net"}
        exec((self.folder / "net.py").read_text(), found)
        return found["Net"]()

    def save(self, name):
        torch.save({"model": self.net().state_dict(), "epoch": 3}, self.folder / name)

    def fits(self, name):
        """Today's class loads a file strictly."""
        self.net().load_state_dict(torch.load(self.folder / name, weights_only=True)["model"])

    def migrations(self):
        """The files of the chain, in order."""
        return sorted((self.folder / "ckpt/net").glob("*.yaml"))

    def answers(self, **said):
        (self.folder / "answers.json").write_text(json.dumps(said))
        return ["--answers", "answers.json"]


@pytest.fixture
def project(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    alone(monkeypatch)
    made = Project(tmp_path, capsys)
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "load.py").write_text(LOADER)
    (tmp_path / ".gitignore").write_text("*.pt\n*.undo\n__pycache__\nanswers.json\nnew.lock\n")
    repository()
    commit()
    return made


def same(one, other):
    """Equal trees, key order and tensors."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        for key, value in one.items():
            same(value, other[key])
    elif isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype
        assert one.stride() == other.stride()
        assert torch.equal(one, other)
    else:
        assert one == other


def test_a_history(project):
    adopt(project)
    rename(project)
    split(project)
    resize(project)
    branches(project)
    squash(project)
    there_and_back(project)


def adopt(project):
    project.ckptlint("init")
    project.save("v0.pt")
    project.ckptlint("init", code=2)  # once is enough
    assert project.gate(0) == []  # HEAD has no lock: this is the adoption
    assert project.hooks(0) == []
    commit()
    assert project.gate(0) == []


def rename(project):
    """An attribute: the source shows it, and nothing is asked."""
    project.edit("self.norm = ", "self.ln = ")
    assert project.hooks(1) == ["CKS101", "CKS102"]
    assert project.gate(1) == ["CKS101", "CKS102"]  # the class left the lock behind
    project.lock()
    assert project.hooks(0) == []
    assert project.gate(1)[0] == "CKB101"
    project.ckptlint("make", "--no-input")
    assert project.gate(0) == []
    commit()
    assert project.gate(0, against="HEAD~1") == []
    project.ckptlint("migrate", "v0.pt", "--chain", "ckpt/net", "-o", "v0_1.pt")
    project.fits("v0_1.pt")
    project.save("v1.pt")


def split(project):
    """A module becomes two: it is asked, and the answer is in the file."""
    old, half = "self.up = nn.Linear(width, 8)", "nn.Linear(width, 4)"
    project.edit(old, f"self.gate = {half}\n        self.up = {half}")
    assert project.hooks(1) == ["CKS102", "CKS103"]
    said = json.loads(project.make(code=5))
    assert {each["kind"] for each in said["questions"]} == {"join"}
    assert len(project.migrations()) == 1
    assert project.hooks(1) == ["CKS102", "CKS103"]  # nothing is written
    project.make(*project.answers(accept=[each["about"] for each in said["questions"]]))
    assert project.hooks(0) == []
    assert project.gate(0) == []
    commit()
    project.ckptlint("migrate", "v1.pt", "--chain", "ckpt/net", "-o", "v1_2.pt")
    project.fits("v1_2.pt")
    project.save("v2.pt")


def resize(project):
    """A head of other classes: the old one is dropped with a reason, never unasked."""
    project.edit("self.head = nn.Linear(width, 3)", "self.head = nn.Linear(width, 5)")
    assert project.hooks(1) == ["CKS103"]
    project.make(code=5)
    project.make(*project.answers(drop={"head": "other classes"}, new={"head": "zeros"}))
    assert "other classes" in project.migrations()[2].read_text()
    assert project.gate(0) == []
    commit()
    project.ckptlint("migrate", "v2.pt", "--chain", "ckpt/net", "-o", "v2_3.pt")
    project.fits("v2_3.pt")
    project.save("v3.pt")


def branches(project):
    """Two branches that both migrate: git stops at the sum, the lock is merged by its driver, and one goes behind the other with proof."""
    git("checkout", "-q", "-b", "tokens")
    project.edit("self.embed = ", "self.tokens = ")
    project.make()
    commit()
    git("checkout", "-q", "main")
    project.edit("self.head = ", "self.out = ")
    project.make()
    commit()
    project.save("v4.pt")
    git("checkout", "-q", "tokens")
    git("merge", "-q", "main", code=1)
    assert git("diff", "--name-only", "--diff-filter=U").split() == ["ckpt/net/chain.sum"]
    project.ckptlint("lock", "--check")  # the driver made the lock that the merged class gives
    assert project.hooks(0) == []
    project.ckptlint("check", "ckpt/net", code=1)
    assert "proved" in project.ckptlint("rebase", "ckpt/net", "--against", "main")
    assert project.gate(0, against="main") == []
    commit()
    git("checkout", "-q", "main")
    git("merge", "-q", "tokens")  # a fast-forward to the merge, whose second parent was main
    assert project.gate(0, against="HEAD^2") == []
    assert len(project.ckptlint("log", "ckpt/net").splitlines()) == 5
    project.save("v5.pt")


def squash(project):
    project.ckptlint("squash", "ckpt/net", "1..2")
    assert project.gate(0) == []
    commit()
    assert project.gate(0, against="HEAD~1") == []
    assert len(project.migrations()) == 4
    assert project.gate(0, against="HEAD^^2") == []  # from before the branches were merged, too


def there_and_back(project):
    """A file of every revision goes to the head, again as a no-op, and back: the same tree, order of keys and tensors."""
    for version in range(6):
        name = f"v{version}.pt"
        at = json.loads(project.ckptlint("current", name, "--chain", "ckpt/net", "--format", "json"))["revision"]
        assert at == "base" if version == 0 else at.startswith(f"000{version}-")
        lossy = version < 3  # the head was resized behind it
        kept = ["--undo-file", "new.undo"] if lossy else []
        if version < 5:
            project.ckptlint("migrate", name, "--chain", "ckpt/net", "-o", "new.pt", *kept)
        else:
            shutil.copy(project.folder / name, project.folder / "new.pt")
        project.fits("new.pt")
        said = project.ckptlint("migrate", "new.pt", "--chain", "ckpt/net", "-o", "again.pt")
        assert "stands at" in said
        assert not (project.folder / "again.pt").exists()
        if version < 5:
            project.ckptlint("migrate", "new.pt", "--chain", "ckpt/net", "--to", at, "-o", "back.pt", *kept)
            loaded = [torch.load(project.folder / each, weights_only=True) for each in (name, "back.pt")]
            same(*loaded)
        for left in ("new.pt", "back.pt", "new.undo"):
            (project.folder / left).unlink(missing_ok=True)
