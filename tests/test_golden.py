"""Golden fixtures: recorded, brought to the head by `check`, and each way in which one is wrong with its code and cure."""

import json
import shutil
from pathlib import Path

import pytest

from ckptlint.cli import main
from ckptlint.documents.lock import write_lock, write_locks
from ckptlint.documents.schema_json import read_schema_json

np = pytest.importorskip("numpy")
safetensors = pytest.importorskip("safetensors.numpy")

FIRST = {"layers.0.up.weight": [4, 3], "layers.1.up.weight": [4, 3], "embed.weight": [5, 3]}
SECOND = {key.replace(".up.", ".ffn."): shape for key, shape in FIRST.items()}
THIRD = {key.replace("embed.", "tokens."): shape for key, shape in SECOND.items()}


def schema(shapes):
    return read_schema_json(json.dumps(shapes), "x.json")


def lock(shapes, path="ckpt/schema.lock"):
    Path(path).write_text(write_lock(schema(shapes), model="toy"))


def save(shapes, path):
    safetensors.save_file({key: np.full(shape, 0.5, "float32") for key, shape in shapes.items()}, path)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("golden")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("ckpt/golden").mkdir(parents=True)
        for before, after in ((FIRST, SECOND), (SECOND, THIRD)):
            lock(before, "old.lock")
            lock(after)
            assert main(["make", "old.lock", "ckpt/schema.lock", "--chain", "ckpt"]) == 0
        save(FIRST, "ckpt/golden/first.safetensors")
        save(THIRD, "ckpt/golden/third.safetensors")
        lock(SECOND, "ckpt/golden/second.lock")
        assert main(["golden", "ckpt"]) == 0
    return folder


