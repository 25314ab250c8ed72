"""The page about models shows real output: each command on it is run on its own example, and gives those very words."""

import os
import re
import shlex
import sys
from pathlib import Path

import pytest
from forked_build import build

from ckptlint.errors import CkptlintError

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.torch, pytest.mark.skipif(not hasattr(os, "fork"), reason="builds in a fork")]

PAGE = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = [tuple(each.split("\n", 1)) for block in BLOCKS for each in block.split("$ ckptlint lock ")[1:]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    for name, text in re.findall(r"^```python\n(?=# (\S+))(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(("command", "output"), COMMANDS)
def test_the_page_shows_real_output(command, output, folder):
    reference, *options = shlex.split(command)
    if "gpu" in reference and torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    given = dict(zip((name.removeprefix("--") for name in options[::2]), options[1::2], strict=True))
    with pytest.raises(CkptlintError) as caught:
        build(reference, folder, memory=2**33, **given)
    said = str(caught.value).replace(sys.executable, "/usr/bin/python3").replace(str(folder), "/home/me/project")
    assert [_shortened(*pair) for pair in zip(f"ckptlint: {said}".splitlines(), output.splitlines(), strict=True)] == (
        output.splitlines()
    )


def _shortened(line, shown):
    """Where the page ends a line with `...`, torch goes on in the words of its version."""
    start = shown.removesuffix("...")
    return shown if start != shown and line.startswith(start) else line
