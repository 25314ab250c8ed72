"""The first line of a lock says how to write it anew, and the command runs as it is printed."""

import re
import shlex

import pytest
from cli import ckptlint

pytest.importorskip("torch")

SOURCE = """
import torch

class Net(torch.nn.Module):
    def __init__(self, depth, name="a"):
        super().__init__()
        self.layers = torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(depth))
"""


@pytest.mark.parametrize("arguments", ['{"depth": 3, "name": "it\'s"}', "depth: 3\nname: é\n", "[3]"])
def test_a_lock_is_refreshed_by_the_command_it_names(tmp_path, arguments):
    (tmp_path / "net.py").write_text(SOURCE, encoding="utf-8")
    ckptlint(tmp_path, "lock", "net:Net", "--args", arguments, "-o", "net.lock")
    lock = tmp_path / "net.lock"
    text = lock.read_text(encoding="utf-8")
    program, *words = shlex.split(text.partition("\n")[0].partition("refresh: ")[2])
    assert program == "ckptlint"
    lock.unlink()
    ckptlint(tmp_path, *words)
    assert lock.read_text(encoding="utf-8") == text


def test_a_lock_without_classes_is_noted(tmp_path):
    (tmp_path / "net.py").write_text(SOURCE, encoding="utf-8")
    words = ("lock", "net:Net", "--args", "[2]", "-o", "net.lock")
    ckptlint(tmp_path, *words)
    assert "[classes]" not in ckptlint(tmp_path, *words, "--check").stderr
    lock = tmp_path / "net.lock"
    text = lock.read_text(encoding="utf-8")
    lock.write_text(re.sub(r"(?ms)^\[classes\].*?(?=^\[|\Z)", "", text), encoding="utf-8")
    assert lock.read_text(encoding="utf-8") != text
    assert "net.lock has no [classes]" in ckptlint(tmp_path, *words, "--check").stderr
