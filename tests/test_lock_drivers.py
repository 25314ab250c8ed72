"""`drivers`, `lock-merge`, `lock-diff` as git calls them, a gate in a shallow clone, and `init` where there is little to find."""

import json
import os
from pathlib import Path

import pytest
from repositories import alone, commit, git, repository

from ckptlint.cli import main
from ckptlint.documents.lock import write_lock
from ckptlint.documents.schema_json import read_schema_json

FIRST = {f"layers.{i}.up.weight": [16, 8] for i in range(3)} | {"embed.weight": [50, 8], "head.weight": [7, 8]}
LOCK = Path("ckpt/schema.lock")


def text(shapes):
    return write_lock(read_schema_json(json.dumps(shapes), "x.json"), model="toy")


def commit_lock(shapes):
    LOCK.parent.mkdir(exist_ok=True)
    LOCK.write_text(text(shapes))
    commit()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder outside of git."""
    monkeypatch.chdir(tmp_path)
    alone(monkeypatch)
    return tmp_path


@pytest.fixture
def repo(folder):
    """A repository whose clone has the drivers."""
    repository()
    assert main(["drivers"]) == 0
    commit()
    return folder


def fork(base, ours, theirs):
    """Two branches of one lock; the first is checked out."""
    commit_lock(base)
    git("checkout", "-q", "-b", "theirs")
    commit_lock(theirs)
    git("checkout", "-q", "main")
    commit_lock(ours)


def test_drivers_need_a_repository_and_keep_what_is_there(folder, capsys):
    assert main(["drivers"]) == 2
    assert "is in no git repository" in capsys.readouterr().err
    repository()
    Path(".gitattributes").write_bytes(b"*.png binary")
    for _ in range(2):
        assert main(["drivers"]) == 0
    assert Path(".gitattributes").read_text() == "*.png binary\nschema.lock merge=ckptlint diff=ckptlint\n"
    assert git("config", "merge.ckptlint.driver").rstrip().endswith("-m ckptlint lock-merge %O %A %B")


def test_branches_that_change_neighbouring_keys_merge(repo):
    ours = {key.replace("embed", "tokens"): shape for key, shape in FIRST.items()}
    theirs = FIRST | {"head.weight": [9, 8], "head.bias": [9]}
    fork(FIRST, ours, theirs)
    git("merge", "-q", "theirs")
    both = {key.replace("embed", "tokens"): shape for key, shape in theirs.items()}
    assert LOCK.read_text() == text(both)


def test_branches_that_change_one_key_conflict_and_ours_stays_whole(repo):
    ours, theirs = FIRST | {"head.weight": [9, 8]}, FIRST | {"head.weight": [11, 8]}
    fork(FIRST, ours, theirs)
    assert "CONFLICT" in git("merge", "theirs", code=1)
    assert git("diff", "--name-only", "--diff-filter=U").split() == [str(LOCK)]
    assert LOCK.read_text() == text(ours)
    git("diff")
    Path(LOCK).write_text(text(theirs))
    commit()


def test_branches_that_adopt_different_models_conflict(repo):
    git("checkout", "-q", "-b", "theirs")
    commit_lock(FIRST)
    git("checkout", "-q", "main")
    commit_lock(FIRST | {"extra.weight": [2]})
    assert "both branches changed" in git("merge", "theirs", code=1)  # there is no base to say who changed what
    assert LOCK.read_text() == text(FIRST | {"extra.weight": [2]})


def test_what_is_no_lock_conflicts(repo):
    fork(FIRST, FIRST | {"head.weight": [9, 8]}, FIRST | {"head.weight": [11, 8]})
    git("checkout", "-q", "theirs")
    LOCK.write_text("<<<<<<< HEAD\n")
    commit()
    git("checkout", "-q", "main")
    git("merge", "theirs", code=1)
    assert LOCK.read_text() == text(FIRST | {"head.weight": [9, 8]})


def test_git_shows_locks_by_pattern(repo):
    commit_lock(FIRST)
    LOCK.write_text(text({key.replace("up", "fc"): shape for key, shape in FIRST.items()}))
    said = git("diff").splitlines()
    assert said[:2] == [f"--- a/{LOCK}", f"+++ b/{LOCK}"]
    assert [line.split()[1] for line in said if line[0] in "-+" and line[1] == " "] == [
        "layers.{0..2}.up.weight",
        "layers.{0..2}.fc.weight",
    ]
    git("mv", str(LOCK), "ckpt/other.lock")  # moved to where the driver is not asked
    git("reset", "-q", "--hard")
    added = git("log", "-p", "--ext-diff", "--format=", "--", str(LOCK))
    assert "+ layers.{0..2}.up.weight" in added
    LOCK.unlink()
    assert "- layers.{0..2}.up.weight" in git("diff")


def test_a_lock_that_cannot_be_read_does_not_stop_git(repo):
    Path("zzz.txt").write_text("old\n")
    commit_lock(FIRST)
    LOCK.write_text("<<<<<<< ours\n" + text(FIRST))
    Path("zzz.txt").write_text("new\n")
    said = git("diff")
    assert "+<<<<<<< ours" in said
    assert "+new" in said


def test_the_gate_in_a_shallow_clone(repo, monkeypatch, capsys):
    commit_lock(FIRST)
    git("checkout", "-q", "-b", "change")
    commit_lock(FIRST | {"head.weight": [9, 8]})
    git("clone", "-q", "--depth=1", "-b", "change", repo.as_uri(), "clone")
    monkeypatch.chdir(repo / "clone")
    assert git("rev-list", "--count", "HEAD").strip() == "1"
    assert main(["check", "ckpt", "--against", "HEAD~1"]) == 2
    assert "git fetch --unshallow" in capsys.readouterr().err
    assert main(["check", "ckpt", "--against", "origin/main"]) == 2
    cure = capsys.readouterr().err.partition("git fetch ")[2].split()
    git("fetch", "-q", *cure)
    assert main(["check", "ckpt", "--against", "origin/main"]) == 1
    assert "CKB101" in capsys.readouterr().out
    assert git("rev-parse", "--is-shallow-repository").strip() == "true"


def test_a_sum_that_is_deleted_is_found(repo, capsys):
    commit_lock(FIRST)
    second = {key.replace("embed", "tokens"): shape for key, shape in FIRST.items()}
    Path("new.lock").write_text(text(second))
    assert main(["make", str(LOCK), "new.lock", "--chain", "ckpt"]) == 0
    Path("new.lock").replace(LOCK)
    commit()
    assert main(["check", "ckpt", "--against", "HEAD"]) == 0
    Path("ckpt/chain.sum").unlink()
    assert main(["check", "ckpt"]) == 0  # who has no base cannot know of it
    capsys.readouterr()
    assert main(["check", "ckpt", "--against", "HEAD"]) == 1
    assert capsys.readouterr().out.startswith("ckpt/chain.sum: error[CKG106 ")
    assert main(["check", "ckpt", "--against", "HEAD~1"]) == 0  # where there was none yet
    assert main(["seal", "ckpt"]) == 0
    assert main(["check", "ckpt", "--against", "HEAD"]) == 0


def test_init_where_nothing_can_be_built(folder, capsys):
    Path("plain.py").write_text("class Module:\n    pass\n")
    assert main(["init"]) == 2
    assert "no class that inherits from nn.Module" in capsys.readouterr().err
    Path("net.py").write_text(
        "import nothing_of_this_name\nfrom torch import nn\n\n\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n\n\n"
        "class Wide(nn.Module):\n    def __init__(self, width):\n        super().__init__()\n"
    )
    assert main(["init"]) == 3
    said = capsys.readouterr().out
    assert "net: net.py:Net is left out" in said
    assert "needs width" in said
    assert {*os.listdir()} - {"__pycache__"} == {"net.py", "plain.py"}


def test_init_writes_beside_what_is_there(repo, capsys):
    pytest.importorskip("torch")
    Path("pyproject.toml").write_text('[project]\nname = "x"')
    Path("net.py").write_text(
        "from torch import nn\n\n\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.fc = nn.Linear(2, 3)\n\n\n"
        "class Wide(nn.Module):\n    def __init__(self, width):\n        super().__init__()\n"
    )
    assert main(["init"]) == 0
    written = Path("pyproject.toml").read_text()
    assert written.startswith('[project]\nname = "x"\n\n[tool.ckptlint.models.net]\nfactory = "net.py:Net"\n')
    assert '# [tool.ckptlint.models.wide]\n# factory = "net.py:Wide"\n' in written
    assert "fc.weight  P f32[3,2]" in Path("ckpt/net/schema.lock").read_text()
    assert main(["init"]) == 2
    assert "configures models already" in capsys.readouterr().err
