"""`migrate --in-place`: new names, the same data, and no moment at which a kill would lose the file."""

import fcntl
import gzip
import hashlib
import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest
from kills import dies_at

from ckptlint.cli import main
from ckptlint.commands import recover
from ckptlint.commands.migrate import Request, migrate
from ckptlint.errors import FormatError, OutputError, UsageError
from ckptlint.formats import journal, open_checkpoint
from ckptlint.formats.settled import journal_of

torch = pytest.importorskip("torch")
saving = pytest.importorskip("safetensors.torch")

STATE = {f"h.{n}.weight": torch.arange(12.0).reshape(3, 4) + n for n in range(4)}
STATE["view"] = STATE["h.0.weight"].t()
RENAME = "ckptlint: 1\nsummary: names\nrest: keep\nrewrites:\n  - rename:\n      h.{i:int}.weight: blocks.{i}.{LONG}\n"
NAMES = ("model.pt", "model.safetensors")


def renamed(key, long="linear.weight"):
    return f"blocks.{key.split('.')[1]}.{long}" if key.startswith("h.") else key


def write_migration(folder, rewrites=None, long="linear.weight"):
    text = (
        RENAME.replace("{LONG}", long)
        if rewrites is None
        else f"ckptlint: 1\nsummary: x\nrest: keep\nrewrites:\n{rewrites}"
    )
    (folder / "m.yaml").write_text(text)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    torch.save({"model": STATE, "epoch": 3}, folder / "model.pt")
    saving.save_file({key: each.contiguous() for key, each in STATE.items()}, folder / "tight.safetensors")
    roomy = str(folder / "model.safetensors")
    migrate(Request(str(folder / "tight.safetensors"), ["as-is"], roomy))  # with room in its header
    return folder


@pytest.fixture
def folder(tmp_path, made):
    for path in made.iterdir():
        shutil.copy(path, tmp_path)
    write_migration(tmp_path)
    return tmp_path


class Said(NamedTuple):
    stdout: str
    stderr: str


@pytest.fixture
def ckptlint(capsys, monkeypatch):
    """Run the command line in this process."""

    def run(folder, *arguments, code=0):
        with monkeypatch.context() as patch:
            patch.chdir(folder)
            found = main(list(arguments))
        said = Said(*capsys.readouterr())
        assert found == code, said
        return said

    return run


def check_equal(found, key=renamed):
    assert list(found) == [key(name) for name in STATE]
    for name, tensor in STATE.items():
        assert torch.equal(found[key(name)], tensor)


def test_torch_loads_the_new_names_in_every_mode_and_can_take_them_back(folder, ckptlint):
    path = folder / "model.pt"
    before = path.read_bytes()
    said = ckptlint(folder, "migrate", "model.pt", "-m", "m.yaml", "--in-place").stdout
    assert "4 renamed" in said
    for options in ({}, {"mmap": True}, {"weights_only": False}):
        found = torch.load(path, **options)
        assert found["epoch"] == 3
        check_equal(found["model"])
        assert found["model"]["view"].data_ptr() == found["model"][renamed("h.0.weight")].data_ptr()
    for tensor in STATE.values():  # no data has moved, and none is there twice
        content = tensor.contiguous().numpy().tobytes() if tensor.is_contiguous() else None
        assert content is None or path.read_bytes().count(content) == 1
        assert content is None or path.read_bytes().index(content) == before.index(content)
    assert zipfile.ZipFile(path).testzip() is None
    assert b"h.1.weight" not in path.read_bytes()
    assert "clean" in ckptlint(folder, "scan", "model.pt", "--fail-on", "info").stdout
    assert "sound" in ckptlint(folder, "verify", "model.pt").stdout
    ckptlint(folder, "migrate", "model.pt", "-m", "m.yaml", "--in-place", "--reverse")
    check_equal(torch.load(path, mmap=True)["model"], key=lambda name: name)
    assert sorted(os.listdir(folder)) == ["m.yaml", "model.pt", "model.safetensors", "tight.safetensors"]


def test_torch_may_compute_where_data_lies(folder):
    from torch.utils.serialization import config

    migrate(Request(str(folder / "model.pt"), [str(folder / "m.yaml")], in_place=True))
    with config.patch({"load.calculate_storage_offsets": True}):
        check_equal(torch.load(folder / "model.pt", mmap=True)["model"])


