"""`python -m ckptlint`, and the `ckptlint` script."""

from __future__ import annotations

import os
import sys
from types import TracebackType

_BUG = 70  # sysexits' EX_SOFTWARE: never mistaken for findings, which are 1


def main() -> int:
    sys.excepthook = _report_bug
    from ckptlint.cli_hook import files_of

    files = files_of(sys.argv[1:])
    if files:
        from ckptlint.cli_hook import main as hook

        return hook(files)
    from ckptlint.cli import main as run

    return run()


def _report_bug(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Say that what escaped is ours; Python itself would exit with 1, which means findings."""
    sys.__excepthook__(kind, error, trace)
    print("ckptlint: this is a bug in ckptlint; please report it with the text above", file=sys.stderr)  # noqa: T201  no CLI is left
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(_BUG)


if __name__ == "__main__":
    sys.exit(main())
