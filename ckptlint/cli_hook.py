"""`ckptlint hook FILE...` as pre-commit calls it: without options the arguments mean themselves, and no reader of options is imported.

Whatever else is written, or said by an environment variable of an option, is for `cli.py`, which means the same by the same files.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from ckptlint.ending import ended, printed

_COMMAND = "hook"
_VARIABLES = "CKPTLINT_HOOK_"


def files_of(arguments: Sequence[str]) -> list[str]:
    """The files that a command line is about, where it is one of the hook without options; none otherwise."""
    if len(arguments) < 2 or arguments[0] != _COMMAND or any(each.startswith("-") for each in arguments):
        return []
    plain = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    return list(arguments[1:]) if plain and not any(name.startswith(_VARIABLES) for name in os.environ) else []


def main(paths: Sequence[str]) -> int:
    """Check files as `cli.py` does where no option is given; return the exit code."""
    return ended(lambda: _hook(paths))


def _hook(paths: Sequence[str]) -> int:
    from ckptlint.commands.hook import run

    return printed(*run(paths=paths, form="text", fail_on="warning", config=None, select=(), ignore=()))
