"""The GitHub Action's own shell, run as a runner runs it, and the hooks by the real pre-commit where that is installed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
BAD = "import torch\nx = torch.load('x')\n"


def act(folder, arguments):
    """Run the action's step; return its exit code and output."""
    step = yaml.safe_load((PROJECT / "action.yml").read_text(encoding="utf-8"))["runs"]["steps"][0]
    given = {"arguments": arguments, "python": sys.executable, "sarif": "ck.sarif", "comment": "ck.md"}
    environment = {
        **os.environ,
        "PYTHONPATH": str(PROJECT),
        "GITHUB_STEP_SUMMARY": "summary.md",
        "GITHUB_OUTPUT": "out",
    }
    environment |= {name: given[value.split("inputs.")[1].split(" ")[0]] for name, value in step["env"].items()}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


@pytest.mark.skipif(shutil.which("bash") is None, reason="the action runs in bash")
def test_the_action_reports_everywhere_and_ends_as_the_gate_does(tmp_path):
    (tmp_path / "a.py").write_text(BAD)
    code, said = act(tmp_path, "hook a.py")
    assert code == 1
    assert said.startswith("::warning file=a.py,line=2,title=CKL102 torch-load-unsafe::")
    assert json.loads((tmp_path / "ck.sarif").read_text())["runs"][0]["results"][0]["ruleId"] == "CKL102"
    comment = (tmp_path / "ck.md").read_text()
    assert comment.startswith("<!-- ckptlint -->")  # by which the comment is found again, and replaced
    assert "a.py:2" in comment
    assert (tmp_path / "summary.md").read_text() == comment
    assert (tmp_path / "out").read_text() == "code=1\n"
    (tmp_path / "a.py").write_text("import torch\n")
    assert act(tmp_path, "hook a.py")[0] == 0


def test_pre_commit_itself_runs_the_hook(tmp_path):
    pytest.importorskip("pre_commit", reason="pre-commit is not installed")
    hooks = yaml.safe_load((PROJECT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    hook = next(each for each in hooks if each["id"] == "ckptlint-code")
    entry = f"{sys.executable} -m {hook['entry']}"
    local = {**hook, "entry": entry, "language": "system"}
    local.pop("minimum_pre_commit_version")
    (tmp_path / ".pre-commit-config.yaml").write_text(yaml.safe_dump({"repos": [{"repo": "local", "hooks": [local]}]}))
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(PROJECT), *sys.path]),
        "PRE_COMMIT_HOME": str(tmp_path / "home"),
        "PYTHONWARNINGS": "",
    }
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    for text, code in ((BAD, 1), ("import torch\n", 0)):
        (tmp_path / "a.py").write_text(text)
        subprocess.run(["git", "add", "-A"], cwd=tmp_path, check=True)
        command = [sys.executable, "-m", "pre_commit", "run", "--all-files"]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        assert ("CKL102" in done.stdout) == bool(code)