@pytest.fixture
def run(made, tmp_path, monkeypatch, capsys):
    shutil.copytree(made, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")

    def command(*arguments, code=0):
        capsys.readouterr()
        got = main(list(arguments))
        said = capsys.readouterr()
        assert got == code, said.out + said.err
        return said.out if code < 2 else said.err

    return command


def found(run, *more, code=1):
    said = json.loads(run("check", "ckpt", "--format", "json", *more, code=code))
    return [(each["rule"], each["where"], each["message"]) for each in said["findings"]]


def test_all_get_to_the_head_and_nothing_is_left_behind(run):
    before = sorted(Path().rglob("*"))
    assert found(run, code=0) == []
    assert "the chain is whole, and 3 golden files with it" in run("check", "ckpt")
    assert sorted(Path().rglob("*")) == before
    assert Path("ckpt/golden.sum").read_text().splitlines()[1:] == [
        line for line in Path("ckpt/golden.sum").read_text().splitlines() if line.startswith("golden/")
    ]
    text = Path("ckpt/golden.sum").read_bytes()
    run("golden", "ckpt")
    assert Path("ckpt/golden.sum").read_bytes() == text


def test_what_is_gone_changed_or_cut_short_is_found_at_its_line(run):
    first, second = Path("ckpt/golden/first.safetensors"), Path("ckpt/golden/second.lock")
    whole = first.read_bytes()
    first.write_bytes(whole[:-1] + b"\x00\x01")
    assert found(run) == [("CKG108", "ckpt/golden.sum:2", "golden/first.safetensors: is not what was recorded")]
    first.unlink()
    second.unlink()
    assert [each[:2] for each in found(run)] == [("CKG108", "ckpt/golden.sum:2"), ("CKG108", "ckpt/golden.sum:3")]
    first.write_bytes(whole[:200])
    run("golden", "ckpt", code=1)
    Path("ckpt/golden.sum").unlink()
    (one,) = found(run)
    assert one[:2] == ("CKG109", "ckpt/golden/first.safetensors")


def test_a_pointer_of_git_lfs_is_called_that(run):
    Path("ckpt/golden.sum").unlink()
    Path("ckpt/golden/first.safetensors").write_text(
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12345\n"
    )
    said = run("check", "ckpt", code=1)
    assert "Git LFS pointer" in said
    assert "git lfs pull" in said


def test_a_model_that_changed_without_a_migration_is_found_by_each_file(run):
    lock(THIRD | {"head.bias": [10]})
    rules = [each[0] for each in found(run)]
    assert rules == ["CKG103", "CKG110", "CKG110", "CKG110"]
    assert (
        found(run, "--base", "ckpt/schema.lock", "--level", "loose", "--allow-missing", "head.*", code=1)[0][0]
        == "CKG103"
    )


def test_a_broken_migration_is_found_where_it_does_not_fit(run):
    path = next(Path("ckpt").glob("0001_*"))
    path.write_text(path.read_text().replace("layers.{n:int}.up", "layers.{n:int}.down").replace("rest: keep", ""))
    second = next(Path("ckpt").glob("0002_*"))
    assert {each[0] for each in found(run)} >= {"CKM134"}
    second.unlink()
    lock(SECOND)
    run("seal", "ckpt")
    assert {"CKG109"} <= {each[0] for each in found(run)}


def test_a_file_that_does_not_tell_is_recorded_with_its_place(run):
    odd = {f"model.{key}": shape for key, shape in FIRST.items()}
    save(odd, "elsewhere.safetensors")
    said = run("golden", "ckpt", "elsewhere.safetensors", code=1)
    assert "nothing tells where" in said
    assert "nothing is recorded" in said
    save(FIRST, "elsewhere.safetensors")
    run("golden", "ckpt", "elsewhere.safetensors", "--from", "base")
    assert "../elsewhere.safetensors  h1:" in Path("ckpt/golden.sum").read_text()
    assert Path("ckpt/golden.sum").read_text().splitlines()[1].endswith("  base")
    assert found(run, code=0) == []
    Path("elsewhere.safetensors").unlink()
    assert [each[0] for each in found(run)] == ["CKG108"]
    run("golden", "ckpt")
    assert found(run, code=0) == []


def test_what_the_base_recorded_and_nobody_does_now_is_said(run):
    from test_check_command import commit, git

    git("init", "-q", "-b", "main")
    commit()
    shutil.rmtree("ckpt/golden")
    Path("ckpt/golden.sum").unlink()
    messages = found(run, "--against", "HEAD", code=0)
    assert [each[0] for each in messages] == ["CKG108"] * 3
    assert "recorded by the base" in messages[0][2]


def test_without_a_chain_an_old_file_must_fit_the_lock(run):
    for path in (*Path("ckpt").glob("000*"), Path("ckpt/chain.sum"), Path("ckpt/golden.sum")):
        path.unlink()
    assert sorted({each[1] for each in found(run)}) == ["ckpt/golden/first.safetensors", "ckpt/golden/second.lock"]


def test_what_nobody_looked_at_is_not_said_to_be_fine(run):
    Path("ckpt/schema.lock").rename("elsewhere.lock")
    assert "there is no such lock" in run("check", "ckpt", code=2)
    assert "3 golden files" in run("check", "ckpt", "--lock", "elsewhere.lock")


def test_a_broken_sum_of_the_base_can_be_mended(run):
    from test_check_command import commit, git

    git("init", "-q", "-b", "main")
    text = Path("ckpt/golden.sum").read_text()
    Path("ckpt/golden.sum").write_text(f"{text}<<<<<<< ours\n")
    commit()
    Path("ckpt/golden.sum").write_text(text)
    assert found(run, "--against", "HEAD", code=0) == []


def test_a_file_of_a_format_that_is_only_read_gets_to_the_head(run):
    np.savez("ckpt/golden/old.npz", **{key: np.full(shape, 0.5, "float32") for key, shape in FIRST.items()})
    run("golden", "ckpt")
    assert found(run, code=0) == []


def test_each_variant_of_a_lock_gets_to_the_head(run):
    wide = [{key: [2 * size for size in shape] for key, shape in each.items()} for each in (FIRST, THIRD)]
    Path("ckpt/schema.lock").write_text(write_locks({"a": schema(THIRD), "b": schema(wide[1])}, model="toy"))
    old = Path("ckpt/golden/old.lock")
    old.write_text(write_locks({"a": schema(FIRST), "b": schema(wide[0])}, model="toy"))
    run("golden", "ckpt", str(old), "--from", "base")
    assert found(run, code=0) == []
    wide[0]["embed.weight"] = [10, 7]
    old.write_text(write_locks({"a": schema(FIRST), "b": schema(wide[0])}, model="toy"))
    said = run("golden", "ckpt", str(old), "--from", "base", code=1)
    assert "CKG110" in said
    assert "variant b: tokens.weight: " in said
    assert "variant a" not in said


def test_the_ready_tests_know_what_is_recorded_and_leave_keys_out(run):
    from ckptlint.pytest_plugin import Place, _tests

    save(FIRST, "ckpt/golden/untold.safetensors")
    Path("ckpt/golden/keys.json").write_text(json.dumps(THIRD))
    run("golden", "ckpt", "ckpt/golden/untold.safetensors", "--from", "base")
    lines = {each.name: each.lines[0] for each in _tests(Place(Path(), "toy", Path("ckpt/schema.lock"), ""))}
    assert not [name for name in lines if ".json" in name or ".lock" in name]
    said = lines["golden_checkpoints_load[untold.safetensors]"]
    assert said[said.index("--from") + 1] == "base"
    assert "--from" not in lines["golden_checkpoints_load[first.safetensors]"]


def test_files_of_variants_are_held_to_theirs(run):
    wide = {key: [2 * size for size in shape] for key, shape in THIRD.items()}
    variants = {"small": schema(THIRD), "large": schema(wide)}
    Path("ckpt/schema.lock").write_text(write_locks(variants, model="toy"))
    save(wide, "ckpt/golden/wide.safetensors")
    assert found(run, code=0) == []  # the lock knows of it, the last migration does not
    assert "0002" in run("current", "ckpt/golden/wide.safetensors", "--chain", "ckpt")
    assert "variant large, by the digest of its keys; the head" in run(
        "current", "ckpt/golden/wide.safetensors", "--chain", "ckpt"
    )
    save({**wide, "tokens.weight": [1, 1]}, "ckpt/golden/wide.safetensors")
    assert [each[0] for each in found(run)] == ["CKG109"]


def test_large_files_are_better_recorded_by_their_keys(run):
    save({**FIRST, "embed.weight": [100_000, 3]}, "large.safetensors")
    lock({**THIRD, "tokens.weight": [100_000, 3]}, "other.lock")
    said = run("golden", "ckpt", "large.safetensors", "--lock", "other.lock", "--from", "base", code=1)
    assert "golden/first.safetensors" in said
    shutil.rmtree("ckpt/golden")
    said = run("golden", "ckpt", "large.safetensors", "--lock", "other.lock", "--from", "base")
    assert "has 1 MB; its keys alone" in said


@pytest.mark.parametrize(
    "line", ["golden/x", "golden/x  h1:00  base", "golden/x  h1:0123456789abcdef  12", "<<<<<<< ours"]
)
def test_a_sum_that_is_none_has_its_line(run, line):
    Path("ckpt/golden.sum").write_text(f"# ckptlint golden v1\n{line}\n")
    assert "golden.sum:2: " in run("check", "ckpt", code=2)
