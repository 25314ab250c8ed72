"""`ckptlint check` over the history of a toy repository, each step with its exit code and rule."""

import json
from pathlib import Path

import pytest
from repositories import commit, git, repository

from ckptlint.cli import main
from ckptlint.documents.lock import write_lock
from ckptlint.documents.schema_json import read_schema_json

FIRST = {f"layers.{i}.mlp.up.weight": [16, 8] for i in range(3)} | {"embed.weight": [50, 8]}
SECOND = {key.replace(".mlp.", ".ffn."): shape for key, shape in FIRST.items()}
THIRD = {key.replace("embed.", "tokens."): shape for key, shape in SECOND.items()}


def lock(shapes, name="ckpt/schema.lock"):
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text(write_lock(read_schema_json(json.dumps(shapes), "x.json"), model="toy"))


@pytest.fixture
def check(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    repository()

    def run(*more, code):
        capsys.readouterr()
        got = main(["check", "ckpt", "--format", "json", *more])
        said = capsys.readouterr()
        assert got == code, said.out + said.err
        return [finding["rule"] for finding in json.loads(said.out)["findings"]] if code < 2 else said.err

    return run


def change(old, new):
    lock(old, "old.lock")
    lock(new)
    assert main(["make", "old.lock", "ckpt/schema.lock", "--chain", "ckpt"]) == 0
    Path("old.lock").unlink()


def test_a_history_from_adoption_to_a_rewritten_migration(check):
    git("commit", "-q", "--allow-empty", "-m", "before")
    lock(FIRST)
    assert check("--against", "HEAD", code=0) == []  # adoption
    commit()
    assert check("--against", "HEAD", code=0) == []
    lock(SECOND)
    assert check("--against", "HEAD", code=1)[0] == "CKB101"  # no migration yet
    change(FIRST, SECOND)
    assert check("--against", "HEAD", code=0) == []
    commit()
    lock(THIRD)
    assert check("--against", "HEAD", code=1)[:2] == ["CKG103", "CKB101"]
    change(SECOND, THIRD)
    assert check("--against", "HEAD", code=0) == []
    assert check("--against", "HEAD~1", code=0) == []  # both migrations are new there
    first = next(Path("ckpt").glob("0001_*"))
    text = first.read_text()
    first.write_text(text.replace(".ffn.", ".FFN."))
    assert check("--against", "HEAD", code=1) == ["CKM134"]  # the second follows what is no more
    first.write_text(text)
    next(Path("ckpt").glob("0002_*")).unlink()
    lock(SECOND)
    first.write_text(text + "optimizer: reset\n")
    assert check("--against", "HEAD", code=1) == ["CKG102", "CKG106"]
    first.unlink()
    assert check("--against", "HEAD", code=1) == ["CKG102", "CKG106"]


def test_two_branches_that_both_migrate_are_two_heads(check):
    change(FIRST, SECOND)
    one = next(Path("ckpt").glob("0001_*"))
    Path("ckpt/0001_other.yaml").write_text(one.read_text().replace("rest: keep", "rest: keep\noptimizer: reset"))
    assert check(code=1) == ["CKM134"]


def test_links_whose_digests_do_not_meet_and_files_under_a_wrong_number(check):
    change(FIRST, SECOND)
    change(SECOND, THIRD)
    second = next(Path("ckpt").glob("0002_*"))
    made = json.loads(json.dumps(second.read_text()))
    place = made.index('from: "k1:') + len('from: "k1:')
    second.write_text(made[:place] + ("0" if made[place] != "0" else "1") + made[place + 1 :])
    second.rename("ckpt/0007_moved.yaml")
    assert sorted(check(code=1)) == ["CKG101", "CKG105", "CKG106"]


def test_a_base_from_a_file(check):
    change(FIRST, SECOND)
    lock(FIRST, "base/schema.lock")
    assert check("--base", "base/schema.lock", code=0) == []
    lock({"other": [1]}, "base/schema.lock")
    assert check("--base", "base/schema.lock", code=1) == ["CKG104"]


def test_what_git_does_not_know_is_bad_use(check):
    lock(FIRST)
    commit()
    assert "git knows no revision" in check("--against", "nowhere", code=2)
    assert "no revision" in check("--against", "--output=x", code=2)
    check("--against", "HEAD", "--base", "x", code=2)
    check("--lock", "gone.lock", code=2)
