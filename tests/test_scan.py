"""`ckptlint scan` as a user runs it: verdicts, exit codes, formats, folders, and the lines that make torch trust a file."""

import argparse
import collections
import json
import pickle
import subprocess
import sys

import pytest
from cli import ckptlint
from formats.joblib_file import JOBLIB, JOBLIB_OBJECTS
from hostile.assemble import Build, Call, Name, New, dump, tensor
from hostile.containers import torch_zip

W = tensor("0", (2, 2))
EVIL = torch_zip(dump({"w": W, "hook": Call(Name("posix", "system"), ("true",))}))
CLEAN = torch_zip(dump({"w": W}))
TRUST = torch_zip(dump({"w": W, "cfg": Build(New(Name("mypkg.config", "Config")), {"a": 1})}))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "evil.pt").write_bytes(EVIL)
    (tmp_path / "clean.pt").write_bytes(CLEAN)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "trust.ckpt").write_bytes(TRUST)
    (tmp_path / "sub" / "notes.txt").write_text("nothing to see\n")
    return tmp_path


def test_a_dangerous_file_says_what_it_runs_and_where(folder):
    said = ckptlint(folder, "scan", "evil.pt", code=1).stdout
    assert said.startswith("evil.pt: dangerous: torch.load(weights_only=False) calls posix.system('true') at /hook")
    assert "(m/data.pkl: byte " in said


@pytest.mark.parametrize(
    ("name", "verdict"), [("clean.pt", "clean"), ("sub/trust.ckpt", "needs trust"), ("sub/notes.txt", "no code")]
)
def test_other_files_pass(folder, name, verdict):
    assert ckptlint(folder, "scan", name).stdout.startswith(f"{name}: {verdict}: ")


def test_trust_can_be_demanded(folder):
    ckptlint(folder, "scan", "sub/trust.ckpt", "--fail-on", "warning", code=1)
    (folder / "ckptlint.toml").write_text('[[ignore]]\ncode = "CKC312"\nkeys = "mypkg.**"\nreason = "ours"\n')
    ckptlint(folder, "scan", "sub/trust.ckpt", "--fail-on", "warning")


def test_a_folder_is_searched_to_its_end_and_counted(folder):
    said = ckptlint(folder, "scan", ".", code=1).stdout
    assert said.splitlines()[-1] == "scanned 4 files: 1 dangerous, 1 needs trust, 1 clean, 1 no code"
    assert "clean.pt:" not in said


def test_json_has_every_name_with_its_verdict(folder):
    found = json.loads(ckptlint(folder, "scan", "evil.pt", "sub/trust.ckpt", "--format", "json", code=1).stdout)
    evil, trust = found["scans"]
    assert [(g["name"], g["trust"]) for g in evil["globals"] if g["called"]][-1] == ("posix.system", "dangerous")
    assert trust["weights_only"] == {
        "loads": False,
        "missing": ["mypkg.config.Config"],
        "refusals": [],
        "cure": ["import torch", "from mypkg.config import Config", "torch.serialization.add_safe_globals([Config])"],
    }
    assert [finding["rule"] for finding in found["findings"]] == ["CKC311", "CKC312"]


def test_annotations_name_the_file(folder):
    said = ckptlint(folder, "scan", "evil.pt", "--format", "github", code=1).stdout
    assert said.startswith("::error file=evil.pt,title=CKC311 dangerous-global::")


def test_a_file_that_is_not_there_hides_no_other(folder):
    said = ckptlint(folder, "scan", "evil.pt", "absent.pt", code=3)
    assert "evil.pt: dangerous" in said.stdout
    assert "absent.pt" in said.stderr


def test_a_damaged_file_is_not_vouched_for(folder):
    (folder / "cut.pt").write_bytes(CLEAN[:-40])
    assert ckptlint(folder, "scan", "cut.pt", code=3).stdout.startswith("cut.pt: unreadable: ")


def test_a_lint_says_what_is_dangerous_too(folder):
    assert "CKC311" in ckptlint(folder, "lint", "evil.pt", code=1).stdout


class Config:
    def __init__(self):
        self.depth = 3


def objects():
    np = pytest.importorskip("numpy")
    return {
        "namespace": argparse.Namespace(lr=0.1),
        "numpy scalar": np.float64(3),
        "numpy array": np.arange(3.0),
        "own class": Config(),
        "deque": collections.deque([1, 2]),
        "nothing": 1,
    }