def test_a_safetensors_header_is_rewritten_where_it_fits(folder, ckptlint):
    before = (folder / "model.safetensors").read_bytes()
    ckptlint(folder, "migrate", "model.safetensors", "-m", "m.yaml", "--in-place")
    after = (folder / "model.safetensors").read_bytes()
    start = 8 + int.from_bytes(before[:8], "little")
    assert (after[:8], after[start:]) == (before[:8], before[start:])
    found = saving.load_file(folder / "model.safetensors")
    check_equal({renamed(name): found[renamed(name)] for name in STATE})
    assert len(found) == len(STATE)
    tight = (folder / "tight.safetensors").read_bytes()
    write_migration(folder, long="q" * 100)
    said = ckptlint(folder, "migrate", "tight.safetensors", "-m", "m.yaml", "--in-place", code=3).stderr
    room = int.from_bytes(tight[:8], "little")
    grown = json.loads(tight[8 : 8 + room])
    assert f"the file has room for {room:,}" in said
    need = len(json.dumps({renamed(k, "q" * 100): v for k, v in grown.items()}, separators=(",", ":")))
    assert f"needs {need:,} bytes" in said
    assert (folder / "tight.safetensors").read_bytes() == tight


@pytest.mark.parametrize(
    ("rewrites", "why"),
    [
        ("  - from: h.{i:int}.weight\n    to: h.{i}.weight\n    ops: [{cast: f16}]\n", "h.{0..3}.weight: new data"),
        ("  - drop: {keys: h.1.weight, reason: none}\n", "nothing would use any more"),
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_what_moves_data_is_refused_with_the_reason(folder, ckptlint, name, rewrites, why):
    write_migration(folder, rewrites)
    before = (folder / name).read_bytes()
    assert why in ckptlint(folder, "migrate", name, "-m", "m.yaml", "--in-place", code=2).stderr
    assert (folder / name).read_bytes() == before


def test_what_cannot_be_changed_in_place_is_refused(folder, ckptlint):
    (folder / "model.pt.gz").write_bytes(gzip.compress((folder / "model.pt").read_bytes()))
    torch.save(STATE, folder / "old.pt", _use_new_zipfile_serialization=False)
    for name in ("model.pt.gz", "old.pt"):
        assert "in place" in ckptlint(folder, "migrate", name, "-m", "m.yaml", "--in-place", code=2).stderr
    assert (
        "-o names" in ckptlint(folder, "migrate", "model.pt", "-m", "m.yaml", "--in-place", "-o", "x.pt", code=2).stderr
    )
    os.link(folder / "model.pt", folder / "other.pt")
    assert "hard links" in ckptlint(folder, "migrate", "model.pt", "-m", "m.yaml", "--in-place", code=2).stderr
    check_equal(torch.load(folder / "model.pt")["model"], key=lambda name: name)


def test_a_dry_run_says_whether_it_can_be_done_and_does_nothing(folder, ckptlint):
    before = (folder / "model.pt").read_bytes()
    said = ckptlint(folder, "migrate", "model.pt", "-m", "m.yaml", "--in-place", "--dry-run").stdout
    assert "nothing was written" in said
    assert (folder / "model.pt").read_bytes() == before


class Killed(BaseException):
    """Nothing of the process runs after it: every further call that changes a file raises it too."""


class Faults:
    """Stops at the k-th call that changes a file or makes it durable; a write stops half way."""

    CALLS = ("open", "pwrite", "fsync", "ftruncate", "link", "unlink", "replace", "fchmod")

    def __init__(self, patch, error=None):
        self.left = None
        self.error = error
        for name in (*self.CALLS, *(["posix_fallocate"] if error else [])):
            patch.setattr(os, name, self.wrapped(name, getattr(os, name)))

    def wrapped(self, name, real):
        def call(*args, **options):
            if self.left is None or (name == "open" and not args[1] & (os.O_CREAT | os.O_RDWR)):
                return real(*args, **options)
            self.left -= 1
            if self.left > 0 or (self.error and self.left < 0):
                return real(*args, **options)
            if name == "pwrite" and self.left == 0:
                real(args[0], bytes(args[1])[: len(args[1]) // 2], args[2])
            if self.error:
                raise self.error
            raise Killed

        return call


def attempt(path, migration, faults, stop):
    faults.left = stop
    try:
        migrate(Request(str(path), [str(migration)], in_place=True))
    except (Killed, OutputError, FormatError) as error:
        return error
    finally:
        faults.left = None
    return None


@pytest.mark.parametrize("name", NAMES)
def test_a_kill_at_every_call_leaves_what_can_be_finished_and_taken_back(folder, name, monkeypatch):
    path, faults = folder / name, Faults(monkeypatch)
    before = path.read_bytes()
    assert attempt(path, folder / "m.yaml", faults, None) is None
    after = path.read_bytes()
    seen, stop, error = set(), 0, True
    while error:
        stop += 1
        for undo in (False, True):
            path.write_bytes(before)
            error = attempt(path, folder / "m.yaml", faults, stop)
            assert error is None or isinstance(error, Killed)
            open_now = os.path.exists(journal_of(str(path)))
            seen.add((open_now, path.read_bytes() == before, path.read_bytes() == after))
            if open_now:
                with pytest.raises(FormatError, match="was interrupted") as caught:
                    open_checkpoint(path)
                assert "ckptlint recover" in caught.value.hint
                assert journal.recover(str(path), undo=undo)
                assert path.read_bytes() == (before if undo else after)
            assert path.read_bytes() in (before, after)
            open_checkpoint(path).close()
    assert stop > 8
    assert {(False, True, False), (True, True, False), (True, False, True), (False, False, True)} <= seen
    assert ((True, False, False) in seen) == (name == "model.pt")  # the new text is in the first half of the header


@pytest.mark.parametrize("way", ["again", "recover"])
def test_a_death_leaves_no_journal_that_nobody_removes(folder, way):
    path = folder / "model.pt"
    before, stop, strays = path.read_bytes(), 0, 0
    files = set(os.listdir(folder))

    def act():
        migrate(Request(str(path), [str(folder / "m.yaml")], in_place=True))

    while (stop := stop + 1) and dies_at(stop, act):
        strays += len(set(os.listdir(folder)) - files)
        if os.path.exists(journal_of(str(path))):
            journal.recover(str(path), undo=False)
        elif way == "recover":
            recover.run(str(path), undo=False)
        elif path.read_bytes() == before:
            act()
        assert set(os.listdir(folder)) == files
        path.write_bytes(before)
    assert strays > 3


def test_a_file_that_another_process_changes_is_left_alone(folder):
    path = folder / "model.pt"
    before = path.read_bytes()
    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        for act in (lambda: journal.change(str(path), [journal.Patch(0, b"P", b"Q")]), lambda: left_open(path)):
            with pytest.raises(UsageError, match="another process is changing it"):
                act()
    assert path.read_bytes() == before


def left_open(path):
    Path(journal_of(str(path))).write_bytes(b"")
    journal.recover(str(path), undo=True)


@pytest.mark.parametrize("name", NAMES)
def test_an_error_at_every_call_is_undone_or_can_be_finished(folder, name, monkeypatch):
    path, faults = folder / name, Faults(monkeypatch, OSError(28, "No space left on device"))
    before = path.read_bytes()
    attempt(path, folder / "m.yaml", faults, None)
    after = path.read_bytes()
    error, stop, undone = True, 0, 0
    while error:
        stop += 1
        path.write_bytes(before)
        error = attempt(path, folder / "m.yaml", faults, stop)
        assert error is None or isinstance(error, OutputError | FormatError)
        undone += path.read_bytes() == before
        if os.path.exists(journal_of(str(path))):
            assert journal.recover(str(path), undo=False)
            assert path.read_bytes() == after
        assert path.read_bytes() in (before, after)
        assert not [each for each in os.listdir(folder) if each.endswith("journal")]
    assert undone > 5


@pytest.mark.parametrize("name", NAMES)
def test_a_kill_at_any_byte_is_finished_and_taken_back(folder, name, monkeypatch):
    path = folder / name
    before = path.read_bytes()
    faults = Faults(monkeypatch)
    patches = []
    monkeypatch.setattr("ckptlint.commands.in_place.change", lambda _, planned: patches.extend(planned))
    assert attempt(path, folder / "m.yaml", faults, None) is None
    monkeypatch.undo()
    journal.change(str(path), patches)
    after = path.read_bytes()
    path.write_bytes(before)
    with path.open("r+b") as file:
        journal._Journal.made(file.fileno(), patches, os.stat(path)).keep(str(path), 0o600)
    kept = Path(journal_of(str(path))).read_bytes()
    flat = [(patch.at + n, patch.new[n]) for patch in patches for n in range(len(patch.new))]
    for stop in range(0, len(flat) + 1, 29):
        for undo in (False, True):
            content = bytearray(before)
            for at, byte in flat[:stop]:
                content[at : at + 1] = bytes([byte])
            path.write_bytes(content)
            Path(journal_of(str(path))).write_bytes(kept)
            assert journal.recover(str(path), undo=undo)
            assert path.read_bytes() == (before if undo else after), (stop, undo)


def test_every_command_says_that_a_change_is_open_and_recover_ends_it(folder, ckptlint, monkeypatch):
    path, faults = folder / "model.pt", Faults(monkeypatch)
    before, stop = path.read_bytes(), 1
    while attempt(path, folder / "m.yaml", faults, stop) and path.read_bytes() == before:
        stop += 1
        if os.path.exists(journal_of(str(path))) and path.read_bytes() == before:
            journal.recover(str(path), undo=True)
    for command in ("inspect", "verify", "scan"):
        assert "ckptlint recover model.pt" in ckptlint(folder, command, "model.pt", code=3).stderr
    assert "finished" in ckptlint(folder, "recover", "model.pt").stdout
    check_equal(torch.load(path)["model"])
    assert "no change is open" in ckptlint(folder, "recover", "model.pt").stdout


def test_a_journal_of_another_file_or_a_torn_one_changes_nothing(folder, ckptlint, monkeypatch):
    path, faults = folder / "model.pt", Faults(monkeypatch)
    stop = 1
    while not os.path.exists(journal_of(str(path))):
        attempt(path, folder / "m.yaml", faults, stop)
        stop += 1
    torch.save({"other": torch.ones(500)}, path)
    other = path.read_bytes()
    assert "is not the file" in ckptlint(folder, "recover", "model.pt", code=3).stderr
    content = Path(journal_of(str(path))).read_bytes()
    for torn in (b"", content[:40], content[:-1], content[:100] + b"x" + content[101:]):
        Path(journal_of(str(path))).write_bytes(torn)
        assert "no whole journal" in ckptlint(folder, "recover", "model.pt", code=3).stderr
    for body in (
        b"",
        b"[]\n",
        b'{"patches": [1]}\n',
        b'{"patches": []}\n',
        b"[" * 100_000,
        b'{"patches": [["x", 1, 1]]}\n',
    ):
        made = b"ckptlint-journal 1\n" + body + hashlib.sha256(body).digest()
        Path(journal_of(str(path))).write_bytes(made)
        assert "is no journal" in ckptlint(folder, "recover", "model.pt", code=3).stderr
    assert path.read_bytes() == other


def test_the_revision_that_a_file_had_does_not_stay_with_other_names(folder, ckptlint):
    from ckptlint.formats.byte_source import FileSource
    from ckptlint.formats.rewriting import torch_patches

    path = folder / "model.pt"
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("model/.ckptlint/revisions.json", '{"/model": "0007"}')
        tree = archive.read("model/data.pkl")
    checkpoint = open_checkpoint(path)
    assert checkpoint.notes["revisions"] == '{"/model": "0007"}'
    checkpoint.close()
    ckptlint(folder, "migrate", "model.pt", "-m", "m.yaml", "--in-place")
    checkpoint = open_checkpoint(path)
    assert "revisions" not in checkpoint.notes
    checkpoint.close()
    check_equal(torch.load(path, mmap=True)["model"])
    assert b"0007" not in path.read_bytes()
    source = FileSource.open(path)  # and with a revision to record
    records = {"data.pkl": tree, ".ckptlint/revisions.json": b'{"/model": "0008"}'}
    journal.change(str(path), torch_patches(source, records))
    source.close()
    checkpoint = open_checkpoint(path)
    assert checkpoint.notes["revisions"] == '{"/model": "0008"}'
    checkpoint.close()
    check_equal(torch.load(path, mmap=True)["model"], key=lambda name: name)
    assert zipfile.ZipFile(path).testzip() is None
    ckptlint(folder, "scan", "model.pt", "--fail-on", "info")
