"""git in tests: with a name and settings of its own, whatever those of the machine are."""

import os
import subprocess

from cli import ROOT

ALONE = {
    **{f"GIT_{role}_{what}": "a@b.c" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    **{f"GIT_CONFIG_{scope}": os.devnull for scope in ("GLOBAL", "SYSTEM")},
}


def git(*arguments, folder=None, code=0):
    """What git says to stdout; it must exit with `code`."""
    environment = {**os.environ, **ALONE}
    command = ["git", *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def repository(folder=None):
    """An empty repository with the branch `main`."""
    git("init", "-q", "-b", "main", folder=folder)


def commit(message="step", folder=None):
    """All that is in the work tree."""
    git("add", "-A", folder=folder)
    git("commit", "-q", "-m", message, folder=folder)


def alone(monkeypatch):
    """Let the git that the code under test starts be as ours, and let git start the code under test."""
    for name, value in ALONE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
