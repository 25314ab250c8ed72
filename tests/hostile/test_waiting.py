"""Whatever a command is given, it ends within its time and memory, runs nothing of it, and says what it made of it."""

import sys

import pytest
from hostile.evasions import EVASIONS
from hostile.second_look import ATTACKS
from hostile.second_look_waiting import WAITING
from hostile.test_hostile import run_child

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of memory and time are the kernel's")


def codes_of(tmp_path, builders):
    """The exit code of each command on each case, all of them in one process under limits for each."""
    marker = tmp_path / "marker"
    (tmp_path / "cases").mkdir()
    for name, build in builders.items():
        folder = tmp_path / "cases" / name.replace("/", "_")
        folder.mkdir()
        build(folder, str(marker))
    found = run_child(tmp_path / "cases", marker, "scan", "lint", "inspect")
    assert len(found) == len(builders)
    return {name: {command: said[0] for command, said in commands.items()} for name, commands in found.items()}


def ended_badly(codes):
    """Those that hung, or ended with something else than a finding or an error of ours."""
    return {name: said for name, said in codes.items() if not set(said.values()) <= {0, 1, 2, 3}}


def test_what_is_made_to_take_long_ends(tmp_path):
    assert ended_badly(codes_of(tmp_path, WAITING)) == {}


def test_no_attack_runs_or_crashes_a_command_that_only_reads(tmp_path):
    assert ended_badly(codes_of(tmp_path, {name: attack.build for name, attack in ATTACKS.items()})) == {}


def test_no_evasion_runs_or_crashes_a_command_that_only_reads(tmp_path):
    def builder(file, content):
        return lambda folder, _: (folder / file).write_bytes(content)

    assert ended_badly(codes_of(tmp_path, {name: builder(*each) for name, each in EVASIONS.items()})) == {}
