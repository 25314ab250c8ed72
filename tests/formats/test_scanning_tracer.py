"""What is looked for behind the place where a pickle breaks: every module that a line can end with, and each line judged a few times at most."""

import random

import pytest

from ckptlint.checks import trust
from ckptlint.checks.trust import Trust, is_notable, judge
from ckptlint.formats.scanning.trace_ops import trace

_BROKEN = b"\x80\x02\xff"
_PARTS = [
    "c",
    "i",
    "os",
    "posix",
    "system",
    "ci",
    "__",
    "__builtin__",
    ".",
    "x",
    "1",
    "torch",
    "hub",
    "numpy",
    "subprocess",
    "sys",
    "__main__",
    "a_",
    "distutils",
    "load",
    "_",
]
_NAMES = ["system", "load", "A", "x.os.y", "__x__", "B.c", "eval"]


@pytest.fixture
def judged(monkeypatch):
    """Count the names that are looked at, before they are judged."""
    names = []

    def count(module, name):
        names.append((module, name))
        return is_notable(module, name)

    monkeypatch.setattr(trust, "is_notable", count)
    return names


@pytest.mark.parametrize("line", [b"c" * 88 + b"%08d.x", b"c" * 96 + b"os", b"c" * 60 + b"%08d.cc.cc.cc.ccsys"])
def test_a_line_is_judged_a_few_times_however_many_modules_it_can_end_with(judged, line):
    lines = [line % number if b"%" in line else line for number in range(50)]
    trace(_BROKEN + b"".join(each + b"\nA\n" for each in lines), "x")
    assert len(judged) <= 4 * len(lines)


def test_a_line_has_a_dangerous_end_where_one_of_all_its_ends_is():
    dice = random.Random(3)
    for _ in range(1500):
        text, name = "".join(dice.choice(_PARTS) for _ in range(dice.randint(2, 9))), dice.choice(_NAMES)
        ends = {
            text[at + 1 :]
            for at, letter in enumerate(text[:-1])
            if letter in "ci" and text[at + 1] not in ".1" and judge(text[at + 1 :], name).trust is Trust.DANGEROUS
        }
        assert all(is_notable(end, name) for end in ends)
        found = {each.module for each in trace(_BROKEN + f" {text}\n{name}\n".encode(), "x").imports}
        assert bool(found) == bool(ends), (text, name)
        assert found <= ends
