"""Whatever goes wrong while migrating, the output is whole or absent, what was there stays, and nothing else is left behind."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from migrating import migrated_file, write_migration  # noqa: E402  needs torch

from ckptlint.commands.migrate import Request, migrate  # noqa: E402
from ckptlint.errors import FormatError, OutputError, UsageError  # noqa: E402
from ckptlint.formats import copying  # noqa: E402
from ckptlint.formats.byte_source import FileSource  # noqa: E402

RENAME = 'rewrites:\n- rename: {"{x}": "new_{x}"}\n'
CHANGES = {
    "renamed": RENAME,
    "cut": "rewrites:\n- {from: a, to: [b, c], ops: [split: {parts: 2}]}\nrest: keep\n",
    "transposed": 'rewrites:\n- {from: a, to: a, ops: [rearrange: "x y -> y x"]}\nrest: keep\n',
    "cast": "rewrites:\n- {from: a, to: a, ops: [cast: f64]}\nrest: keep\n",
    "copied": "rewrites:\n- copy: {a: c}\nrest: keep\n",
}


@pytest.fixture
def source(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "in" / "old.pt"
    path.parent.mkdir()
    torch.save({"a": torch.rand(300, 400), "w": torch.rand(5)}, path)
    return path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def damage(path, needle):
    """Change one bit in the data of a tensor."""
    content = bytearray(path.read_bytes())
    at = content.index(needle.numpy().tobytes())
    content[at + 100] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_damaged_data_is_named_and_never_written(change, suffix, source, tmp_path):
    state = torch.load(source)
    damage(source, state["a"])
    with pytest.raises(FormatError, match=r"the data of \w*a is damaged: its CRC-32 is [0-9a-f]{8}, the file says"):
        migrated_file(tmp_path, source, CHANGES[change], suffix=suffix)
    assert not [name for name in names(tmp_path) if "out" in name]
    assert migrated_file(tmp_path, source, CHANGES[change], suffix=suffix, verify=False).exists()


def test_damage_in_what_is_dropped_does_not_matter(source, tmp_path):
    damage(source, torch.load(source)["a"])
    output = migrated_file(tmp_path, source, "rewrites:\n- drop: {keys: a, reason: gone}\nrest: keep\n")
    assert list(torch.load(output)) == ["w"]


@pytest.mark.parametrize("size", [100, 300_000, 40_000_000])
@pytest.mark.parametrize("where", [0, 1])
def test_large_records_are_compared_beside_the_copying(size, where, tmp_path):
    data = torch.arange(size, dtype=torch.uint8) + 1
    path = tmp_path / "old.pt"
    torch.save({"a": data}, path)
    output = migrated_file(tmp_path, path, RENAME)
    assert torch.equal(torch.load(output)["new_a"], data)
    content = bytearray(path.read_bytes())
    at = content.index(data[:90].numpy().tobytes()) + where * (size - 1)
    content[at] ^= 4
    path.write_bytes(content)
    with pytest.raises(FormatError, match="new_a is damaged"):
        migrated_file(tmp_path, path, RENAME)


def test_a_system_that_cannot_copy_between_files_is_helped(source, tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(copying, "_SMALL", 16)
    monkeypatch.setattr(os, "copy_file_range", refuse, raising=False)
    result = torch.load(migrated_file(tmp_path, source, RENAME))
    assert torch.equal(result["new_a"], torch.load(source)["a"])


def test_the_input_is_never_the_output(source, tmp_path):
    (tmp_path / "hard.pt").hardlink_to(source)
    (tmp_path / "soft.pt").symlink_to(source)
    before = source.read_bytes()
    file = str(write_migration(tmp_path, RENAME))
    for output in (source, tmp_path / "hard.pt", tmp_path / "soft.pt", source.parent / ".." / "in" / "old.pt"):
        with pytest.raises(UsageError, match="the output is the input"):
            migrate(Request(str(source), [file], str(output), force=True))
    assert source.read_bytes() == before


def test_a_shard_is_an_input_too(tmp_path):
    torch.save({"a": torch.ones(3)}, tmp_path / "part.bin")
    index = tmp_path / "model.bin.index.json"
    index.write_text('{"weight_map": {"a": "part.bin"}}')
    file = str(write_migration(tmp_path, RENAME))
    for reference in (index, tmp_path):
        with pytest.raises(UsageError, match="the output is the input"):
            migrate(Request(str(reference), [file], str(tmp_path / "part.bin"), force=True))
    assert list(torch.load(tmp_path / "part.bin")) == ["a"]


def test_nothing_is_overwritten_unasked(source, tmp_path):
    output = tmp_path / "there.pt"
    output.write_bytes(b"precious")
    file = str(write_migration(tmp_path, RENAME))
    with pytest.raises(UsageError, match="exists already"):
        migrate(Request(str(source), [file], str(output)))
    assert output.read_bytes() == b"precious"
    migrate(Request(str(source), [file], str(output), force=True))
    assert list(torch.load(output)) == ["new_a", "new_w"]


def test_a_source_that_changes_meanwhile_gives_no_output(source, tmp_path, monkeypatch):
    read = FileSource.read

    def read_and_touch(self, offset, length):
        content = read(self, offset, length)
        if length > 1000 and self.name == str(source):
            os.utime(source, ns=(1, 1))
        return content

    monkeypatch.setattr(FileSource, "read", read_and_touch)
    with pytest.raises(FormatError, match="changed while it was read"):
        migrated_file(tmp_path, source, RENAME)
    assert not [name for name in names(tmp_path) if "out" in name]


@pytest.mark.parametrize("change", ["renamed", "cut", "cast"])
def test_a_source_that_is_cut_off_meanwhile_gives_no_output(change, source, tmp_path, monkeypatch):
    checked = []

    def cut(self, piece, *more):
        if not checked:
            os.truncate(source, 100_000)
        checked.append(piece)
        return original(self, piece, *more)

    original = copying.Copier._copy
    monkeypatch.setattr(copying, "_SMALL", 16)
    monkeypatch.setattr(copying.Copier, "_copy", cut)
    with pytest.raises(FormatError, match=r"ends early|became shorter|changed"):
        migrated_file(tmp_path, source, CHANGES[change])
    assert checked
    assert not [name for name in names(tmp_path) if "out" in name]


def limit_of_file_size(nbytes):
    """What a child process does before it starts: no file may become larger."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, nbytes))


