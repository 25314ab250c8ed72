"""Run the command line as a user does: a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def ckptlint(folder, *arguments, code=0, python=()):
    """Run `ckptlint ARGUMENTS` in `folder`; return what it says, after checking its exit code."""
    command = [sys.executable, *python, "-m", "ckptlint", *map(str, arguments)]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False
    )
    assert code is None or done.returncode == code, f"exit code {done.returncode}\n{done.stdout}{done.stderr}"
    return done