@pytest.mark.parametrize("name", ["namespace", "numpy scalar", "numpy array", "own class", "deque", "nothing"])
def test_after_the_lines_that_it_prints_torch_loads_the_file(tmp_path, name):
    torch = pytest.importorskip("torch")
    torch.save({"w": torch.zeros(2), "thing": objects()[name]}, tmp_path / "model.pt")
    scan = json.loads(ckptlint(tmp_path, "scan", "model.pt", "--format", "json").stdout)["scans"][0]["weights_only"]
    cure = [line.replace(f"from {Config.__module__} import", "from test_scan import") for line in scan["cure"]]
    load = 'import torch; torch.load("model.pt", weights_only=True)'
    paths = [str(path) for path in map(str, sys.path) if path]
    program = "\n".join([f"import sys; sys.path[:0] = {paths}", *cure, load])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    loads = done.returncode == 0
    assert loads or scan["refusals"], done.stderr
    assert scan["loads"] == (name == "nothing")


def test_a_pickle_of_the_library_is_what_pickle_says_it_is(tmp_path):
    """Python's own pickler, every protocol: what it names is found, at every spelling."""
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        (tmp_path / f"p{protocol}.pkl").write_bytes(
            pickle.dumps({"f": print, "c": collections.OrderedDict(a=1)}, protocol)
        )
    said = json.loads(ckptlint(tmp_path, "scan", ".", "--format", "json", code=1).stdout)
    for scan in said["scans"]:
        names = {g["name"].replace("__builtin__", "builtins") for g in scan["globals"]}
        assert names == {"builtins.print", "collections.OrderedDict"}


def test_a_row_of_archives_is_searched_to_its_beginning(tmp_path):
    """As the data files of a distributed checkpoint are."""
    (tmp_path / "__0_0.distcp").write_bytes(CLEAN * 30)
    (tmp_path / "__1_0.distcp").write_bytes(EVIL + CLEAN * 30)
    assert ckptlint(tmp_path, "scan", "__0_0.distcp").stdout.startswith("__0_0.distcp: clean")
    assert ckptlint(tmp_path, "scan", "__1_0.distcp", code=1).stdout.startswith("__1_0.distcp: dangerous")


def test_joblib_is_followed_behind_the_arrays_that_it_writes_between_operations(folder):
    (folder / "model.joblib").write_bytes(JOBLIB)
    ckptlint(folder, "scan", "model.joblib")
    (folder / "late.joblib").write_bytes(JOBLIB[:-1] + b"0cposix\nsystem\n(S'true'\ntR.")
    assert "posix.system('true')" in ckptlint(folder, "scan", "late.joblib", code=1).stdout
    (folder / "cut.joblib").write_bytes(JOBLIB[:-40])
    ckptlint(folder, "scan", "cut.joblib", code=3)


def test_arrays_of_objects_that_joblib_wrote_are_followed_as_the_pickles_that_they_are(folder):
    (folder / "o.joblib").write_bytes(JOBLIB_OBJECTS)
    assert "bytes behind" not in ckptlint(folder, "scan", "o.joblib").stdout
    start = JOBLIB_OBJECTS.index(b"\x80\x05")
    stop = start + 11 + JOBLIB_OBJECTS[start + 3]
    evil = JOBLIB_OBJECTS[:start] + b"cposix\nsystem\n(S'true'\ntR." + JOBLIB_OBJECTS[stop:]
    (folder / "evil.joblib").write_bytes(evil)
    assert "posix.system('true')" in ckptlint(folder, "scan", "evil.joblib", code=1).stdout


def test_a_pickle_that_is_only_a_value_with_a_pickle_in_it_is_opened(folder):
    inner = b"cposix\nsystem\n(S'true'\ntR."
    for _ in range(3):
        inner = pickle.dumps(inner)
    (folder / "wrapped.pkl").write_bytes(pickle.dumps({"blob": inner}))
    assert "posix.system('true')" in ckptlint(folder, "scan", "wrapped.pkl", code=1).stdout
    for _ in range(30):
        inner = pickle.dumps(inner)
    (folder / "deep.pkl").write_bytes(pickle.dumps({"blob": inner}))
    assert "more files inside of files than are searched" in ckptlint(folder, "scan", "deep.pkl", code=3).stdout