def run(*arguments, **more):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    command = [sys.executable, "-m", "ckptlint", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True, **more)


def test_a_full_disk_leaves_nothing(source, tmp_path):
    file = write_migration(tmp_path, RENAME)
    child = run("migrate", source, "-m", file, "-o", tmp_path / "new.pt", preexec_fn=limit_of_file_size(100_000))
    _, said = child.communicate()
    assert child.returncode == 3, said
    assert "cannot be written: File too large" in said
    assert names(tmp_path) == ["in", file.name]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_an_error(source, tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        migrate(Request(str(source), [str(write_migration(tmp_path, RENAME))], str(tmp_path / "closed" / "new.pt")))


STALLED = """
import sys, time
from ckptlint.formats import copying
original = copying.Copier._copy
def slowly(self, *arguments):
    original(self, *arguments)
    print("copied", flush=True)
    time.sleep(60)
copying.Copier._copy = slowly
from ckptlint.__main__ import main
sys.argv[0] = "ckptlint"
sys.exit(main())
"""


def _hear_signals():
    """What started the tests may have had signals ignored, as nohup does, and children inherit that."""
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("force", [False, True])
def test_a_killed_run_leaves_what_was_there(number, force, source, tmp_path):
    file, output = write_migration(tmp_path, RENAME), tmp_path / "new.pt"
    if force:
        output.write_bytes(b"precious")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    command = [sys.executable, "-c", STALLED, "migrate", source, "-m", file, "-o", output, *["--force"] * force]
    child = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
        preexec_fn=_hear_signals,  # noqa: PLW1509  one thread, and nothing but signals
    )
    assert child.stdout.readline() == "copied\n"
    child.send_signal(number)
    _, said = child.communicate(timeout=30)
    assert child.returncode == {signal.SIGKILL: -9, signal.SIGINT: 130}.get(number, 128 + number)
    left = set(names(tmp_path)) - {"in", file.name, "new.pt"}
    if number == signal.SIGKILL:
        assert all(name.startswith(".new.pt.ckptlint-") for name in left)
    else:
        assert not left
        assert "Traceback" not in said
    assert output.exists() == force
    assert not force or output.read_bytes() == b"precious"


def test_odd_names_are_names(source, tmp_path):
    file = str(write_migration(tmp_path, RENAME))
    for name in ("n" * 252 + ".pt", "snow☃ man.pt", os.fsdecode(b"\xff\xfe.pt"), "..pt", "-.pt", "new\nline.pt"):
        migrate(Request(str(source), [file], str(tmp_path / name)))
        with open(tmp_path / name, "rb") as opened:
            assert list(torch.load(opened)) == ["new_a", "new_w"]
