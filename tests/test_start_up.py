"""The small commands start quickly because they import little: what each may not import, proved by Python's own import log."""

import json
import os
import re
import subprocess
import sys

import pytest
from cli import ROOT, ckptlint

NEVER = {"torch", "rich", "libcst", "deepdiff", "numpy"}
SCHEMA = {"layers.0.w": [4, 8], "layers.1.w": [4, 8]}


def imported(log):
    """Top-level names in the log of `-X importtime`."""
    return {name.partition(".")[0] for name in re.findall(r"^import time:.*\|\s*([\w.]+)$", log, re.MULTILINE)}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A checkpoint in the format that needs nothing to be written, its keys, and its lock."""
    folder = tmp_path_factory.mktemp("files")
    header = json.dumps(
        {
            key: {"dtype": "F32", "shape": shape, "data_offsets": [n * 128, n * 128 + 128]}
            for n, (key, shape) in enumerate(SCHEMA.items())
        }
    ).encode()
    header += b" " * (-len(header) % 8)
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(256))
    header += b" " * 4096
    (folder / "roomy.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(256))
    (folder / "spare.safetensors").write_bytes((folder / "roomy.safetensors").read_bytes())
    (folder / "keys.json").write_text(
        json.dumps({key: {"dtype": "float32", "shape": shape} for key, shape in SCHEMA.items()})
    )
    (folder / "up.yaml").write_text(
        'ckptlint: 1\nsummary: s\nrewrites:\n- rename: {"layers.{i:int}.w": "blocks.{i}.w"}\n'
    )
    (folder / "load.py").write_text("import torch\nx = torch.load('x', weights_only=True)\n")
    ckptlint(folder, "lock", "keys.json", "-o", "schema.lock")
    return folder


@pytest.mark.parametrize(
    ("arguments", "banned"),
    [
        (["--help"], NEVER | {"yaml", "json"}),
        (["lint", "model.safetensors", "--lock", "schema.lock"], NEVER | {"yaml", "asyncio"}),
        (["lint", "model.safetensors", "--against", "keys.json"], NEVER | {"yaml"}),
        (["inspect", "model.safetensors"], NEVER | {"yaml"}),
        (["hook", "load.py"], NEVER | {"yaml", "asyncio", "click", "_hashlib", "datetime", "tomllib", "difflib"}),
        (["prove", "up.yaml"], NEVER),  # the hook for migration files
        (["prove", "up.yaml", "--source", "schema.lock"], NEVER),
        (["migrate", "model.safetensors", "-m", "up.yaml", "--dry-run"], NEVER | {"concurrent", "logging", "asyncio"}),
        (["migrate", "roomy.safetensors", "-m", "up.yaml", "--in-place"], NEVER | {"concurrent", "logging", "asyncio"}),
        (["migrate", "model.safetensors", "-m", "up.yaml", "-o", "new.safetensors", "--force"], NEVER),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_imports_only_what_it_needs(files, arguments, banned):
    log = ckptlint(files, *arguments, python=["-X", "importtime"]).stderr
    assert "ckptlint" in imported(log)
    assert not imported(log) & banned


def test_new_names_in_place_import_no_way_back_no_arithmetic_and_no_writer(files):
    log = ckptlint(
        files, "migrate", "spare.safetensors", "-m", "up.yaml", "--in-place", python=["-X", "importtime"]
    ).stderr
    names = set(re.findall(r"^import time:.*\|\s*([\w.]+)$", log, re.MULTILINE))
    commands = {f"ckptlint.commands.{name}" for name in ("chaining", "outputs", "supplying", "undoing", "verify")}
    engine = {f"ckptlint.engine.{name}" for name in ("assemble", "invert", "optimizers", "tree_inverse", "tree_plane")}
    assert "ckptlint.commands.in_place" in names
    assert not names & (commands | engine | {"ckptlint.ops.vocabulary", "ckptlint.kits", "ckptlint.runners"})


def test_importing_the_package_imports_next_to_nothing():
    command = [sys.executable, "-X", "importtime", "-c", "import ckptlint"]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True
    )
    assert not imported(done.stderr) & (NEVER | {"yaml", "click", "json", "dataclasses"})
