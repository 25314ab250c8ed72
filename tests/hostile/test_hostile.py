"""Hostile files, hundreds of them: none runs anything, hangs, or takes the memory of its reader, and a scan names each attack.

A child process takes them all, under limits of memory and of processor time for each; an audit hook sees what is asked of Python.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hostile.assemble import dump
from hostile.containers import CONTAINERS, torch_zip
from hostile.payloads import PATHS, W
from hostile.rows import ELSEWHERE, attacks

ROOT = Path(__file__).parents[2]
CHILD = Path(__file__).parent / "child.py"
DANGER = {"CKC311", "CKC321", "CKC322", "CKC323", "CKC324"}
PROTOCOLS = {"zip": (2, 4), "legacy": (2, 4), "bare": (2, 4, 5)}
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of memory and time are the kernel's")


def payload_files(marker: str) -> dict[str, bytes]:
    """Every way to run something, in every container, in several protocols where that matters."""
    return {
        f"{path} {container} {protocol}": make(payload(marker, protocol))
        for path, payload in PATHS.items()
        for container, make in CONTAINERS.items()
        for protocol in PROTOCOLS.get(container, (2,))
    }


def run_child(folder: Path, marker: Path, *commands: str) -> dict[str, dict]:
    (folder / "warm").mkdir()
    (folder / "out").mkdir()
    (folder / "warm" / "model.pt").write_bytes(torch_zip(dump({"w": W})))
    (folder / "keep.yaml").write_text("ckptlint: 1\nsummary: s\nrewrites:\n- keep: '**'\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(CHILD), str(folder), str(marker), *commands],
        capture_output=True,
        text=True,
        env=environment,
        cwd=folder,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["seen"] for line in lines if line["seen"]] == []
    assert not marker.exists()
    return {name: found for line in lines for name, found in line.items() if name != "seen"}


def test_whatever_runs_code_is_found_in_every_container(tmp_path):
    marker = tmp_path / "marker"
    files = payload_files(str(marker))
    assert len(files) >= 250
    (tmp_path / "cases").mkdir()
    names = {}
    for number, (name, content) in enumerate(files.items()):
        names[f"{number:04}"] = name
        (tmp_path / "cases" / f"{number:04}").mkdir()
        (tmp_path / "cases" / f"{number:04}" / "model.pt").write_bytes(content)
    found = {names[number]: scan["scan"] for number, scan in run_child(tmp_path / "cases", marker, "scan").items()}
    assert found.keys() == files.keys()
    assert {name: said for name, said in found.items() if said[0] != 1 or not DANGER & set(said[1])} == {}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    marker = folder / "marker"
    names = {}
    (folder / "cases").mkdir()
    for number, (name, attack) in enumerate(attacks().items()):
        names[f"{number:04}"] = name
        for file, content in attack.files.items():
            path = folder / "cases" / f"{number:04}" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.replace(b"MARKER", os.fsencode(marker.name)))
    found = run_child(folder / "cases", marker, "scan", "lint", "inspect", "migrate")
    return {names[number]: said for number, said in found.items()}


@pytest.mark.parametrize("name", attacks())
def test_a_scan_names_the_attack(outcomes, name):
    code, rules = outcomes[name]["scan"]
    assert code in (0, 1, 3)
    assert set(rules) & set(attacks()[name].rules), rules


@pytest.mark.parametrize("name", attacks())
def test_no_command_crashes_or_hangs_on_it(outcomes, name):
    assert {command: said[0] for command, said in outcomes[name].items() if said[0] not in (0, 1, 2, 3)} == {}


@pytest.mark.parametrize("name", [name for name, attack in attacks().items() if attack.refused])
def test_what_contradicts_itself_is_not_read(outcomes, name):
    assert {command: outcomes[name][command][0] for command in ("lint", "inspect", "migrate")} == {
        "lint": 3,
        "inspect": 3,
        "migrate": 3,
    }


def test_every_row_of_the_table_has_its_case():
    rows = {attack.row for attack in attacks().values()} | ELSEWHERE.keys()
    assert rows == set(range(1, 51))
    assert all((ROOT / path).exists() for path in ELSEWHERE.values())


def test_the_payloads_are_real(tmp_path):
    """Loaded by Python, the first of them leaves its mark: what is tested is not harmless by mistake."""
    import pickle

    marker = tmp_path / "marker"
    content = dump({"x": PATHS_CALL(str(marker))}, 2)
    pickle.loads(content)
    assert marker.exists()


def PATHS_CALL(marker):  # noqa: N802  it stands for the entry of PATHS, without the tensor that plain pickle cannot make
    from hostile.assemble import Call
    from hostile.payloads import MKDIR

    return Call(MKDIR, (marker,))
