"""`make` in a terminal: a real one, in which each question is answered by what is typed."""

import json
import os
import pty
import select
import sys

import pytest
from cli import ROOT

OLD = {f"layers.{i}.attn.{part}.weight": [8, 8] for i in range(2) for part in "qk"} | {"teacher.w": [3]}
NEW = {f"layers.{i}.attn.{part}.weight": [8, 8] for i in range(2) for part in ("query", "key")} | {"bias": [7]}


def typed(folder, words):
    """Run `make` in a pseudo-terminal, type a word at each prompt; return all that was shown, and the exit code."""
    command = [sys.executable, "-m", "ckptlint", "make", "old.json", "new.json", "--chain", "chain"]
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.environ["PYTHONPATH"] = str(ROOT)
        os.execv(command[0], command)
    shown, left = "", list(words)
    while True:
        ready, _, _ = select.select([terminal], [], [], 60)
        assert ready, shown
        try:
            read = os.read(terminal, 4096).decode()
        except OSError:  # the other end is gone
            break
        if not read:
            break
        shown += read
        while left and shown.rstrip(" ").endswith(":"):
            os.write(terminal, left.pop(0).encode() + b"\n")
            shown += "\n"
    return shown, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "old.json").write_text(json.dumps(OLD))
    (tmp_path / "new.json").write_text(json.dumps(NEW))
    return tmp_path


def test_answers_are_typed_and_stand_in_the_file(folder):
    shown, code = typed(folder, ["", "1", "d", "only for training", "z"])
    assert code == 0, shown
    assert "choice:" in shown
    assert "[1]" not in shown  # what could be exchanged has no default
    text = next((folder / "chain").glob("*.yaml")).read_text()
    assert '"only for training"' in text
    assert "fill: zeros" in text
    assert "answered" in text


def test_no_more_input_writes_nothing(folder):
    shown, code = typed(folder, ["\x04"])
    assert code == 130, shown
    assert not (folder / "chain").exists()
