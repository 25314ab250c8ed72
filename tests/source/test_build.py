"""The subprocess itself: streams, limits, death. Only two tests pay for a real torch; the others bring one that misbehaves."""

import os
import sys
import time

import pytest

from ckptlint.errors import ModelError, UsageError
from ckptlint.source.build import build_schema
from ckptlint.source.process import Workplace

ZOO = """
import os, sys, threading, time, warnings
import torch
from beside import WIDTH

print("talk on stdout")
warnings.warn("talk on stderr")
assert not sys.argv[1:] and not sys.stdin.read()

def net(depth=1):
    threading.Thread(target=time.sleep, args=(600,)).start()
    if not os.fork():
        time.sleep(600)
    return torch.nn.Sequential(*[torch.nn.Linear(WIDTH, WIDTH) for _ in range(depth)])

def needs_values():
    torch.ones(1).item()
    return net()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    (folder / "zoo.py").write_text(ZOO)
    (folder / "beside.py").write_text("WIDTH = 2\n")
    return folder


@pytest.mark.torch
def test_a_model_is_built_whatever_its_code_prints_and_leaves_running(folder, capfd):
    pytest.importorskip("torch")
    built = build_schema("zoo:net", args='{"depth": 2}', workplace=Workplace(cwd=folder))
    assert list(built.schema.lines()) == [
        "0.weight: f32[2,2]",
        "0.bias: f32[2]",
        "1.weight: f32[2,2]",
        "1.bias: f32[2]",
    ]
    assert built.notes == ()
    printed = capfd.readouterr()
    assert printed.out == ""
    assert "talk on stdout" in printed.err
    assert "UserWarning: talk on stderr" in printed.err


@pytest.mark.torch
def test_auto_builds_in_a_second_process_on_the_cpu(folder):
    pytest.importorskip("torch")
    built = build_schema("zoo.py:needs_values", workplace=Workplace(cwd=folder))
    assert list(built.schema.lines()) == ["0.weight: f32[2,2]", "0.bias: f32[2]"]
    assert [note.partition(" raised ")[0] for note in built.notes] == [
        "built on the CPU, for on meta calling needs_values"
    ]


def with_torch(text, folder):
    """A Python whose `torch` is this text: it runs where a model's code runs, and is there at once."""
    (folder / "torch.py").write_text(text)
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{folder}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return Workplace(python=str(python), cwd=folder)


HANGS = """
import ctypes, os, time
def wait():
    ctypes.CDLL(None).sleep(600)
child = os.fork()
if not child:
    time.sleep(600)
open("grandchild", "w").write(str(child))
wait()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_over_time_the_whole_group_is_ended_and_the_line_is_named(tmp_path):
    with pytest.raises(ModelError) as caught:
        build_schema("zoo:net", timeout=3, workplace=with_torch(HANGS, tmp_path))
    assert caught.value.message == "building it took more than 3 s, and was ended at torch.py:4 in wait"
    assert "--timeout" in caught.value.hint
    assert _is_gone(int((tmp_path / "grandchild").read_text()))


def test_a_process_that_ignores_its_alarm_is_ended_all_the_same(tmp_path):
    text = "import faulthandler, time\nfaulthandler.cancel_dump_traceback_later()\ntime.sleep(600)\n"
    with pytest.raises(ModelError, match="building it took more than 1 s, and was ended"):
        build_schema("zoo:net", timeout=1, workplace=with_torch(text, tmp_path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import ctypes\nctypes.string_at(0)", "the process that built it died of SIGSEGV at torch.py:2 in <module>"),
        (
            "import os\nos._exit(7)",
            "the process that built it ended with code 7 and no answer; its own words are above",
        ),
        (
            "import os\nos._exit(0)",
            "the process that built it ended with code 0 and no answer; its own words are above",
        ),
        ("import os\nos.kill(os.getpid(), 9)", "building it was killed by the system, most likely for want of memory"),
        ("raise ImportError('libgomp is missing')", "torch cannot be imported by {python}: libgomp is missing"),
        ("raise OSError('libgomp is bad')", "torch cannot be imported by {python}: libgomp is bad"),
    ],
)
def test_a_process_that_dies_is_told_from_one_that_fails(text, message, tmp_path):
    with pytest.raises(ModelError) as caught:
        build_schema("zoo:net", workplace=with_torch(text, tmp_path))
    assert caught.value.message == message.replace("{python}", sys.executable)
    assert caught.value.where == "zoo:net"


@pytest.mark.parametrize(
    ("reference", "options", "error", "what"),
    [
        ("nowhere.py:Net", {}, ModelError, "there is no file 'nowhere.py'"),
        ("zoo", {}, UsageError, "names no class or function"),
        ("zoo:net", {"args": "3"}, UsageError, "neither a mapping of argument names nor a list"),
        ("zoo:net", {"device": "tpu"}, UsageError, "there is no device 'tpu'"),
        ("zoo:net", {"timeout": 0}, UsageError, "the time limit must be more than 0 seconds"),
        (
            "zoo:net",
            {"workplace": Workplace(python="/nowhere/python")},
            UsageError,
            "'/nowhere/python' cannot be started",
        ),
    ],
)
def test_what_can_be_seen_before_needs_no_process(reference, options, error, what, folder):
    with pytest.raises(error, match=what):
        build_schema(reference, **{"workplace": Workplace(cwd=folder), **options})


def _is_gone(process):
    """Whether a process has ended, waiting for the kernel to take it away."""
    for _ in range(200):
        try:
            with open(f"/proc/{process}/stat") as stat:  # an orphan that nobody reaps is a zombie
                if stat.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    os.kill(process, 9)
    return False
