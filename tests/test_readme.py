"""What the README shows is what happens: its demo blocks are run, its migration is the demo's."""

import re
import shlex
import shutil
import subprocess
import sys

import pytest
from cli import ROOT, ckptlint

pytest.importorskip("torch")
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"<!-- demo -->\n```console\n\$ ckptlint (.*)\n((?:.*\n)*?)```\n", README)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The demo's files, its checkpoint made by the demo's own script."""
    folder = tmp_path_factory.mktemp("readme")
    for name in ("model.py", "migration.yaml"):
        shutil.copy(ROOT / "docs" / "demo" / name, folder)
    subprocess.run([sys.executable, ROOT / "docs" / "demo" / "legacy" / "train.py", folder / "legacy.pt"], check=True)
    return folder


def test_there_are_blocks_to_run():
    assert [command.split()[0] for command, _ in BLOCKS] == ["lint", "prove", "migrate"]


@pytest.mark.parametrize(("command", "shown"), BLOCKS, ids=lambda value: value.split()[0])
def test_a_block_shows_what_happens(folder, command, shown):
    said = ckptlint(folder, *shlex.split(command), code=1 if command.startswith("lint") else 0)
    output = [line.rstrip() for line in (said.stdout + said.stderr).splitlines()]
    parts = shown.split("...\n")  # the README may leave lines out, and says so
    for part in parts:
        lines = [line.rstrip() for line in part.splitlines()]
        starts = [n for n in range(len(output) - len(lines) + 1) if output[n : n + len(lines)] == lines]
        assert starts, f"not in the output:\n{part}\nwhich is:\n" + "\n".join(output)
        output = output[starts[0] + len(lines) :]


def test_the_migration_shown_is_the_one_that_is_run():
    assert f"```yaml\n{(ROOT / 'docs' / 'demo' / 'migration.yaml').read_text()}```" in README
