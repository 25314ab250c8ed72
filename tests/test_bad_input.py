"""What is no checkpoint: one clear message that names the file and says what would do, and the exit code of its kind."""

import json
import zipfile

import pytest
from cli import ckptlint

SAFETENSORS = (
    b'\x48\x00\x00\x00\x00\x00\x00\x00{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}                 '
    + bytes(16)
)

FILES = {
    "text": (b"weights: see the other folder\n", "text"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 1024\n", "git lfs pull"),
    "html": (b"<!DOCTYPE html>\n<html><title>404</title></html>", "HTML"),
    "json error": (b'{"error": "Repository not found"}', "a server's answer"),
    "empty": (b"", "empty"),
    "cut zip": (b"PK\x03\x04" + b"\x00" * 200, "cut off"),
    "cut safetensors": (SAFETENSORS[:-4], "bytes"),
}


@pytest.mark.parametrize("command", ["inspect", "lint"])
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_checkpoint(tmp_path, name, command):
    content, words = FILES[name]
    (tmp_path / "model.pt").write_bytes(content)
    said = ckptlint(tmp_path, command, "model.pt", code=3)
    assert said.stdout == ""
    assert said.stderr.startswith("ckptlint: model.pt")
    assert words.lower() in said.stderr.lower()
    assert "Traceback" not in said.stderr


def test_a_zip_that_is_no_checkpoint(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.pt", "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert "model.pt" in ckptlint(tmp_path, "inspect", "model.pt", code=3).stderr


@pytest.mark.parametrize("name", ["absent.pt", "folder"])
def test_what_is_no_file(tmp_path, name):
    (tmp_path / "folder").mkdir()
    assert name in ckptlint(tmp_path, "inspect", name, code=3).stderr


def test_one_bad_file_does_not_hide_the_findings_of_the_others(tmp_path):
    (tmp_path / "good.safetensors").write_bytes(SAFETENSORS)
    (tmp_path / "bad.pt").write_bytes(b"")
    (tmp_path / "keys.json").write_text(json.dumps({"w": [5]}))
    said = ckptlint(
        tmp_path, "lint", "bad.pt", "good.safetensors", "--against", "keys.json", "--format", "json", code=3
    )
    assert [finding["checkpoint"] for finding in json.loads(said.stdout)["findings"]] == ["good.safetensors"]
    assert "bad.pt" in said.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ckptlint: 1\nrewrites: [\n", "bad.yaml:"),
        ("ckptlint: 1\nsummary: s\nrewrites:\n- renam: {a: b}\n", "bad.yaml:4:"),
        ("ckptlint: 1\nsummary: &a s\nrewrites:\n- keep: w\n", "bad.yaml:2:"),
        ("ckptlint: 1\nsummary: s\nsummary: t\nrewrites:\n- keep: w\n", "bad.yaml:3:"),
    ],
)
def test_a_migration_that_is_wrong_in_itself(tmp_path, text, words):
    (tmp_path / "model.safetensors").write_bytes(SAFETENSORS)
    (tmp_path / "bad.yaml").write_text(text)
    for arguments in (["prove", "bad.yaml"], ["migrate", "model.safetensors", "-m", "bad.yaml", "-o", "new.pt"]):
        assert words in ckptlint(tmp_path, *arguments, code=2).stderr
    assert not (tmp_path / "new.pt").exists()


def test_a_migration_that_does_not_fit_says_so_with_its_place(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(SAFETENSORS)
    (tmp_path / "bad.yaml").write_text(
        "ckptlint: 1\nsummary: s\nrewrites:\n- from: w\n  to: [a, b]\n  ops:\n  - split: {dim: 0, sizes: [3, 4]}\n"
    )
    said = ckptlint(tmp_path, "migrate", "model.safetensors", "-m", "bad.yaml", "-o", "new.pt", code=1)
    assert "bad.yaml:7:" in said.stderr
    assert "rewrites[0].ops[0].split: w: f32[4] has 4 along 0, not 3+4" in said.stderr
    assert not (tmp_path / "new.pt").exists()


def test_an_output_that_exists_is_not_replaced_unasked(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(SAFETENSORS)
    (tmp_path / "up.yaml").write_text("ckptlint: 1\nsummary: s\nrewrites:\n- rename: {w: v}\n")
    (tmp_path / "new.pt").write_bytes(b"mine")
    said = ckptlint(tmp_path, "migrate", "model.safetensors", "-m", "up.yaml", "-o", "new.pt", code=2)
    assert "--force" in said.stderr
    assert (tmp_path / "new.pt").read_bytes() == b"mine"
    ckptlint(tmp_path, "migrate", "model.safetensors", "-m", "up.yaml", "-o", "new.pt", "--force")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.safetensors", "new.pt", "up.yaml"]


def test_the_input_is_never_the_output(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(SAFETENSORS)
    (tmp_path / "up.yaml").write_text("ckptlint: 1\nsummary: s\nrewrites:\n- rename: {w: v}\n")
    said = ckptlint(
        tmp_path, "migrate", "model.safetensors", "-m", "up.yaml", "-o", "model.safetensors", "--force", code=2
    )
    assert "the output is the input" in said.stderr
    assert (tmp_path / "model.safetensors").read_bytes() == SAFETENSORS


@pytest.mark.parametrize(
    "arguments", [["lint"], ["nonsense"], ["lint", "x", "--format", "xml"], ["migrate", "x"], ["explain", "CKK999"]]
)
def test_wrong_usage_is_two(tmp_path, arguments):
    assert "Traceback" not in ckptlint(tmp_path, *arguments, code=2).stderr


def test_a_tree_path_that_is_absent_takes_the_other_value(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(SAFETENSORS)
    (tmp_path / "up.yaml").write_text(
        "ckptlint: 1\nsummary: s\nparams: {n: {tree: /cfg/heads, else: 2}}\nrewrites:\n- from: w\n  to: v\n"
        '  ops:\n  - {rearrange: "(a b) -> a b", a: n}\n'
    )
    said = ckptlint(tmp_path, "prove", "up.yaml", "--source", "model.safetensors", "--format", "json")
    assert json.loads(said.stdout)["migrations"][0]["plan"]["target"] == {"v": {"dtype": "float32", "shape": [2, 2]}}


def test_an_unknown_migration_names_those_that_there_are(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(SAFETENSORS)
    said = ckptlint(tmp_path, "migrate", "model.safetensors", "-m", "strip-wrapers", "--dry-run", code=2)
    assert "strip-wrappers" in said.stderr


def test_a_lock_that_is_not_there_is_written_by_a_command(tmp_path):
    (tmp_path / "keys.json").write_text('{"w": [1]}')
    said = ckptlint(tmp_path, "lint", "keys.json", "--lock", "net.lock", code=2).stderr
    assert "a lock is written by `ckptlint lock pkg.mod:Class -o net.lock`" in said


def test_a_file_that_no_configured_model_names_is_said_to_be_judged_alone(tmp_path):
    (tmp_path / "keys.json").write_text('{"w": [1]}')
    models = "".join(f'[tool.ckptlint.models.{name}]\nfactory = "m:{name}"\n' for name in ("a", "b"))
    (tmp_path / "pyproject.toml").write_text(models)
    assert "no model of the settings names it in its `checkpoints`" in ckptlint(tmp_path, "lint", "keys.json").stderr


@pytest.mark.parametrize("output", ["new.pt", "new.safetensors"])
def test_block_quantised_weights_are_read_and_cannot_be_written(tmp_path, output):
    from formats.ggufs import Entry, gguf

    (tmp_path / "m.gguf").write_bytes(gguf({}, [Entry("q", (1, 256), 12, bytes(144))]))
    arguments = ("migrate", "m.gguf", "-m", "as-is", "--section", "/tensors", "-o", output)
    assert "take the weights from before they were quantised" in ckptlint(tmp_path, *arguments, code=3).stderr
    assert not (tmp_path / output).exists()
