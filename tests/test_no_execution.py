"""Nothing in a checkpoint runs: shown by what the package may name, and by files that would leave a mark if they were loaded."""

import ast
import os
import pickle
import zipfile

import pytest
from cli import ROOT, ckptlint

FORBIDDEN = {
    "pickle",
    "_pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "joblib",
    "marshal",
    "shelve",
    "ctypes",
    "code",
    "runpy",
    "importlib",
}
CALLS = {"eval", "exec", "compile", "__import__"}
USER_CODE = "source/child"  # the one place that runs the user's model, in a process of its own


def names(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS:
            yield node.func.id


def test_the_package_names_nothing_that_could_run_a_file():
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in (ROOT / "ckptlint").rglob("*.py")
        if USER_CODE not in path.as_posix()
        for name in names(path)
        if name in FORBIDDEN | CALLS
    }
    assert (
        found
        == {
            "ckptlint/__init__.py: importlib",  # its own modules, by names that stand there
            "ckptlint/kits/python_calls.py: importlib",  # what a migration names, with --allow-python alone; never what a file names
        }
    )


class Mark:
    """Unpickled, it makes a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_file_that_would_run_something_is_read_and_runs_nothing(tmp_path, protocol):
    mark = tmp_path / "mark"
    with zipfile.ZipFile(tmp_path / "evil.pt", "w") as archive:
        archive.writestr("evil/data.pkl", pickle.dumps({"epoch": 3, "state": Mark(str(mark))}, protocol))
        archive.writestr("evil/version", "3\n")
    said = ckptlint(tmp_path, "inspect", "evil.pt").stdout
    assert "an object of posix.mkdir" in said
    assert "CKC311" in ckptlint(tmp_path, "lint", "evil.pt", code=1).stdout
    assert "dangerous" in ckptlint(tmp_path, "scan", "evil.pt", code=1).stdout
    (tmp_path / "keep.yaml").write_text("ckptlint: 1\nsummary: s\nrewrites:\n- keep: '**'\n")
    ckptlint(tmp_path, "migrate", "evil.pt", "-m", "keep.yaml", "-o", "out.pt", code=3)
    assert not mark.exists()
    pickle.loads(zipfile.ZipFile(tmp_path / "evil.pt").read("evil/data.pkl"))
    assert mark.exists()  # the file would have
